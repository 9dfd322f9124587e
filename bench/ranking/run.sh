#!/bin/sh
# Rank by fmtopx, EASE^R, implicit (ALS, BPR), LightFM (WARP) and popularity on the same splits in one run.
#
#   bench/ranking/run.sh [DATA ...]     100k (MovieLens), lastfm, ml-1m, or made-up events: 1M, 10M; without
#                                       any: 100k lastfm ml-1m 1M
#
# MOVIELENS names the folder of MovieLens 100k, LISTS the one of the folders lastfm and ml-1m-positives (the
# parent of MOVIELENS). What is absent is skipped.
#
# The peers come from PyPI into a virtual environment below build/, made with PYTHON (python3), which must be
# one that the server's user may run if root calls this. No time makes the run fail: read the table, and
# compare only within it.
set -eu
cd "$(dirname "$0")/../.."
. bench/python.sh
server_python_with bench-ranking 'numpy, scipy' numpy scipy
for peer in implicit lightfm; do # they have no binary packages everywhere, and the bench does without
    python_with bench-ranking "$peer" "$peer" || echo "fmtopx: $peer cannot be installed with this Python"
done
make -s
LISTS=${LISTS:-${MOVIELENS:+$(dirname "$MOVIELENS")}}
export LISTS OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
exec scripts/with-cluster.sh "$python" bench/ranking/bench.py "$@"
