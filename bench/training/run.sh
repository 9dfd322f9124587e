#!/bin/sh
# Train fmtopx, myFM and libmf on the same splits in one run, and print quality, time and memory side by side.
#
#   bench/training/run.sh [SIZE ...]     sizes in ratings: 100k (MovieLens, where it is), 1M, 10M, 50M;
#                                        without any: 100k 1M 10M
#
# The peers come from PyPI into a virtual environment below build/, made with PYTHON (python3), which must be
# one that the server's user may run if root calls this. No time makes the run fail: read the table, and
# compare only within it.
set -eu
cd "$(dirname "$0")/../.."
. bench/python.sh
server_python_with bench-training 'numpy, scipy, myfm, libmf' numpy scipy myfm libmf
make -s
exec scripts/with-cluster.sh "$python" bench/training/bench.py "$@"
