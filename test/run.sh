#!/bin/sh
# Every test, as one run of prove. Called by `make test` inside a throwaway cluster.
#
# Arguments, if any, are the tests to run instead of all. MOVIELENS names the MovieLens 100k folder;
# without it, the tests that need it skip.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${MOVIELENS:-}" ]; then
    echo "MovieLens 100k is not here (DATA=dir says where it is): the tests that need it will skip."
fi

if [ $# -eq 0 ]; then
    set -- test/regress.pl test/readme.pl
    for test in build/core/test_* test/pgtap/*.sql test/cluster/*.pl; do
        case $test in
            *'*'* | *.o) ;;
            *) set -- "$@" "$test" ;;
        esac
    done
fi

# Where PostgreSQL keeps its own Perl modules for tests, and what they need to find.
pgxs=$("$PG_CONFIG" --pgxs)
PERL5LIB=${pgxs%/makefiles/*}/test/perl${PERL5LIB:+:$PERL5LIB}
PG_REGRESS=${pgxs%/makefiles/*}/test/regress/pg_regress
TESTDATADIR=$PWD/build/cluster
TESTLOGDIR=$PWD/build/cluster/log
export PERL5LIB PG_REGRESS TESTDATADIR TESTLOGDIR

# gcc before 13.3 misaligns vectors on the stack that this check replaces (its bug 110027).
export ASAN_OPTIONS=detect_stack_use_after_return=0

createdb pgtap
psql -qX -d pgtap -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION fmtopx' || true # the tests will tell

prove --timer --failures --comments --source Perl --source Executable \
    --source pgTAP --pgtap-option suffix=.sql --pgtap-option dbname=pgtap \
    --pgtap-option set=movielens="${MOVIELENS:-}" "$@"
