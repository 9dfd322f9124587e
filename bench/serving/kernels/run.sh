#!/bin/sh
# The scan alone, kernel by kernel, beside faiss's IndexFlatIP, in one run and one thread, with the lists compared.
#
#   bench/serving/kernels/run.sh [MATRIX ...]     gaussian, trained, large (5 million items), or PREFIX for vectors
#                                                 in PREFIX_items.npy and PREFIX_users.npy; without any: the first three
#
# faiss comes from PyPI into a virtual environment below build/, made with PYTHON (python3). Nothing is asserted
# about time: read the table, and compare only within it.
set -eu
cd "$(dirname "$0")/../../.."
venv=build/bench-serving
if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet numpy faiss-cpu
fi
# As PGXS compiles the extension: -O3, and no flag that names a machine.
"${CC:-cc}" -std=gnu11 -O3 -fPIC -shared -Isrc -o build/bench-kernels.so bench/serving/kernels/kernels.c \
    src/core/scan/*.c -lm
OMP_NUM_THREADS=1 exec "$venv/bin/python" bench/serving/kernels/bench.py build/bench-kernels.so "$@"
