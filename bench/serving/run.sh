#!/bin/sh
# Serve one model by fmtopx, pgvector, faiss, hnswlib and plain SQL in one run, and print latencies, rates,
# recall and memory side by side. The exact ones are held to the rows of a scan in double precision.
#
#   bench/serving/run.sh [--debian-13 DIR] [--factors N] [--vectors trained|normal] [SIZE ...]
#
# SIZE is a number of items, such as 10k, 200k, 1M or 5M; without any: 10k 200k. N is 64 by default. The
# vectors are trained ones, or (the hard case for approximate indexes) normal numbers put in their place.
#
# pgvector takes part where the server has it. Debian 13 has a package of it, Debian 12 has not: --debian-13
# runs all of this inside a Debian 13 in DIR, which it makes where there is none (debian-13.sh says how).
#
# faiss and hnswlib come from PyPI into a virtual environment below build/, made with PYTHON (python3), which
# must be one that the server's user may run if root calls this. No time makes the run fail: read the table,
# and compare only within it.
set -eu
if [ "${1:-}" = --debian-13 ]; then
    shift
    exec "$(dirname "$0")/debian-13.sh" "$@"
fi
cd "$(dirname "$0")/../.."
. bench/python.sh
server_python_with bench-serving 'numpy, faiss, hnswlib' numpy faiss-cpu hnswlib
make -s
SERVER_OPTIONS="shared_buffers = 4GB
maintenance_work_mem = 1GB
max_wal_size = 16GB
jit = off"
export SERVER_OPTIONS
exec scripts/with-cluster.sh "$python" -u bench/serving/bench.py "$@"
