"""Rank by fmtopx and its peers on the same splits; print NDCG, recall and seconds.

MovieLens 100k is ratings: a fifth of the rows is the test, five times at random (MD5 of user/item modulo 5) and once
each user's last, and what counts are those rated 4 or more. fmtopx learns all rows as they are, by default two heads;
its rankings and the peers learn that there is a row, or that it was rated 4 or more, whichever is better. Last.fm and
ML-1M are pairs: a random fifth, and the split that its files have. Made-up events are meant for times.

The peers are tuned by a grid, on a tenth of the training rows (of the first split). fmtopx has its defaults. On
made-up events the peers have what was best on MovieLens in earlier runs.

What was trained on is left out of the lists. Every system hands over vectors of users and items; the lists are made
of them by the same code for all. Seconds are of a whole training in one thread: fmtopx's are as fm_runs says, reading
the table and writing the model included, the peers' begin with a sparse matrix in memory. An iteration is the
difference of two trainings, the second a quarter as long, by the iterations between them, so neither reading
nor preparing counts.

Called by run.sh inside a throwaway cluster.
"""

import hashlib
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.sparse as sparse

FOLDS = 5
LIKED = 4
USERS_AT_ONCE = 512


# ---- Data ----

class Split:
    """What is trained on and what is to be found: matrices of ones, and the ratings, if there are any."""

    def __init__(self, rows, test, shape):
        """Make it of the columns users, items and perhaps ratings, and of which rows are the test."""
        users, items = rows[:2]
        self.ratings = rows[2] if len(rows) > 2 else None
        liked = np.ones(len(users), bool) if self.ratings is None else self.ratings >= LIKED
        self.rows, self.shape = [column[~test] for column in rows], shape
        self.train = matrix((users[~test], items[~test]), shape)
        self.liked = self.train if liked.all() else matrix((users[~test & liked], items[~test & liked]), shape)
        self.test = matrix((users[test & liked], items[test & liked]), shape)

    def validation(self):
        """A split of what is trained on, for tuning."""
        return Split(self.rows, np.random.default_rng(1000).random(len(self.rows[0])) < 0.1, self.shape)

    def learnt(self, parameters):
        """The matrix that `rows` asks for: all, or those rated 4 or more."""
        return self.train if parameters.get("rows", "all") == "all" else self.liked


def numbered(values):
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def fifth(data):
    digests = (hashlib.md5(f"{user}/{item}".encode()).hexdigest() for user, item in data[:, :2])
    return np.array([int(digest, 16) % FOLDS for digest in digests])


def movielens(folder):
    """The splits of MovieLens 100k, five at random and one by time."""
    data = np.loadtxt(os.path.join(folder, "u.data"), dtype=np.int64)
    rows = numbered(data[:, 0]), numbered(data[:, 1]), data[:, 2]
    shape = rows[0].max() + 1, rows[1].max() + 1
    random = fifth(data)
    latest = np.lexsort((-data[:, 1], -data[:, 3], data[:, 0]))
    count = np.bincount(rows[0])
    begin = np.cumsum(count) - count
    last = np.zeros(len(data), bool)
    last[latest] = np.arange(len(data)) - begin[rows[0][latest]] < count[rows[0][latest]] // FOLDS
    return [Split(rows, random == fold, shape) for fold in range(FOLDS)], Split(rows, last, shape)


def lastfm(folder):
    data = np.loadtxt(os.path.join(folder, "user_artists.dat"), dtype=np.int64, skiprows=1)
    rows = numbered(data[:, 0]), numbered(data[:, 1])
    return Split(rows, fifth(data) == 0, (rows[0].max() + 1, rows[1].max() + 1))


def ml_1m(folder):
    parts = []
    for name in ("train.txt", "test.txt"):
        with open(os.path.join(folder, name)) as file:
            lines = [np.array(line.split(), np.int32) for line in file]
        parts.append((np.concatenate([np.full(len(line) - 1, line[0]) for line in lines]),
                      np.concatenate([line[1:] for line in lines])))
    rows = [np.concatenate(columns) for columns in zip(*parts)]
    test = np.arange(len(rows[0])) >= len(parts[0][0])
    return Split(rows, test, (rows[0].max() + 1, rows[1].max() + 1))


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


# ---- Lists ----

def evaluate(vectors, split, depth=10):
    """Mean NDCG to a depth and recall@20 over the users with test items."""
    users, items = vectors
    train, test = split.train, split.test
    wanted = np.flatnonzero(np.diff(test.indptr))
    discount = 1 / np.log2(np.arange(2, depth + 2))
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
        ndcg += ((hits[:, :depth] * discount).sum(1) / ideal[np.minimum(relevant, depth) - 1]).sum()
        recall += (hits.sum(1) / relevant).sum()
    return ndcg / len(wanted), recall / len(wanted)


# ---- Systems: a split, parameters and perhaps iterations in; vectors, seconds and iterations out ----

def run_popularity(split, parameters, iterations=0):
    counts = np.asarray(split.learnt(parameters).sum(0)).reshape(-1, 1)
    return (np.ones((split.shape[0], 1), np.float32), counts), 0.0, iterations


def run_ease(split, parameters, iterations=0):
    """EASE^R (Steck, 2019): B = I - P diag(1 / diag P), P = inverse(X'X + l2), users score XB.

    With fewer users than items, XP = KX, where K = inverse(XX' + l2).
    """
    train, l2 = split.learnt(parameters).astype(np.float64), parameters["l2"]
    begin = time.time()
    if train.shape[0] < train.shape[1]:
        projected = np.linalg.inv((train @ train.T).toarray() + l2 * np.eye(train.shape[0])) @ train
        diagonal = (1 - np.asarray(train.multiply(projected).sum(0)).ravel()) / l2
        scores = train.toarray() - projected / diagonal
        return (scores, sparse.identity(train.shape[1], format="csr")), time.time() - begin, iterations
    inverse = np.linalg.inv((train.T @ train).toarray() + l2 * np.eye(train.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return (train, weights.T), time.time() - begin, iterations


loaded = {}  # what the table `events` holds


def psql(sql):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    return subprocess.run(command, input=sql, text=True, check=True, stdout=subprocess.PIPE).stdout


def load_table(name, rows):
    if loaded.get(name) is rows:
        return
    loaded[name] = rows
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        np.savetxt(file, np.column_stack(rows), "\t".join(["%d"] * len(rows)))
        file.flush()
        columns = "user_id int, item_id int" + (", rating real" if len(rows) > 2 else "")
        psql("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS fmtopx; "
             f"DROP TABLE IF EXISTS {name};\nCREATE UNLOGGED TABLE {name} ({columns});\n"
             f"\\copy {name} from {file.name}\nVACUUM ANALYZE {name}")


def read_vectors(function, count):
    lines = psql(f"SELECT id, array_to_string(vector, ' ') FROM {function}('bench')").splitlines()
    dimension = len(lines[0].split("|")[1].split())
    vectors = np.zeros((count, dimension), np.float32)
    for line in lines:
        row, numbers = line.split("|")
        vectors[int(row)] = np.array(numbers.split(), np.float32)
    return vectors


def run_fmtopx(split, parameters, iterations=None, task="ranking"):
    options = {name: value for name, value in parameters.items() if name != "rows"}
    if iterations is not None:
        options["iterations"] = iterations
    table = "ratings"
    if task == "ranking" and parameters.get("rows") == "liked":
        table = "liked"
        if loaded.get("of") is not split:
            loaded["of"] = split
            load_table("liked", [column.astype(np.int32) for column in split.liked.nonzero()])
    else:
        load_table("ratings", split.rows)
    arguments = "".join(f", {name} => {value}" for name, value in options.items())
    line = psql("SELECT iterations, extract(epoch FROM finished_at - started_at) "
                f"FROM fm_train('bench', '{table}', task => '{task}', workers => 0{arguments})")
    iterations, seconds = line.split("|")
    vectors = read_vectors("fm_user_vectors", split.shape[0]), read_vectors("fm_item_vectors", split.shape[1])
    psql("SELECT fm_drop('bench')")
    return vectors, float(seconds), int(iterations)


def run_two_heads(split, parameters, iterations=None):
    return run_fmtopx(split, parameters, iterations, "regression")


def known(parameters):
    """Without what is not the peer's own."""
    return {name: value for name, value in parameters.items() if name != "rows"}


def run_als(split, parameters, iterations=15):
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(iterations=iterations, num_threads=1, random_state=1, **known(parameters))
    begin = time.time()
    model.fit(split.learnt(parameters), show_progress=False)
    return (np.asarray(model.user_factors), np.asarray(model.item_factors)), time.time() - begin, iterations


def run_bpr(split, parameters, iterations=300):
    from implicit.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(iterations=iterations, num_threads=1, random_state=1, **known(parameters))
    begin = time.time()
    model.fit(split.learnt(parameters), show_progress=False)
    return (np.asarray(model.user_factors), np.asarray(model.item_factors)), time.time() - begin, iterations


def run_warp(split, parameters, iterations=30):
    from lightfm import LightFM

    alpha = parameters["alpha"]
    model = LightFM(parameters["factors"], loss="warp", learning_rate=parameters["learning_rate"], user_alpha=alpha,
                    item_alpha=alpha, random_state=1)
    begin = time.time()
    model.fit(split.learnt(parameters).tocoo(), epochs=iterations, num_threads=1)
    seconds = time.time() - begin
    biases, items = model.get_item_representations()
    users = model.get_user_representations()[1]
    ones = np.ones((len(users), 1), np.float32)
    return (np.hstack([users, ones]), np.hstack([items, biases.reshape(-1, 1)])), seconds, iterations


def grid(**values):
    return [dict(zip(values, point)) for point in itertools.product(*values.values())]


ROWS = ["all", "liked"]
PEERS = {
    "popularity": (run_popularity, grid(rows=ROWS)),
    "EASE^R": (run_ease, grid(rows=ROWS, l2=[50, 100, 200, 400, 800, 1600, 3200])),
    "implicit ALS": (run_als, grid(rows=ROWS, factors=[64, 128], regularization=[5, 20, 50], alpha=[1, 2])),
    "LightFM WARP": (run_warp, grid(rows=ROWS, factors=[64], alpha=[0, 1e-5], learning_rate=[0.02, 0.05])),
}
BEST_ON_MOVIELENS = {
    "implicit ALS": {"factors": 64, "regularization": 20, "alpha": 2},
    "implicit BPR": {"factors": 64, "regularization": 0.01, "learning_rate": 0.05},
    "LightFM WARP": {"factors": 64, "alpha": 1e-5, "learning_rate": 0.05},
}
LARGEST = {"implicit BPR": 1_000_000, "LightFM WARP": 1_000_000}  # events; beyond, they take an hour


def installed(name):
    module = {"implicit": "implicit", "LightFM": "lightfm"}.get(name.split()[0])
    return module is None or importlib.util.find_spec(module) is not None


def tune(run, points, split):
    if split.ratings is None:
        points = [point for point in points if point["rows"] == "all"]
    validation = split.validation()
    return max(points, key=lambda point: evaluate(run(validation, point)[0], validation)[0])


def print_title(title, depth=10, iterations=False):
    print(f"\n{title}\n{'':20}{f'NDCG@{depth}':>10}{'recall@20':>11}{'seconds':>10}" +
          (f"{'an iteration':>14}" if iterations else ""), flush=True)


def print_row(name, results, parameters):
    ndcg, recall, seconds, *iteration = np.mean(results, 0)
    print(f"{name:20}{ndcg:10.4f}{recall:11.4f}{seconds:10.2f}{''.join(f'{each:14.4f}' for each in iteration)}   "
          f"{', '.join(f'{key} {value}' for key, value in parameters.items())}", flush=True)
    return ndcg, recall


def measure(run, parameters, split, depth):
    vectors, seconds, _ = run(split, parameters)
    return *evaluate(vectors, split, depth), seconds


def measure_iteration(run, parameters, split):
    vectors, seconds, iterations = run(split, parameters)
    if iterations == 0:
        return *evaluate(vectors, split), seconds, 0
    fewer = max(1, iterations // 4)
    less = run(split, parameters, fewer)[1]
    return *evaluate(vectors, split), seconds, (seconds - less) / (iterations - fewer)


def compare(title, ours, splits, chosen, depth=10):
    """Print a table: ours, whose first system is to be ahead of all peers, and the peers by chosen parameters."""
    print_title(title, depth)
    found = {name: print_row(name, [measure(run, parameters, split, depth) for split in splits], parameters)
             for name, (run, parameters) in ours.items()}
    first = next(iter(found.values()))
    for name, parameters in chosen.items():
        results = [measure(PEERS[name][0], parameters, split, depth) for split in splits]
        found[name] = print_row(name, results, parameters)
    ahead = {name: first[0] > found[name][0] and first[1] > found[name][1] for name in chosen}
    behind = [name for name in chosen if not ahead[name]]
    verdict = "NOT ahead of " + ", ".join(behind) if behind else "ahead of all peers"
    print(f"fmtopx by default is {verdict}", flush=True)


def choose(split):
    """The peers' parameters, by their grids."""
    return {name: tune(run, points, split) for name, (run, points) in PEERS.items() if installed(name)}


def bench_movielens(folder):
    random, by_time = movielens(folder)
    chosen = choose(random[0])
    ours = {"fmtopx, defaults": (run_two_heads, {}), "fmtopx, ranking": (run_fmtopx, {}),
            "  rated 4 or more": (run_fmtopx, {"rows": "liked"})}
    compare(f"MovieLens 100k, a random fifth, mean of {FOLDS} splits", ours, random, chosen)
    compare("MovieLens 100k, each user's last fifth", ours, [by_time], chosen)


def bench_pairs(title, split, depth):
    compare(title, {"fmtopx, defaults": (run_fmtopx, {})}, [split], choose(split), depth)


def bench_planted(size):
    users, items = planted(int(size.removesuffix("M")) * 1_000_000)
    test = np.random.default_rng(0).random(len(users)) < 0.1
    split = Split((users, items), test, (users.max() + 1, items.max() + 1))
    print_title(f"{size} planted events, {split.shape[0]} users, {split.shape[1]} items", iterations=True)
    rows = [("popularity", run_popularity, {}), ("fmtopx, defaults", run_fmtopx, {}),
            ("fmtopx, 64 factors", run_fmtopx, {"num_factors": 64})]
    runs = {"implicit ALS": run_als, "implicit BPR": run_bpr, "LightFM WARP": run_warp}
    rows += [(name, runs[name], best) for name, best in BEST_ON_MOVIELENS.items() if installed(name)]
    for name, run, parameters in rows:
        if len(users) <= LARGEST.get(name, len(users)):
            print_row(name, [measure_iteration(run, parameters, split)], parameters)


def main(arguments):
    folder = os.environ.get("MOVIELENS", "")
    beside = os.environ.get("LISTS") or os.path.dirname(folder)
    real = {"100k": (os.path.join(folder, "u.data"), lambda: bench_movielens(folder)),
            "lastfm": (os.path.join(beside, "lastfm", "user_artists.dat"), lambda: bench_pairs(
                "Last.fm, a random fifth", lastfm(os.path.join(beside, "lastfm")), 10)),
            "ml-1m": (os.path.join(beside, "ml-1m-positives", "test.txt"), lambda: bench_pairs(
                "ML-1M, positives", ml_1m(os.path.join(beside, "ml-1m-positives")), 20))}
    for name in ("implicit", "LightFM"):
        if not installed(name):
            print(f"{name} is not installed: left out")
    for name in arguments or ["100k", "lastfm", "ml-1m", "1M"]:
        if name not in real:
            bench_planted(name)
        elif os.path.exists(real[name][0]):
            real[name][1]()
        else:
            print(f"{name} is not here: skipped")


main(sys.argv[1:])
