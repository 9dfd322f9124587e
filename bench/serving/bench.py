"""Serve one model by fmtopx and by its peers, in one run; check the answers; print latency, rate, recall, memory.

Called by run.sh inside a throwaway cluster. data.py makes the model and the exact answers, systems.py says what
is measured and how. The systems take turns, a few seconds each, and of every system's turns the quietest (the
one of the lowest median) is shown: compare within a table only.
"""

import argparse
import os
import re
import subprocess
import sys
import time

import numpy as np

import data
import systems
from data import QUERIES, psql

X = 20
CHECKED = (1, 9, 90)  # users whose answers are compared, as long as that takes no more than CHECK_SECONDS
CHECK_SECONDS = 10
TURNS, SECONDS = 3, 2
CONNECTIONS = 50


def check(system, truth):
    """(recall, rows that differ, rows checked)"""
    answers, begin = [], time.time()
    for count in CHECKED:
        if time.time() - begin < CHECK_SECONDS:
            answers += system.answers(range(len(answers) + 1, len(answers) + count + 1))
    recall, wrong = truth.compare(answers, system.exact_to or 0, system.ranked, system.without_seen)
    return recall, wrong, sum(map(len, answers))


def measure(systems):
    for _ in range(TURNS):
        for system in systems:
            latencies = system.measure(SECONDS)
            if system.latencies is None or np.median(latencies) < np.median(system.latencies):
                system.latencies = latencies


def print_table(systems, truth):
    """True if the exact ones are exact. Rates follow from latencies, as no client waits between queries; ours is the
    first system of as many clients."""
    all_exact = True
    ours = {system.clients: np.median(system.latencies) for system in reversed(systems)}
    print(f"\n{'':40}{'clients':>8}{'answers':>16}{'p50 ms':>10}{'p99 ms':>10}{'queries/s':>11}"
          f"{'Gscores/s':>11}{'p50 / ours':>12}")
    for system in systems:
        recall, wrong, rows = check(system, truth)
        answers = f"recall {recall:.3f}"
        if system.exact_to is not None:
            answers = f"{wrong} of {rows} differ" if wrong else f"exact ({rows})"
            all_exact = all_exact and not wrong
        p50, p99 = np.percentile(system.latencies, [50, 99])
        rate = 1000 * system.clients / system.latencies.mean()
        scans = system.exact_to is not None and system.ranked is None
        scores = f"{rate * len(truth.items) / 1e9:.3f}" if scans else ""
        print(f"{system.name:40}{system.clients:8}{answers:>16}{p50:10.3f}{p99:10.3f}{rate:11.1f}{scores:>11}"
              f"{p50 / ours[system.clients]:12.2f}", flush=True)
    return all_exact


def memory_kb(pids):
    """(private, shared) memory of processes, the latter in parts that add up, without PostgreSQL's buffers."""
    private = shared = 0
    for pid in pids:
        mapping = ""
        for line in open(f"/proc/{pid}/smaps"):
            if re.match("[0-9a-f]+-", line):
                mapping = line
            elif "/dev/zero" in mapping:  # the main shared memory segment
                continue
            elif line.startswith("Private_"):
                private += int(line.split()[1])
                shared -= int(line.split()[1])
            elif line.startswith("Pss:"):
                shared += int(line.split()[1])
    return private, shared


class Connection:
    """A session that serves, and can be looked at from outside."""

    def __init__(self):
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = int(self.ask("SELECT pg_backend_pid()"))

    def ask(self, query):
        self.psql.stdin.write(query + ";\n")
        self.psql.stdin.flush()
        return self.psql.stdout.readline()

    def serve(self):
        self.ask(f"SELECT count(*) FROM fm_top_x(1::bigint, {X}, 'bench')")


def available_kb():
    return next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable:"))


def print_memory(num_items, num_factors):
    """What serving one model takes in CONNECTIONS connections, or as many as fit into half of what is free."""
    first = Connection()
    idle = memory_kb([first.pid])[0]
    first.serve()
    grown = memory_kb([first.pid])[0] - idle
    count = max(1, min(CONNECTIONS, available_kb() // 2 // max(grown, 1)))

    connections = [first] + [Connection() for _ in range(count - 1)]
    pids = [connection.pid for connection in connections]
    idle = np.array(memory_kb(pids[1:])) * count / max(count - 1, 1)
    for connection in connections:
        connection.serve()
    private, shared = (memory_kb(pids) - idle) / 1024
    matrix = num_items * (num_factors + 1) * 4 / 1024**2
    print(f"\n{count} connections that serve, over idle ones: {private:.0f} MB private in all, {shared:.0f} MB shared;"
          f" that is {(private + shared) / matrix:.2f} times the item vectors' {matrix:.0f} MB")
    if psql("SELECT to_regclass('fm_cache')") == "\n":
        print("there is no fm_cache in this version: skipped")
    else:
        print("fm_cache: " + psql("\\t off\nSELECT model, version, shared, pg_size_pretty(size) AS size, hits FROM fm_cache"))
    for connection in connections:
        connection.psql.communicate()


def sizes(text):
    unit = {"k": 1000, "M": 1_000_000}.get(text[-1], 1)
    return int(text.rstrip("kM")) * unit


def bench(num_items, num_factors, vectors):
    print(f"\n== {num_items:,} items, {num_factors} factors, {vectors} vectors, top {X} ==")
    psql("CREATE EXTENSION IF NOT EXISTS fmtopx")
    for table in "ratings", "item_array", "item_vector", "query_array", "query_vector", "list":
        psql(f"DROP TABLE IF EXISTS {table}")
    data.load_ratings(num_items)
    seconds = data.train(num_factors)
    print(f"trained from {psql('SELECT count(*) FROM ratings').strip()} ratings in {seconds:.1f} s", flush=True)
    if vectors == "normal":
        data.replace_by_normal(num_items, num_factors)
    data.make_vector_tables()
    items = data.read_vectors("item_array", "item_id", num_items)
    queries = data.read_vectors("query_array", "user_id", QUERIES)
    truth = data.Truth(items, queries[:sum(CHECKED)], X)
    print_memory(num_items, num_factors)
    competitors = [*systems.fmtopx(truth, X), *systems.pgvector(truth, X), *systems.plain_sql(truth, X),
                   *systems.faiss(truth, queries, X), *systems.hnswlib(truth, queries, X)]
    load = os.getloadavg()[0]
    if load > 1.5:
        print(f"The load of this machine is {load:.1f}: who else is busy slows long queries more than short ones")
    measure(competitors)
    all_exact = print_table(competitors, truth)
    psql("SELECT fm_drop('bench')")
    return all_exact


def main():
    parser = argparse.ArgumentParser(prog="bench/serving/run.sh")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--vectors", choices=["trained", "normal"], default="trained")
    parser.add_argument("sizes", nargs="*", type=sizes, default=[10_000, 200_000], metavar="SIZE")
    arguments = parser.parse_args()
    print(psql("SELECT version()").strip())
    exact = [bench(size, arguments.factors, arguments.vectors) for size in arguments.sizes]
    if not all(exact):
        sys.exit("an exact system gave other rows than a scan in double precision")


main()
