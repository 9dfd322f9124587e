#!/bin/sh
# Run the bench of serving in a Debian 13, whose PostgreSQL 17 has a package of pgvector.
#
#   bench/serving/debian-13.sh DIR [ARGUMENT of run.sh ...]
#
# DIR is made where it is not there yet and kept for the next run; see scripts/in-debian.sh. Needs root. The
# virtual environment of the last run stays as well.
set -eu
root=$1
shift
unset MOVIELENS
exec "$(dirname "$0")/../../scripts/in-debian.sh" trixie "$root" sh -c '
    dpkg -s postgresql-17-pgvector >/dev/null 2>&1 || {
        apt-get update -q
        apt-get install -qy --no-install-recommends pkg-config python3-venv python3-dev \
            libopenblas-serial-dev postgresql-17 postgresql-server-dev-17 postgresql-17-pgvector
    }
    exec bench/serving/run.sh "$@"' sh "$@"
