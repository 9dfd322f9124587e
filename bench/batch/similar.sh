#!/bin/sh
# Write every item's similar items to a table, beside the lists of as many users, in one run.
#
#   bench/batch/similar.sh [ITEMS [RATINGS [X]]]     without any: 35000 2000000 10
#
# No time makes the run fail: read the ratios, and compare only within one run. A wrong row does: one item in
# twenty is compared with fm_similar_items.
set -eu
cd "$(dirname "$0")/../.."
make -s
SERVER_OPTIONS="fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 4GB"
export SERVER_OPTIONS
exec scripts/with-cluster.sh psql -qX -v ON_ERROR_STOP=1 -v items="${1:-35000}" -v ratings="${2:-2000000}" \
    -v x="${3:-10}" -f bench/batch/similar.sql
