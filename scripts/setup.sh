#!/bin/sh
# Make sure that what fmtopx needs is installed.
#
#   scripts/setup.sh demo    to build it and run the demo
#   scripts/setup.sh test    the same and what the tests need
#   scripts/setup.sh lint    the same and the linters
#
# Looks for files and commands, not for packages: if nothing is missing, the package manager is not called. As
# root on Debian or Ubuntu, what is missing is installed with apt; other users are told what to install.
# PG_CONFIG chooses among several PostgreSQL installations. No database cluster is created, started or
# changed.
set -eu

purpose=${1:-test}
case $purpose in
    demo | test | lint) ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac

pg_config=${PG_CONFIG:-pg_config}
missing=

# require PACKAGE COMMAND...: the package is missing unless the command succeeds.
require()
{
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# Print the major version of the PostgreSQL that PG_CONFIG names; if there is none, of the one that apt would
# install; if apt has no lists yet, of Debian 12's.
postgres_version()
{
    if version=$("$pg_config" --version 2>/dev/null); then
        echo "$version" | sed 's/^PostgreSQL \([0-9]*\).*/\1/'
    else
        version=$(apt-cache show postgresql 2>/dev/null |
            sed -n 's/^Depends:.* postgresql-\([0-9]*\).*/\1/p' | head -n 1)
        echo "${version:-15}"
    fi
}

# Check that a compiler has what the sanitizers of the core's tests link with: sanitizes CC.
sanitizes()
{
    echo 'int main(void) { return 0; }' | "$1" -x c -fsanitize=address,undefined -o /dev/null -
}

list_missing()
{
    missing=
    version=$(postgres_version)
    bindir=$("$pg_config" --bindir 2>/dev/null || true)
    headers=$("$pg_config" --includedir-server 2>/dev/null || true)
    extensions=$("$pg_config" --sharedir 2>/dev/null || true)/extension

    # The sanitizers of clang have a package of their own from Debian 12 on.
    clang_runtime=clang
    apt-cache show libclang-rt-dev >/dev/null 2>&1 && clang_runtime=libclang-rt-dev
    case ${CC:-cc} in
        *clang*) compiler=clang ;;
        *) compiler=gcc ;;
    esac
    require $compiler command -v "${CC:-cc}"
    require pkg-config command -v pkg-config
    require libopenblas-serial-dev pkg-config --exists openblas
    require zlib1g-dev pkg-config --exists zlib
    require "postgresql-$version" test -x "$bindir/initdb" -a -x "$bindir/postgres"
    # PGXS's makefile alone comes with the client: the headers are the test.
    require "postgresql-server-dev-$version" test -f "$headers/postgres.h"
    [ "$purpose" = demo ] && return

    [ $compiler = gcc ] || require "$clang_runtime" sanitizes "$CC"
    require perl command -v prove
    require libipc-run-perl perl -MIPC::Run -e 1
    require libtap-parser-sourcehandler-pgtap-perl perl -MTAP::Parser::SourceHandler::pgTAP -e 1
    require "postgresql-$version-pgtap" test -f "$extensions/pgtap.control"
    require "postgresql-$version-cron" test -f "$extensions/pg_cron.control"
    # Not every release has pgvector; its test skips without it.
    ! apt-cache show "postgresql-$version-pgvector" >/dev/null 2>&1 ||
        require "postgresql-$version-pgvector" test -f "$extensions/vector.control"
    require python3-venv "${PYTHON:-python3}" -c 'import venv, ensurepip'
    [ "$purpose" = test ] && return

    require clang command -v clang
    require "$clang_runtime" sanitizes clang
    require clang-format command -v clang-format
    require cppcheck command -v cppcheck
    require shellcheck command -v shellcheck
}

list_missing
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "fmtopx: missing here (by their Debian names):$missing" >&2
    exit 1
fi

if [ "$(id -u)" != 0 ]; then
    echo "fmtopx: something is missing. Please run this, and then make $purpose again:" >&2
    echo "    sudo apt-get update && sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# The server package would create and start a cluster named main, which is not needed.
no_cluster=/etc/postgresql-common/createcluster.d/fmtopx-setup.conf
log=$(mktemp)
trap 'rm -f "$no_cluster" "$log" "$log.status"
    rmdir --ignore-fail-on-non-empty "${no_cluster%/*}" 2>/dev/null || true' EXIT
mkdir -p "${no_cluster%/*}"
echo 'create_main_cluster = false' >"$no_cluster"

export DEBIAN_FRONTEND=noninteractive

# Say how far apt-get has got: reads its output.
progress()
{
    awk '
        function say(what) { print "fmtopx: " what; fflush() }
        /newly installed/ { total = $3; say("with what they depend on: " total " packages") }
        /^Get:1 / { say("downloading") }
        /^Unpacking / && ++unpacked % 25 == 0 { say(unpacked " of " total " packages unpacked") }
        /^Setting up / && ++ready % 25 == 0 { say(ready " of " total " packages set up") }'
}

echo "fmtopx: something is missing here; reading the lists of packages (apt-get update)"
apt-get update -qq || echo "fmtopx: apt-get update failed; going on with the present lists" >&2
list_missing # again, with the version that apt knows now
echo "fmtopx: installing$missing"
{
    status=0
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -q --no-install-recommends $missing </dev/null 2>&1 || status=$?
    echo $status >"$log.status"
} | tee "$log" | progress
if [ "$(cat "$log.status")" != 0 ]; then
    cat "$log" >&2
    exit 1
fi

list_missing
if [ -n "$missing" ]; then
    echo "fmtopx: still missing after the installation:$missing" >&2
    exit 1
fi
echo "fmtopx: installed"
