"""What is measured: statements through SQL with pgbench, and libraries within this process.

Each system has a name, says whether it is exact, answers queries (users 1, 2, ...) with lists of item ids, and
measures itself: the latencies in milliseconds of as many queries as a few seconds allow.
"""

import glob
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np

from data import QUERIES, psql

DOUBLE, SINGLE = 1e-12, 1e-6  # rounding of an inner product, in units of the product of the norms


@dataclass
class Sql:
    """A statement that gives item ids in order, for the user :user."""

    name: str
    statement: str
    settings: str = ""
    exact_to: float = None  # None: approximate
    without_seen: bool = False
    ranked: list = None  # the answers to expect are among certain items only
    clients: int = 1
    connect: bool = False  # a new connection for every query
    latencies: np.ndarray = field(default=None, repr=False)

    def answers(self, users):
        script = "".join(f"\\set user {user}\n\\echo user\n{self.statement};\n" for user in users)
        lists = psql(script, self.settings).split("user\n")[1:]
        return [[int(item) for item in answer.split()] for answer in lists]

    def measure(self, seconds):
        with tempfile.TemporaryDirectory() as folder:
            script = os.path.join(folder, "script")
            with open(script, "w") as file:
                file.write(f"\\set user random(1, {QUERIES})\n{self.statement};\n")
            command = ["pgbench", "-n", "-M", "prepared", "-c", str(self.clients), "-T", str(seconds), "-f", script,
                       "--random-seed=1", "-l", f"--log-prefix={folder}/log"] + ["-C"] * self.connect
            environment = {**os.environ, "PGOPTIONS": self.settings}
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
            log = np.loadtxt(glob.glob(f"{folder}/log*")[0], dtype=np.int64, usecols=(0, 2), ndmin=2)
        if not self.connect and len(log) > self.clients:  # the first of a client loads and prepares
            log = np.delete(log, np.unique(log[:, 0], return_index=True)[1], axis=0)
        return log[:, 1] / 1000


@dataclass
class Library:
    """A search for one vector within this process, in one thread."""

    name: str
    queries: np.ndarray
    search: callable  # a row of queries, as a matrix: the places of the items
    exact_to: float = None
    without_seen: bool = False
    ranked: list = None
    clients: int = 1
    latencies: np.ndarray = field(default=None, repr=False)

    def answers(self, users):
        return [(self.search(self.queries[user - 1:user]) + 1).ravel().tolist() for user in users]

    def measure(self, seconds):
        rng, latencies, end = np.random.default_rng(1), [], time.perf_counter() + seconds
        while not latencies or begin < end:
            user = rng.integers(QUERIES)
            begin = time.perf_counter()
            self.search(self.queries[user:user + 1])
            latencies.append(1000 * (time.perf_counter() - begin))
        return np.array(latencies[1:] or latencies)


HNSW_LINKS, HNSW_BUILD = 16, 64  # m and ef_construction: pgvector's defaults, given to all
HNSW_SEARCH = (20, 40, 100, 200, 400, 800)
HNSW_MOST = 1_000_000  # items; above, building takes hours
PLAIN_MOST = 1_000_000


def fmtopx(truth, x):
    call = f"SELECT item_id FROM fm_top_x(:user::bigint, {x}, 'bench'"
    yield Sql("fmtopx, without 100 seen", call + ")", exact_to=DOUBLE, without_seen=True)
    yield Sql("fmtopx, without 100 seen", call + ")", exact_to=DOUBLE, without_seen=True, clients=8)
    yield Sql("fmtopx, function of the model", f"SELECT item_id FROM fm_bench_top_x(:user, {x})", exact_to=DOUBLE,
              without_seen=True)
    yield Sql("fmtopx, all items", call + ", false)", exact_to=DOUBLE)
    yield Sql("fmtopx, all items", call + ", false)", exact_to=DOUBLE, clients=8)
    yield Sql("fmtopx, first call of a connection", call + ")", exact_to=DOUBLE, without_seen=True, connect=True)

    psql("CREATE UNLOGGED TABLE list (size int PRIMARY KEY, ids bigint[]); "
         "ALTER TABLE list ALTER ids SET STORAGE EXTERNAL")
    for size in min(100_000, len(truth.items) // 2), x:
        ids = np.random.default_rng(size).choice(len(truth.items), size, replace=False) + 1
        psql(f"INSERT INTO list VALUES ({size}, '{{{','.join(map(str, ids))}}}')")
        yield Sql(f"fmtopx, {size:,} candidates", call + f", false, (SELECT ids FROM list WHERE size = {size}))",
                  exact_to=DOUBLE, ranked=truth.rank(np.sort(ids)))


def pgvector(truth, x):
    if psql("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == "0\n":
        print("pgvector is not installed here: skipped (see --debian-13)")
        return
    psql("""
CREATE EXTENSION IF NOT EXISTS vector;
CREATE UNLOGGED TABLE item_vector AS SELECT item_id, v::vector FROM item_array;
CREATE UNLOGGED TABLE query_vector AS SELECT user_id, v::vector FROM query_array;
ALTER TABLE query_vector ADD PRIMARY KEY (user_id);
VACUUM ANALYZE item_vector; VACUUM ANALYZE query_vector;
""".replace("v::vector", f"v::vector({truth.items.shape[1]})"))
    statement = ("SELECT item_id FROM item_vector "
                 f"ORDER BY v <#> (SELECT v FROM query_vector WHERE user_id = :user) LIMIT {x}")
    alone = "-c max_parallel_workers_per_gather=0"
    for clients in 1, 8:
        yield Sql("pgvector, exact", statement, f"{alone} -c enable_indexscan=off", SINGLE, clients=clients)
    if len(truth.items) > HNSW_MOST:
        return
    begin = time.time()
    psql("SET maintenance_work_mem = '4GB'; "
         "CREATE INDEX item_hnsw ON item_vector USING hnsw (v vector_ip_ops) "
         f"WITH (m = {HNSW_LINKS}, ef_construction = {HNSW_BUILD})")
    size = psql("SELECT pg_size_pretty(pg_relation_size('item_hnsw'))").strip()
    release = psql("SELECT extversion FROM pg_extension WHERE extname = 'vector'").strip()
    print(f"pgvector {release}, HNSW index: built in {time.time() - begin:.0f} s, {size}")
    for search, clients in [(search, 1) for search in HNSW_SEARCH] + [(200, 8)]:
        yield Sql(f"pgvector, HNSW, ef_search {search}", statement,
                  f"-c enable_seqscan=off -c hnsw.ef_search={search}", clients=clients)


def plain_sql(truth, x):
    if len(truth.items) <= PLAIN_MOST:
        yield Sql("plain SQL over real[]", f"""
SELECT i.item_id FROM item_array i
ORDER BY (SELECT sum(a::float8 * b) FROM unnest(i.v, (SELECT v FROM query_array WHERE user_id = :user)) t(a, b)) DESC
LIMIT {x}""", "-c max_parallel_workers_per_gather=0", DOUBLE)


def faiss(truth, queries, x):
    import faiss as library

    cores = os.cpu_count()
    library.omp_set_num_threads(cores)
    dimensions = truth.items.shape[1]
    flat = library.IndexFlatIP(dimensions)
    flat.add(truth.items)
    graph = None
    if len(truth.items) <= HNSW_MOST:
        begin = time.time()
        graph = library.IndexHNSWFlat(dimensions, HNSW_LINKS, library.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = HNSW_BUILD
        graph.add(truth.items)
        print(f"faiss {library.__version__}, HNSW index: built in {time.time() - begin:.0f} s")
    library.omp_set_num_threads(1)
    yield Library("faiss, IndexFlatIP", queries, lambda query: flat.search(query, x)[1], SINGLE)
    for ef in HNSW_SEARCH if graph else ():
        parameters = library.SearchParametersHNSW(efSearch=ef)
        yield Library(f"faiss, IndexHNSWFlat, efSearch {ef}", queries,
                      lambda query, parameters=parameters: graph.search(query, x, params=parameters)[1])


def hnswlib(truth, queries, x):
    if len(truth.items) > HNSW_MOST:
        return
    import hnswlib as library

    begin = time.time()
    index = library.Index("ip", truth.items.shape[1])
    index.init_index(len(truth.items), ef_construction=HNSW_BUILD, M=HNSW_LINKS)
    index.add_items(truth.items)
    print(f"hnswlib {version('hnswlib')}, HNSW index: built in {time.time() - begin:.0f} s")
    for ef in HNSW_SEARCH:
        def search(query, ef=ef):
            index.set_ef(ef)
            return index.knn_query(query, x, num_threads=1)[0].astype(np.int64)
        yield Library(f"hnswlib, ef {ef}", queries, search)
