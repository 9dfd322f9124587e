#!/bin/sh
# Run every test. Called by `make test` inside a throwaway cluster.
#
# Arguments, if any, are the tests to run instead of all. CORE_TESTS lists the programs that test the core.
# MOVIELENS names the MovieLens 100k folder; without it, the tests that need it skip. HARNESS_VERBOSE=1 shows
# all output.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${MOVIELENS:-}" ]; then
    echo "MovieLens 100k is not here (DATA=dir says where it is): the tests that need it will skip."
fi

if [ $# -eq 0 ]; then
    # shellcheck disable=SC2086 # a list of words
    set -- test/regress.pl test/pages/*.pl ${CORE_TESTS:-} test/pgtap/*.sql test/drivers/*.pl test/cluster/*.pl \
        test/hostile/*.pl
fi

# Where PostgreSQL keeps its own Perl modules for tests, and what they need to find. TESTDIR is for those
# before 16.
pgxs=$("$PG_CONFIG" --pgxs)
PERL5LIB=${pgxs%/makefiles/*}/test/perl${PERL5LIB:+:$PERL5LIB}
PG_REGRESS=${pgxs%/makefiles/*}/test/regress/pg_regress
TESTDIR=$PWD/build
TESTDATADIR=$PWD/build/cluster
TESTLOGDIR=$PWD/build/log/cluster
export PERL5LIB PG_REGRESS TESTDIR TESTDATADIR TESTLOGDIR

# gcc before 13.3 misaligns vectors on the stack that this check replaces (its bug 110027).
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_stack_use_after_return=0

rm -rf build/log
mkdir -p build/log
createdb pgtap
psql -qX -d pgtap -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION fmtopx' || true # the tests will tell

exec perl test/harness.pl "$@"
