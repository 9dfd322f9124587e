#!/bin/sh
# Write every user's list to a table, beside INSERT … SELECT of the same rows, in one run.
#
#   bench/batch/run.sh [USERS [ITEMS [RATINGS [X]]]]     without any: 70000 10000 7500000 20
#
# The cluster flushes to disk as an installed one does. No time makes the run fail: read the ratios, and
# compare only within one run. A wrong row does.
set -eu
cd "$(dirname "$0")/../.."
make -s
SERVER_OPTIONS="fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 4GB"
export SERVER_OPTIONS
exec scripts/with-cluster.sh psql -qX -v ON_ERROR_STOP=1 -v users="${1:-70000}" -v items="${2:-10000}" \
    -v ratings="${3:-7500000}" -v x="${4:-20}" -f bench/batch/batch.sql
