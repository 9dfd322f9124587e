#!/bin/sh
# Run the demo: demo/run.sh planted | movielens. Called by `make demo` inside a throwaway cluster.
set -eu
cd "$(dirname "$0")/.."
createdb demo
export PGDATABASE=demo PGOPTIONS='-c client_min_messages=warning'
psql -qX -v ON_ERROR_STOP=1 -P footer=off -v movielens="${MOVIELENS:-}" -f "demo/$1.sql"

cat <<'END'
That was a cluster in a temporary directory, which is now removed. What to do next:

  In a database of your own:   make && sudo make install
                               psql -d DATABASE -c 'CREATE EXTENSION fmtopx'
  and on a table of users, items and ratings:

      SELECT * FROM fm_train('first', ratings => 'your_table');
      SELECT * FROM fm_top_x(42, 10);   -- the ten best items for user 42

  README.md goes on from there. The statements of this demo are in demo/.
END
