"""Time exact top-20 scans of fmtopx's kernels and of faiss's IndexFlatIP, in turns, in one process and one thread.

Called by run.sh. Both get the bias as a 65th dimension of a vector of 64 factors. The turns are so that both meet
the same machine; the ratios are of medians. Time is that of the CPU, so that other work on the machine counts less,
and a second thread, if a library had one, would count in full. In each turn a contender answers a few single queries
in a row. The first of them is shown apart, as "cold": faiss goes before each kernel, and fills the caches with its
own copy. A list of faiss may differ from ours where two scores are equal up to the rounding of its float sums, and
nowhere else.

faiss is given the faster of its two ways for each case. Left to itself it takes BLAS only where queries times
dimensions are many (distance_compute_blas_threshold), and the 256 queries of the batch here are few: without BLAS
they run at a sixth of the speed, which would flatter us.
"""

import ctypes
import sys
import time

import faiss
import numpy as np

FACTORS = 64
X = 20
QUERIES = 256  # of the batch
BLAS_NEVER, BLAS_ALWAYS = 2**31 - 1, 1
TURNS = 40
IN_A_ROW = 8  # single queries of each, in a turn
BATCHES = 11

HIT = np.dtype([("item", np.int32), ("score", np.float64)], align=True)


class Scan:
    """The shared library of kernels.c."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.bench_build.restype = ctypes.c_void_p
        self.lib.fm_scan_kernel_names.restype = ctypes.POINTER(ctypes.c_char_p)

    def kernels(self):
        names, result = self.lib.fm_scan_kernel_names(), []
        while names[len(result)] is not None:
            result.append(names[len(result)].decode())
        return result

    def use(self, kernel):
        self.lib.fm_scan_use_kernel(kernel.encode())

    def build(self, rows):
        self.matrix = ctypes.c_void_p(
            self.lib.bench_build(rows.ctypes.data_as(ctypes.c_void_p), len(rows), rows.shape[1] - 1))

    def free(self):
        self.lib.bench_free(self.matrix)

    def one(self, query):
        hits = np.empty(X, HIT)
        self.lib.bench_one(self.matrix, query.ctypes.data_as(ctypes.c_void_p), X,
                           hits.ctypes.data_as(ctypes.c_void_p))
        return hits

    def batch(self, queries):
        hits = np.empty((len(queries), X), HIT)
        counts = np.empty(len(queries), np.int32)
        self.lib.bench_batch(self.matrix, queries.ctypes.data_as(ctypes.c_void_p), len(queries), X,
                             hits.ctypes.data_as(ctypes.c_void_p), counts.ctypes.data_as(ctypes.c_void_p))
        return hits


def gaussian(num_items, rng):
    items = rng.standard_normal((num_items, FACTORS + 1), dtype=np.float32)
    queries = rng.standard_normal((QUERIES, FACTORS + 1), dtype=np.float32)
    return items, queries


def trained(num_items, rng):
    """In the manner of a training: few directions carry most, and the rarer an item the shorter its vector.

    Harder to pass over than the vectors of a real training that it was modelled on (the default solver, 4 million
    ratings of 200,000 items by Zipf popularity): 22 percent of the tiles are screened, there 6.
    """
    spectrum = 1 / (1 + np.arange(FACTORS) / 6) ** 1.5
    popularity = 1 / (1 + np.arange(num_items) / (num_items / 50)) ** 0.5
    items = rng.standard_normal((num_items, FACTORS + 1), dtype=np.float32)
    items[:, :FACTORS] *= (0.5 * spectrum * (0.3 + 0.7 * popularity[:, None])).astype(np.float32)
    items[:, FACTORS] *= (0.4 * (0.5 + 0.5 * popularity)).astype(np.float32)
    items = items[rng.permutation(num_items)]
    queries = rng.standard_normal((QUERIES, FACTORS + 1), dtype=np.float32)
    queries[:, :FACTORS] *= (0.9 * spectrum**0.5).astype(np.float32)
    return items, queries


def check(items, queries, ours, theirs):
    """Ours must be descending and right to the bit; theirs must hold the same items but for near-ties."""
    for query, hits, other in zip(queries, ours, theirs):
        exact = items[hits["item"]].astype(np.float64) @ query.astype(np.float64)
        size = np.linalg.norm(query) * np.linalg.norm(items[hits["item"]], axis=1).max()
        assert np.allclose(exact, hits["score"], rtol=0, atol=1e-12 * size)
        assert (np.diff(hits["score"]) <= 0).all()
        for item in set(other) ^ set(hits["item"]):
            score = items[item].astype(np.float64) @ query.astype(np.float64)
            assert abs(score - hits["score"][-1]) <= 1e-5 * size, (item, score, hits)


def timed(call, *args):
    begin = time.process_time_ns()
    result = call(*args)
    return result, (time.process_time_ns() - begin) / 1e6


def run(scan, name, items, queries):
    num_items = len(items)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    _, load = timed(scan.build, items)
    print(f"\n{name}: {num_items:,} items x {FACTORS} factors and bias, top {X}; built in {load:.0f} ms")
    print(f"{'':14}{'one query':>12}{'p99':>9}{'ratio':>7}{'cold':>12}{'ratio':>7}{'batch':>15}{'ratio':>7}")
    contenders = ["faiss"] + scan.kernels()
    warm, cold, rate = ({c: [] for c in contenders} for _ in range(3))
    lists = {}
    turns, batches = (TURNS, BATCHES) if num_items <= 1_000_000 else (TURNS // 8, 2)
    faiss.cvar.distance_compute_blas_threshold = BLAS_NEVER
    for turn in range(turns):
        for c in [c for kernel in contenders[1:] for c in ("faiss", kernel)]:
            scan.use("auto" if c == "faiss" else c)
            for i in range(IN_A_ROW):
                query = queries[(turn * IN_A_ROW + i) % len(queries):][:1]
                _, ms = timed(index.search, query, X) if c == "faiss" else timed(scan.one, query)
                (warm if i > 0 else cold)[c].append(ms)
    faiss.cvar.distance_compute_blas_threshold = BLAS_ALWAYS
    for _ in range(batches):
        for c in contenders:
            scan.use("auto" if c == "faiss" else c)
            lists[c], ms = timed(index.search, queries, X) if c == "faiss" else timed(scan.batch, queries)
            rate[c].append(len(queries) * num_items / ms / 1e6)
    lists["faiss"] = lists["faiss"][1]
    for c in contenders:
        p50, p99 = np.percentile(warm[c], [50, 99])
        first, per_s = np.median(cold[c]), np.median(rate[c])
        print(f"{c:14}{p50:9.3f} ms{p99:9.3f}{np.median(warm['faiss']) / p50:7.1f}"
              f"{first:9.3f} ms{np.median(cold['faiss']) / first:7.1f}"
              f"{per_s:11.2f} G/s{per_s / np.median(rate['faiss']):7.1f}")
        if c != "faiss":
            check(items, queries, lists[c], lists["faiss"])
            scan.use(c)
            for query, hits in zip(queries, lists[c]):
                assert (scan.one(query) == hits).all()
    first = lists[contenders[1]]
    assert all((lists[c] == first).all() for c in contenders[1:])
    print("all lists equal; faiss's up to near-ties of its floats")
    scan.free()


def main():
    faiss.omp_set_num_threads(1)
    scan = Scan(sys.argv[1])
    wanted = sys.argv[2:] or ["gaussian", "trained", "large"]
    print(f"faiss {faiss.__version__} ({faiss.get_compile_options().strip()})")
    rng = np.random.default_rng(1)
    for name in wanted:
        make = gaussian if name == "large" else {"gaussian": gaussian, "trained": trained}.get(name)
        if make is None:
            items = np.load(name + "_items.npy")
            queries = np.load(name + "_users.npy")[:QUERIES].copy()
            run(scan, name, items, queries)
        else:
            run(scan, name, *make(5_000_000 if name == "large" else 200_000, rng))


main()
