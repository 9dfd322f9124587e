#!/bin/sh
# The demo: demo/run.sh planted | movielens. Called by `make demo` inside a throwaway cluster.
set -eu
cd "$(dirname "$0")/.."
createdb demo
export PGDATABASE=demo PGOPTIONS='-c client_min_messages=warning'
psql -qX -v ON_ERROR_STOP=1 -P footer=off -v movielens="${MOVIELENS:-}" -f "demo/$1.sql"
