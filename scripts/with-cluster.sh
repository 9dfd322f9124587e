#!/bin/sh
# Run a command inside a throwaway PostgreSQL cluster that has this build of fmtopx.
#
#   scripts/with-cluster.sh COMMAND [ARGUMENT ...]
#
# The cluster lives in a temporary directory, listens on a socket there and on nothing else, and is gone
# afterwards. libpq's environment variables point the command to it; the user is a superuser.
#
# Nothing is installed into the system: the extension goes into the temporary directory too, and the
# server is told to look there (extension_control_path from PostgreSQL 18 on, extension_destdir in the
# Debian packages of earlier versions). Only a server that knows neither needs `make install` first.
#
# The server refuses to run as root. Root works on a copy, as the user that FMTOPX_USER names (postgres).
#
# Environment: PG_CONFIG, FMTOPX_USER, TMPDIR. SERVER_OPTIONS holds more lines of postgresql.conf.
# The command finds in TEMP_CONFIG a file with the configuration that any cluster of its own needs.
set -eu

if [ $# -eq 0 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES # of the make above us
PG_CONFIG=${PG_CONFIG:-pg_config}
export PG_CONFIG
[ "$(id -u)" != 0 ] || TMPDIR=/tmp # root's own may be closed to the other user
work=$(mktemp -d "${TMPDIR:-/tmp}/fmtopx.XXXXXX")
data=$work/data
bindir=$("$PG_CONFIG" --bindir)

finish()
{
    status=$?
    if [ -f "$data/postmaster.pid" ]; then
        "$bindir/pg_ctl" stop -D "$data" -m immediate >/dev/null
    fi
    if grep -q 'was terminated by signal\|PANIC: ' "$work/log" 2>/dev/null; then
        echo "fmtopx: the server crashed; the end of its log:" >&2
        tail -n 40 "$work/log" >&2
        [ $status -ne 0 ] || status=1
    fi
    for log in "$work/log" build/tmp_check/log/*.log build/log/cluster/*.log; do
        [ -z "${SERVER_LOGS:-}" ] || [ ! -f "$log" ] || cp --backup=numbered "$log" "$SERVER_LOGS/"
    done
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

if [ "$(id -u)" = 0 ]; then
    user=${FMTOPX_USER:-postgres}
    mkdir "$work/tree"
    tar -cf - --exclude=./.git --exclude=./results --exclude=./build/lint --exclude=./build/log \
        --exclude=./build/sanitized . | tar -xf - -C "$work/tree"
    if [ -n "${MOVIELENS:-}" ]; then
        for other in ml-1m-positives lastfm; do # tests look for them beside it
            [ ! -d "$MOVIELENS/../$other" ] || cp -R "$MOVIELENS/../$other" "$work/$other"
        done
        cp -R "$MOVIELENS" "$work/movielens"
        export MOVIELENS="$work/movielens"
    fi
    chown -R "$user:" "$work"
    export HOME="$work" TMPDIR="$work"
    status=0
    runuser -u "$user" -- "$work/tree/scripts/with-cluster.sh" "$@" || status=$?
    if [ -d "$work/tree/build/log" ]; then # what tests printed
        rm -rf build/log
        mkdir -p build
        cp -R "$work/tree/build/log" build/log
    fi
    exit $status
fi

sharedir=$("$PG_CONFIG" --sharedir)
pkglibdir=$("$PG_CONFIG" --pkglibdir)
root=$work/root
TEMP_CONFIG=$work/extra.conf
: >"$TEMP_CONFIG"
if "$bindir/postgres" --describe-config | grep -q '^extension_control_path'; then
    cat >"$TEMP_CONFIG" <<END
extension_control_path = '$root$sharedir:\$system'
dynamic_library_path = '$root$pkglibdir:\$libdir'
END
elif "$bindir/postgres" --describe-config | grep -q '^extension_destdir'; then
    echo "extension_destdir = '$root'" >"$TEMP_CONFIG"
elif ! cmp -s fmtopx.so "$pkglibdir/fmtopx.so"; then
    echo "fmtopx: this PostgreSQL finds extensions only where they are installed." \
        "Please run: sudo make install" >&2
    exit 1
fi
if [ -s "$TEMP_CONFIG" ]; then
    make -s install DESTDIR="$root" >/dev/null
    if grep -q '^dynamic_library_path' "$TEMP_CONFIG"; then # pg_upgrade looks there only for a bare name
        sed -i "s,[$]libdir/,," "$root$sharedir/extension/fmtopx.control"
    fi
fi

"$bindir/initdb" -D "$data" -A trust -U postgres --no-locale -E UTF8 --no-sync >/dev/null
cat >>"$data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$work'
fsync = off
synchronous_commit = off
full_page_writes = off
log_line_prefix = '%m [%p] %a '
include '$TEMP_CONFIG'
${SERVER_OPTIONS:-}
END

export PGHOST="$work" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres PATH="$bindir:$PATH" TEMP_CONFIG
unset PGOPTIONS PGSERVICE PGPASSWORD PGSSLMODE PGCLIENTENCODING
if ! pg_ctl start -w -D "$data" -l "$work/log" >/dev/null; then
    cat "$work/log" >&2
    exit 1
fi
"$@"
