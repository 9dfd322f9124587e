#!/bin/sh
# Time the scan alone, kernel by kernel, beside faiss's IndexFlatIP, in one run and one thread. The lists are
# compared.
#
#   bench/scan/run.sh [MATRIX ...]     gaussian, trained, large (5 million items), or PREFIX for vectors in
#                                      PREFIX_items.npy and PREFIX_users.npy; without any: the first three
#
# faiss comes from PyPI into a virtual environment below build/, made with PYTHON (python3). No time makes the
# run fail: read the table, and compare only within it.
set -eu
cd "$(dirname "$0")/../.."
. bench/python.sh
python_with bench-serving 'numpy, faiss' numpy faiss-cpu
# As PGXS compiles the extension: -O3, and no flag that names a machine.
"${CC:-cc}" -std=gnu11 -O3 -fPIC -shared -Isrc -o build/bench-scan.so bench/scan/kernels.c \
    src/core/scan/*.c -lm
OMP_NUM_THREADS=1 exec "$python" bench/scan/bench.py build/bench-scan.so "$@"
