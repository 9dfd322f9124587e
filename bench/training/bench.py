"""Train fmtopx and its peers on the same splits; print test RMSE or log loss, seconds and peak memory.

MovieLens is learnt as numbers, in five folds, and as yes or no (rated 4 or more), ua.base against ua.test.

Planted data comes in two shapes: with about 100 ratings a user, and with about 1000. Two more lines say what can
be had: the floor is the planted model's own test RMSE; the oracle knows every item's vector and bias and only has
to fit the users' (ridge regression under the planted prior), so that its excess over the floor is due to the number
of ratings a user has, and nobody fits both sides better.

Called by run.sh inside a throwaway cluster. Every training runs in a process of its own, so that its peak
memory can be told; loading the data is not counted for anybody. fmtopx is timed through SQL, as fm_runs
says: reading the table, training and writing the model.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

FOLDS = 5  # of MovieLens; planted data has one split, a tenth of which is the test
PLANTED_RANK = 8
NOISE = 0.7
SHAPES = [(100, 700), (1000, 2000)]  # ratings a user, ratings an item
MYFM_MOST = 1_000_000  # ratings; above, a run takes hours


def movielens(folder):
    data = np.loadtxt(os.path.join(folder, "u.data"), dtype=np.int64)[:, :3]
    users = np.unique(data[:, 0], return_inverse=True)[1]
    items = np.unique(data[:, 1], return_inverse=True)[1]
    fold = np.random.default_rng(1).permutation(len(data)) % FOLDS
    return users.astype(np.int32), items.astype(np.int32), data[:, 2].astype(np.float32), fold


def movielens_yes(folder):
    """ua.base, and ua.test as fold 0."""
    parts = [np.loadtxt(os.path.join(folder, name), dtype=np.int64)[:, :3] for name in ("ua.test", "ua.base")]
    data = np.concatenate(parts)
    fold = np.repeat([0, 1], [len(part) for part in parts])
    return data[:, 0].astype(np.int32), data[:, 1].astype(np.int32), (data[:, 2] >= 4).astype(np.float32), fold


def movielens_features(folder):
    """Of users and items in the order of their ids: a matrix of zeros and ones by column of the file."""
    def levels(values):
        return np.eye(len(set(values)))[np.unique(values, return_inverse=True)[1]]

    with open(os.path.join(folder, "u.user")) as file:
        users = [line.split("|") for line in file]
    with open(os.path.join(folder, "u.item"), encoding="latin-1") as file:
        items = [line.rstrip().split("|") for line in file]
    return {"u": {"age_band": levels([int(user[1]) // 10 for user in users]),
                  "gender": levels([user[2] for user in users]), "occupation": levels([user[3] for user in users])},
            "i": {"genre": np.array([[int(flag) for flag in item[5:]] for item in items])}}


def planted(size, ratings_per_user, ratings_per_item):
    """Ratings of a planted model, users and items by Zipf popularity.

    Returns the ratings, their folds, and (true mean of each rating, item vectors and biases).
    """
    rng = np.random.default_rng(size)
    num_users, num_items = size // ratings_per_user, size // ratings_per_item

    def zipf(count, exponent):
        weight = 1 / np.arange(1, count + 1) ** exponent
        return rng.choice(count, size, p=weight / weight.sum()).astype(np.int32)

    users, items = zipf(num_users, 0.6), zipf(num_items, 0.8)
    user_v = rng.normal(0, 0.5, (num_users, PLANTED_RANK)).astype(np.float32)
    item_v = rng.normal(0, 0.5, (num_items, PLANTED_RANK)).astype(np.float32)
    user_w, item_w = rng.normal(0, 0.4, num_users), rng.normal(0, 0.4, num_items)
    values = np.empty(size, np.float32)
    for begin in range(0, size, 1_000_000):
        u, i = users[begin:begin + 1_000_000], items[begin:begin + 1_000_000]
        values[begin:begin + 1_000_000] = 3.5 + user_w[u] + item_w[i] + (user_v[u] * item_v[i]).sum(axis=1)
    truth = values.copy()
    values += rng.normal(0, NOISE, size).astype(np.float32)
    return (users, items, values, rng.integers(0, 10, size)), (truth, item_v, item_w)


def oracle(data, item_v, item_w):
    """Test RMSE of users fitted by ridge regression to the planted items, under the prior they were drawn from."""
    users, items, values, folds = data
    train, test = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    train = train[np.argsort(users[train], kind="stable")]
    precision = np.diag([1 / 0.5**2] * PLANTED_RANK + [1 / 0.4**2])
    num_users = int(users.max()) + 1
    begin = np.searchsorted(users[train], np.arange(num_users + 1))
    theta = np.zeros((num_users, PLANTED_RANK + 1))
    for user in range(num_users):
        rows = train[begin[user]:begin[user + 1]]
        z = np.column_stack([item_v[items[rows]], np.ones(len(rows))]).astype(np.float64)
        target = values[rows] - 3.5 - item_w[items[rows]]
        theta[user] = np.linalg.solve(z.T @ z / NOISE**2 + precision, z.T @ target / NOISE**2)
    predicted = 3.5 + item_w[items[test]] + theta[users[test], PLANTED_RANK]
    predicted += np.einsum("rk,rk->r", theta[users[test], :PLANTED_RANK], item_v[items[test]])
    return rmse(predicted, values[test])


def rmse(predicted, actual):
    return float(np.sqrt(np.mean((np.asarray(predicted, np.float64) - actual) ** 2)))


def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def label_metrics(probability, yes):
    p, yes = np.asarray(probability, np.float64), np.asarray(yes) > 0
    said = p >= 0.5
    return {"log loss": float(-np.mean(np.log(np.where(yes, p, 1 - p)))), "accuracy": float(np.mean(said == yes)),
            "F1": float(2 * np.sum(said & yes) / (np.sum(said) + np.sum(yes)))}


def run_myfm(train, test, rank, task="regression"):
    import myfm
    import scipy.sparse as sparse

    users = int(max(train["u"].max(), test["u"].max())) + 1
    items = int(max(train["i"].max(), test["i"].max())) + 1

    def one_hots(data):
        rows = np.arange(len(data["u"]))
        ones = np.ones(2 * len(rows))
        columns = np.concatenate([data["u"], users + data["i"]])
        return sparse.csr_matrix((ones, (np.concatenate([rows, rows]), columns)), (len(rows), users + items))

    x, x_test = one_hots(train), one_hots(test)
    yes_or_no = task == "classification"
    model = (myfm.MyFMClassifier if yes_or_no else myfm.MyFMRegressor)(rank=rank, random_seed=1)
    begin = time.time()
    model.fit(x, train["r"] > 0 if yes_or_no else train["r"].astype(np.float64), n_iter=200, group_shapes=[users, items])
    cost = {"seconds": time.time() - begin, "kb": peak_kb()}
    if yes_or_no:
        return label_metrics(model.predict_proba(x_test), test["r"]) | cost
    return {"RMSE": rmse(model.predict(x_test), test["r"])} | cost


def blocks(train, test, known):
    """The relation blocks of myFM, of users and of items: ids, what is known of them, and what has been rated."""
    import scipy.sparse as sparse

    users = int(max(train["u"].max(), test["u"].max())) + 1
    items = int(max(train["i"].max(), test["i"].max())) + 1
    seen = sparse.csr_matrix((np.ones(len(train["u"])), (train["u"], train["i"])), (users, items))
    parts = {"u": [sparse.eye(users)], "i": [sparse.eye(items)]}
    for side, matrix in (("u", seen), ("i", seen.T.tocsr())):
        if "features" in known:
            for bag in movielens_features(os.environ["MOVIELENS"])[side].values():
                parts[side].append(sparse.csr_matrix(bag / np.sqrt(np.maximum(bag.sum(axis=1, keepdims=True), 1))))
        if "history" in known:
            n = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1)
            parts[side].append(sparse.diags(1 / np.sqrt(n)) @ matrix)
    return {side: sparse.hstack(of).tocsr() for side, of in parts.items()}, [
        part.shape[1] for side in "ui" for part in parts[side]]


def run_myfm_blocks(train, test, rank, known):
    import myfm
    import scipy.sparse as sparse

    matrices, shapes = blocks(train, test, known)
    model = myfm.MyFMRegressor(rank=rank, random_seed=1)

    def rows(data):
        return sparse.csr_matrix((len(data["u"]), 0)), [myfm.RelationBlock(data[side], matrices[side]) for side in "ui"]

    x, relations = rows(train)
    begin = time.time()
    model.fit(x, train["r"].astype(np.float64), X_rel=relations, n_iter=200, group_shapes=shapes)
    cost = {"seconds": time.time() - begin, "kb": peak_kb()}
    x, relations = rows(test)
    return {"RMSE": rmse(model.predict(x, relations), test["r"])} | cost


def run_libmf(train, test):
    from libmf import mf

    rows = np.column_stack([train["u"], train["i"], train["r"]]).astype(np.float32)
    model = mf.MF(k=32, nr_iters=20, nr_threads=1, eta=0.05, lambda_p1=0, lambda_q1=0, lambda_p2=0.05, lambda_q2=0.05,
                  quiet=True)
    begin = time.time()
    model.fit(rows)
    seconds = time.time() - begin
    # not by model.predict, which in the binding of PyPI does not give what its own factors do
    p, q, mean = model.p_factors(), model.q_factors(), model.model.b
    known = (test["u"] < len(p)) & (test["i"] < len(q))
    predicted = np.full(len(known), mean)
    predicted[known] = np.einsum("rk,rk->r", p[test["u"][known]], q[test["i"][known]])
    predicted = np.where(np.isfinite(predicted), predicted, mean)
    return {"RMSE": rmse(predicted, test["r"]), "seconds": seconds, "kb": peak_kb()}


# as fm_evaluate says
METRICS = {task: {"RMSE": "rmse"} for task in ("regression", "features", "history", "features and history")} | {
    "classification": {"log loss": "log_loss", "accuracy": "accuracy", "F1": "f1"}}


def run_fmtopx(solver, workers, task="regression", known=""):
    options = ", user_features => 'users', item_features => 'items'" if "features" in known else ""
    options += ", history => true" if "history" in known else ""
    sql = f"""
CREATE TEMP TABLE run AS
SELECT * FROM fm_train('bench', 'train', solver => '{solver}', workers => {workers}, task => '{task}',
              rank_by => 'rating'{options});
SELECT pg_backend_pid() AS pid \\gset
\\setenv PID :pid
\\! grep VmHWM /proc/$PID/status
SELECT extract(epoch FROM finished_at - started_at) FROM run;
SELECT metric, value FROM fm_evaluate('test', 'bench');
SELECT fm_drop('bench');
"""
    lines = psql(sql).split()
    values = dict(line.split("|") for line in lines[4:] if "|" in line)
    return {"kb": int(lines[1]), "seconds": float(lines[3])} | {
        name: float(values[metric]) for name, metric in METRICS[task].items()}


def knowing(known):
    """The systems of a regression that make use of features, history or both."""
    return {
        "fmtopx mcmc": lambda train, test: run_fmtopx("mcmc", 0, known=known),
        "fmtopx mcmc, a worker": lambda train, test: run_fmtopx("mcmc", 1, known=known),
        "fmtopx als": lambda train, test: run_fmtopx("als", 0, known=known),
        "myFM blocks, rank 10, 200 its.": lambda train, test: run_myfm_blocks(train, test, 10, known),
    }


def psql(sql):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    return subprocess.run(command, input=sql, text=True, check=True, stdout=subprocess.PIPE).stdout


def load_tables(train, test, folder):
    psql("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS fmtopx; DROP TABLE IF EXISTS train, test")
    for name, data in (("train", train), ("test", test)):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            for begin in range(0, len(data["u"]), 1_000_000):
                part = slice(begin, begin + 1_000_000)
                np.savetxt(file, np.column_stack([data["u"][part], data["i"][part], data["r"][part]]), "%d\t%d\t%.5g")
        psql(f"CREATE UNLOGGED TABLE {name} (user_id int, item_id int, rating real);\n\\copy {name} from {path}\n"
             f"CREATE INDEX ON {name} (user_id); VACUUM ANALYZE {name}")
        os.unlink(path)


def load_features(folder):
    """The tables users and items, with the same features as an array of levels each."""
    for table, key, side in (("users", "user_id", "u"), ("items", "item_id", "i")):
        columns = movielens_features(folder)[side]
        psql(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({key} int, "
             + ", ".join(f"{name} int[]" for name in columns) + ")")
        count = len(next(iter(columns.values())))
        rows = ["({}, {})".format(e, ", ".join("'{" + ",".join(map(str, np.flatnonzero(bag[e]))) + "}'"
                                               for bag in columns.values())) for e in range(count)]
        psql(f"INSERT INTO {table} VALUES " + ", ".join(rows))


SYSTEMS = {
    "regression": {
        "fmtopx mcmc": lambda train, test: run_fmtopx("mcmc", 0),
        "fmtopx mcmc, a worker": lambda train, test: run_fmtopx("mcmc", 1),
        "fmtopx als": lambda train, test: run_fmtopx("als", 0),
        "myFM, rank 8, 200 iterations": lambda train, test: run_myfm(train, test, 8),
        "myFM, rank 10, 200 iterations": lambda train, test: run_myfm(train, test, 10),
        "libmf SGD, rank 32, 20 epochs": run_libmf,
    },
    "classification": {
        "fmtopx mcmc": lambda train, test: run_fmtopx("mcmc", 0, "classification"),
        "fmtopx mcmc, a worker": lambda train, test: run_fmtopx("mcmc", 1, "classification"),
        "myFM probit, rank 4, 200 its.": lambda train, test: run_myfm(train, test, 4, "classification"),
        "myFM probit, rank 8, 200 its.": lambda train, test: run_myfm(train, test, 8, "classification"),
    },
    "features": knowing("features"),
    "history": knowing("history"),
    "features and history": knowing("features and history"),
}


def run_apart(task, system, path):
    """One training in a process of its own; the last line it prints is its result."""
    command = [sys.executable, __file__, "--run", task, system, path]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(output.splitlines()[-1])


def split(data, fold, folder):
    users, items, values, folds = data
    parts = {}
    for name, rows in (("train", folds != fold), ("test", folds == fold)):
        parts[name] = {"u": users[rows], "i": items[rows], "r": values[rows]}
    path = os.path.join(folder, "split.npz")
    np.savez(path, **{f"{name}_{key}": array for name, part in parts.items() for key, array in part.items()})
    return parts["train"], parts["test"], path


def bench(title, data, folds, folder, task="regression"):
    results = {system: [] for system in SYSTEMS[task]}
    for fold in folds:
        train, test, path = split(data, fold, folder)
        load_tables(train, test, folder)
        for system in results:
            if system.startswith("myFM") and len(data[0]) > MYFM_MOST:
                continue
            results[system].append(run_apart(task, system, path))
    print_table(title, {system: runs for system, runs in results.items() if runs}, list(METRICS[task]))


def print_table(title, results, metrics):
    """The first of the metrics, of which less is better, says which peer is the best."""
    means = {system: {key: np.mean([run[key] for run in runs]) for key in runs[0]} for system, runs in results.items()}
    best = min((mean for system, mean in means.items() if not system.startswith("fmtopx")), key=lambda m: m[metrics[0]])
    print(f"\n{title}\n{'test':32}" + "".join(f"{metric:>10}" for metric in metrics) +
          f"{'seconds':>10}{'peak MB':>10}{'time / best peer':>18}")
    for system, mean in means.items():
        worse = mean[metrics[0]] > best[metrics[0]]
        ratio = f"(worse {metrics[0]})" if worse else f"{mean['seconds'] / best['seconds']:.3f}"
        print(f"{system:32}" + "".join(f"{mean[metric]:10.4f}" for metric in metrics) +
              f"{mean['seconds']:10.2f}{mean['kb'] / 1024:10.0f}{ratio:>18}", flush=True)


def bench_movielens(ratings, folder):
    bench(f"MovieLens 100k, mean of {FOLDS} folds", movielens(ratings), range(FOLDS), folder)
    load_features(ratings)
    for known in ("features", "history", "features and history"):
        bench(f"MovieLens 100k with {known}, mean of {FOLDS} folds", movielens(ratings), range(FOLDS), folder, known)
    bench("MovieLens 100k, ua.base and ua.test, rated 4 or more", movielens_yes(ratings), [0], folder, "classification")


def bench_planted(size, folder):
    for ratings_per_user, ratings_per_item in SHAPES:
        data, (truth, item_v, item_w) = planted(int(size.removesuffix("M")) * 1_000_000, ratings_per_user, ratings_per_item)
        test = data[3] == 0
        floor = rmse(truth[test], data[2][test])
        del truth
        bench(f"{size} planted ratings, {ratings_per_user} a user, {ratings_per_item} an item", data, [0], folder)
        print(f"{'floor: the planted model':32}{floor:10.4f}")
        print(f"{'oracle: items known':32}{oracle(data, item_v, item_w):10.4f}", flush=True)


def main(arguments):
    if arguments[:1] == ["--run"]:
        task, system, path = arguments[1:]
        arrays = np.load(path)
        train, test = ({key: arrays[f"{name}_{key}"] for key in "uir"} for name in ("train", "test"))
        print(json.dumps(SYSTEMS[task][system](train, test)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments or ["100k", "1M", "10M"]:
            if size != "100k":
                bench_planted(size, folder)
            elif os.environ.get("MOVIELENS"):
                bench_movielens(os.environ["MOVIELENS"], folder)
            else:
                print("MovieLens 100k is not here: skipped")


main(sys.argv[1:])
