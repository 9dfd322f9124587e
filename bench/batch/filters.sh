#!/bin/sh
# Lists for some users, of some items, beside those for all of all, in one run; and for users who are new to
# the model beside as many whom it knows.
#
#   bench/batch/filters.sh [USERS [ITEMS [NEW]]]     without any: 70000 10000 50000
#
# Every user has 20 ratings. The lists are compared with fm_top_x, user by user. No time makes the run fail:
# read the ratios, and compare only within one run. A wrong row does.
set -eu
cd "$(dirname "$0")/../.."
make -s
exec scripts/with-cluster.sh psql -qX -v ON_ERROR_STOP=1 -v users="${1:-70000}" -v items="${2:-10000}" \
    -v new="${3:-50000}" -f bench/batch/filters.sql
