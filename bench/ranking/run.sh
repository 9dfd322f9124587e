#!/bin/sh
# Rank by fmtopx, implicit (ALS, BPR), LightFM (WARP) and popularity on the same splits in one run.
#
#   bench/ranking/run.sh [SIZE ...]     100k (MovieLens, where it is), or millions of made-up events: 1M, 10M;
#                                       without any: 100k 1M
#
# The peers come from PyPI into a virtual environment below build/, made with PYTHON (python3), which must be
# one that the server's user may run if root calls this. No time makes the run fail: read the table, and
# compare only within it.
set -eu
cd "$(dirname "$0")/../.."
. bench/python.sh
server_python_with bench-ranking 'numpy, scipy, implicit, lightfm' numpy scipy implicit lightfm
make -s
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
exec scripts/with-cluster.sh "$python" bench/ranking/bench.py "$@"
