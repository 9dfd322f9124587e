"""Rank by fmtopx and its peers on the same splits; print NDCG@10, recall@20 and seconds.

MovieLens 100k, rated 4 or more: every system is tuned by a grid of the same number of points, on a tenth of the
training rows of one split; then trained on five splits (a fifth of the rows is the test) with what was best, fmtopx
also with its defaults. Made-up events are one split, too large to tune everybody: the peers have what was best on
MovieLens in earlier runs, and fmtopx its defaults.

What was trained on is left out of the lists. Every system hands over vectors of users and items; the lists are made
of them by the same code for all. Seconds are of a whole training in one thread: fmtopx's are as fm_runs says, reading
the table and writing the model included, the peers' begin with a sparse matrix in memory. An iteration is the
difference of two trainings, the second a quarter as long, by the iterations between them, so neither reading
nor preparing counts.

Called by run.sh inside a throwaway cluster.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.sparse as sparse

SEEDS = 5
USERS_AT_ONCE = 512


# ---- Data ----

def movielens(folder):
    data = np.loadtxt(os.path.join(folder, "u.data"), dtype=np.int64)
    data = data[data[:, 2] >= 4]
    users = np.unique(data[:, 0], return_inverse=True)[1]
    items = np.unique(data[:, 1], return_inverse=True)[1]
    return users.astype(np.int32), items.astype(np.int32)


def planted(size):
    """Events of users with tastes: items are met by Zipf popularity, and taken where they are to one's taste."""
    rng = np.random.default_rng(size)
    num_users, num_items, rank = size // 100, max(2000, size // 500), 12
    tastes = rng.normal(0, 1, (num_users, rank)).astype(np.float32)
    kinds = rng.normal(0, 1, (num_items, rank)).astype(np.float32)
    popularity = 1 / np.arange(1, num_items + 1) ** 0.8
    activity = 1 / np.arange(1, num_users + 1) ** 0.4
    users, items, found = [], [], 0
    while found < size:
        u = rng.choice(num_users, 1_000_000, p=activity / activity.sum())
        i = rng.choice(num_items, 1_000_000, p=popularity / popularity.sum())
        affinity = np.einsum("rk,rk->r", tastes[u], kinds[i])
        taken = rng.random(len(u)) < 1 / (1 + np.exp(4 - 1.5 * affinity))
        users.append(u[taken].astype(np.int32))
        items.append(i[taken].astype(np.int32))
        found += int(taken.sum())
    pairs = np.unique(np.stack([np.concatenate(users), np.concatenate(items)]), axis=1)
    chosen = rng.permutation(pairs.shape[1])[:size]
    return pairs[0, chosen], pairs[1, chosen]


def matrix(pairs, shape):
    return sparse.csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape)


def split(pairs, share, seed):
    test = np.random.default_rng(seed).random(len(pairs[0])) < share
    return tuple(part[~test] for part in pairs), tuple(part[test] for part in pairs)


# ---- Lists ----

def evaluate(vectors, train, test):
    """Mean NDCG@10 and recall@20 over the users with test items."""
    users, items = vectors
    wanted = np.flatnonzero(np.diff(test.indptr))
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.cumsum(discount)
    ndcg = recall = 0.0
    for begin in range(0, len(wanted), USERS_AT_ONCE):
        block = wanted[begin:begin + USERS_AT_ONCE]
        scores = users[block] @ items.T
        rows, columns = train[block].nonzero()
        scores[rows, columns] = -np.inf
        best = np.argpartition(-scores, 20, axis=1)[:, :20]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        hits = np.take_along_axis(np.asarray(test[block].todense()) > 0, best, 1)
        relevant = np.diff(test.indptr)[block]
        ndcg += ((hits[:, :10] * discount).sum(1) / ideal[np.minimum(relevant, 10) - 1]).sum()
        recall += (hits.sum(1) / relevant).sum()
    return ndcg / len(wanted), recall / len(wanted)


# ---- Systems: the training matrix, parameters and perhaps iterations in; vectors, seconds and iterations out ----

def run_popularity(train, parameters, iterations=0):
    return (np.ones((train.shape[0], 1), np.float32), np.asarray(train.sum(0)).reshape(-1, 1)), 0.0, iterations


loaded = {}  # what the table `events` holds


def psql(sql):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    return subprocess.run(command, input=sql, text=True, check=True, stdout=subprocess.PIPE).stdout


def load_table(train):
    if loaded.get("train") is train:
        return
    loaded["train"] = train
    users, items = train.nonzero()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        np.savetxt(file, np.column_stack([users, items]), "%d\t%d")
        file.flush()
        psql("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS fmtopx; DROP TABLE IF EXISTS events;\n"
             "CREATE UNLOGGED TABLE events (user_id int, item_id int);\n"
             f"\\copy events from {file.name}\nVACUUM ANALYZE events")


def read_vectors(function, count):
    lines = psql(f"SELECT id, array_to_string(vector, ' ') FROM {function}('bench')").splitlines()
    dimension = len(lines[0].split("|")[1].split())
    vectors = np.zeros((count, dimension), np.float32)
    for line in lines:
        row, numbers = line.split("|")
        vectors[int(row)] = np.fromstring(numbers, np.float32, sep=" ")
    return vectors


def run_fmtopx(train, parameters, iterations=None):
    options = {name: value for name, value in parameters.items() if name != "unobserved_share"}
    if iterations is not None:
        options["iterations"] = iterations
    if "unobserved_share" in parameters:
        pairs = np.count_nonzero(train.sum(1)) * np.count_nonzero(train.sum(0))
        options["unobserved_weight"] = parameters["unobserved_share"] * train.nnz / pairs
    load_table(train)
    arguments = "".join(f", {name} => {value}" for name, value in options.items())
    line = psql("SELECT iterations, extract(epoch FROM finished_at - started_at) "
                f"FROM fm_train('bench', 'events', task => 'ranking', workers => 0{arguments})")
    iterations, seconds = line.split("|")
    vectors = read_vectors("fm_user_vectors", train.shape[0]), read_vectors("fm_item_vectors", train.shape[1])
    psql("SELECT fm_drop('bench')")
    return vectors, float(seconds), int(iterations)


def run_als(train, parameters, iterations=15):
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(iterations=iterations, num_threads=1, random_state=1, **parameters)
    begin = time.time()
    model.fit(train, show_progress=False)
    return (np.asarray(model.user_factors), np.asarray(model.item_factors)), time.time() - begin, iterations


def run_bpr(train, parameters, iterations=300):
    from implicit.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(iterations=iterations, num_threads=1, random_state=1, **parameters)
    begin = time.time()
    model.fit(train, show_progress=False)
    return (np.asarray(model.user_factors), np.asarray(model.item_factors)), time.time() - begin, iterations


def run_warp(train, parameters, iterations=30):
    from lightfm import LightFM

    alpha = parameters["alpha"]
    model = LightFM(parameters["factors"], loss="warp", learning_rate=parameters["learning_rate"], user_alpha=alpha,
                    item_alpha=alpha, random_state=1)
    begin = time.time()
    model.fit(train.tocoo(), epochs=iterations, num_threads=1)
    seconds = time.time() - begin
    biases, items = model.get_item_representations()
    users = model.get_user_representations()[1]
    ones = np.ones((len(users), 1), np.float32)
    return (np.hstack([users, ones]), np.hstack([items, biases.reshape(-1, 1)])), seconds, iterations


def grid(**values):
    return [dict(zip(values, point)) for point in itertools.product(*values.values())]


SYSTEMS = {
    "popularity": (run_popularity, [{}]),
    "fmtopx, tuned": (run_fmtopx, grid(num_factors=[32, 64], l2_reg_v=[0.35, 0.5, 0.7], unobserved_share=[3, 6, 12])),
    "implicit ALS": (run_als, grid(factors=[32, 64], regularization=[5, 20, 50], alpha=[2, 5, 10])),
    "implicit BPR": (run_bpr, grid(factors=[32, 64], regularization=[0.003, 0.01, 0.03], learning_rate=[0.02, 0.05, 0.1])),
    "LightFM WARP": (run_warp, grid(factors=[32, 64], alpha=[0, 1e-5, 1e-4], learning_rate=[0.02, 0.05, 0.1])),
}
BEST_ON_MOVIELENS = {
    "implicit ALS": {"factors": 64, "regularization": 20, "alpha": 2},
    "implicit BPR": {"factors": 64, "regularization": 0.01, "learning_rate": 0.05},
    "LightFM WARP": {"factors": 64, "alpha": 1e-5, "learning_rate": 0.05},
}
LARGEST = {"implicit BPR": 1_000_000, "LightFM WARP": 1_000_000}  # events; beyond, they take an hour


def tune(run, points, pairs, shape):
    if len(points) == 1:
        return points[0]
    rest, validation = split(split(pairs, 0.2, 0)[0], 0.1, 1000)
    train, test = matrix(rest, shape), matrix(validation, shape)
    return max(points, key=lambda point: evaluate(run(train, point)[0], train, test)[0])


def print_row(name, results, parameters):
    ndcg, recall, seconds, iteration = np.mean(results, 0)
    print(f"{name:18}{ndcg:10.4f}{recall:11.4f}{seconds:10.2f}{iteration:14.4f}   "
          f"{', '.join(f'{key} {value}' for key, value in parameters.items())}", flush=True)


def measure(run, parameters, train_pairs, test_pairs, shape):
    train, test = matrix(train_pairs, shape), matrix(test_pairs, shape)
    vectors, seconds, iterations = run(train, parameters)
    if iterations == 0:
        return (*evaluate(vectors, train, test), seconds, 0)
    fewer = max(1, iterations // 4)
    less = run(train, parameters, fewer)[1]
    return (*evaluate(vectors, train, test), seconds, (seconds - less) / (iterations - fewer))


def print_title(title):
    print(f"\n{title}\n{'':18}{'NDCG@10':>10}{'recall@20':>11}{'seconds':>10}{'an iteration':>14}")


def bench_movielens(folder):
    pairs = movielens(folder)
    shape = pairs[0].max() + 1, pairs[1].max() + 1
    print_title(f"MovieLens 100k, rated 4 or more, mean of {SEEDS} splits")
    systems = {"fmtopx, defaults": (run_fmtopx, [{}])} | SYSTEMS
    for name, (run, points) in systems.items():
        parameters = tune(run, points, pairs, shape)
        results = [measure(run, parameters, *split(pairs, 0.2, seed), shape) for seed in range(SEEDS)]
        print_row(name, results, parameters)


def bench_planted(size):
    pairs = planted(int(size.removesuffix("M")) * 1_000_000)
    shape = pairs[0].max() + 1, pairs[1].max() + 1
    print_title(f"{size} planted events, {shape[0]} users, {shape[1]} items")
    train, test = split(pairs, 0.1, 0)
    rows = [("popularity", run_popularity, {}), ("fmtopx, defaults", run_fmtopx, {}),
            ("fmtopx, 64 factors", run_fmtopx, {"num_factors": 64})]
    rows += [(name, SYSTEMS[name][0], best) for name, best in BEST_ON_MOVIELENS.items()]
    for name, run, parameters in rows:
        if len(pairs[0]) <= LARGEST.get(name, len(pairs[0])):
            print_row(name, [measure(run, parameters, train, test, shape)], parameters)


def main(sizes):
    for size in sizes or ["100k", "1M"]:
        if size != "100k":
            bench_planted(size)
        elif os.environ.get("MOVIELENS"):
            bench_movielens(os.environ["MOVIELENS"])
        else:
            print("MovieLens 100k is not here: skipped")


main(sys.argv[1:])
