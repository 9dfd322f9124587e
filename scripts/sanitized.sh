#!/bin/bash
# Run tests in a PostgreSQL that reports wrong uses of memory.
#
#   scripts/sanitized.sh asan [TEST ...]        AddressSanitizer, UndefinedBehaviorSanitizer, assertions
#   scripts/sanitized.sh valgrind [TEST ...]    valgrind's memcheck, assertions
#
# Without tests: the whole suite; for valgrind the regression tests. Fails if a test does, or if there is any
# report. The servers' logs, which hold the reports, stay in build/sanitized/MODE/reports.
#
# The server is built for this from the source of its Debian package, once, below build/sanitized, where
# apt-get has deb-src lists of its own; nothing is installed into the system. Memory from palloc is guarded,
# too: under AddressSanitizer by the calls that tell valgrind of it. A planted error shows that it works.
#
# Environment: PG_CONFIG (whose version it takes), FMTOPX_USER (as scripts/with-cluster.sh), DEBIAN_MIRROR,
# VALGRIND_SIMD (the kernel that valgrind can run: avx2).
set -eu

mode=${1:-}
case $mode in
    asan | valgrind) shift ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac

cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES
system_pg_config=${PG_CONFIG:-pg_config}
major=$("$system_pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
base=$PWD/build/sanitized
root=$base/$mode
prefix=$root/postgres # Debian's patches want such a word in it
jobs=$(nproc)
export ASAN_OPTIONS=detect_leaks=0 # a short program frees nothing
mkdir -p "$base" "$root"

cannot()
{
    echo "fmtopx: $1" >&2
    exit 1
}

for tool in gcc make perl; do
    command -v $tool >/dev/null || cannot "$tool is missing here; 'make setup' installs it"
done
[ "$mode" = asan ] || command -v valgrind >/dev/null ||
    cannot "valgrind is missing here (apt-get install valgrind)"

# The source of the package, as patched by Debian; the newest version that the mirror still has.
get_source()
{
    local apt=$base/apt mirror=${DEBIAN_MIRROR:-http://deb.debian.org} codename options version
    [ ! -d "$base/source" ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-source >/dev/null; then
        cannot "the server's source comes by apt-get source, which wants Debian or Ubuntu with dpkg-dev"
    fi
    # shellcheck disable=SC1091 # the system's
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$base/download"
    cat >"$apt/sources.list" <<END_OF_LIST
deb-src $mirror/debian $codename main
deb-src $mirror/debian-security $codename-security main
END_OF_LIST
    options=(-o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root -q)
    apt-get "${options[@]}" update >"$apt/log" 2>&1 || cannot "apt-get update failed; see $apt/log"
    for version in $(apt-cache "${options[@]}" showsrc "postgresql-$major" 2>/dev/null |
        sed -n 's/^Version: //p' | sort -Vru); do
        if (cd "$base/download" && apt-get "${options[@]}" source "postgresql-$major=$version") \
            >>"$apt/log" 2>&1; then
            mv "$base/download/postgresql-$major"-*/ "$base/source"
            return 0
        fi
    done
    cannot "the source of postgresql-$major is not to be had from $mirror; see $apt/log"
}

# Let what PostgreSQL tells valgrind of its memory contexts tell AddressSanitizer, too.
guard_memory_contexts()
{
    perl -0pi -e 's{(#include <valgrind/memcheck.h>\n)#else\n}{$1#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define VALGRIND_CHECK_MEM_IS_DEFINED(addr, size) do {} while (0)
#define VALGRIND_CREATE_MEMPOOL(context, redzones, zeroed) do {} while (0)
#define VALGRIND_DESTROY_MEMPOOL(context) do {} while (0)
#define VALGRIND_MAKE_MEM_DEFINED(addr, size) ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MAKE_MEM_NOACCESS(addr, size) ASAN_POISON_MEMORY_REGION(addr, size)
#define VALGRIND_MAKE_MEM_UNDEFINED(addr, size) ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MEMPOOL_ALLOC(context, addr, size) ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MEMPOOL_FREE(context, addr) do {} while (0)
#define VALGRIND_MEMPOOL_CHANGE(context, optr, nptr, size) ASAN_UNPOISON_MEMORY_REGION(nptr, size)
#else
}' src/include/utils/memdebug.h
    sed -i 's/^#ifdef USE_VALGRIND$/#if defined(USE_VALGRIND) || defined(__SANITIZE_ADDRESS__)/' \
        src/backend/utils/mmgr/aset.c
    grep -q ASAN_POISON src/include/utils/memdebug.h || cannot "memdebug.h is not as expected"
}

build_server()
{
    local flags options=(--enable-cassert --enable-debug --enable-tap-tests --without-readline)
    [ ! -e "$root/server-ready" ] || return 0
    get_source
    rm -rf "$root/source" "$prefix"
    cp -a "$base/source" "$root/source"
    cd "$root/source"
    if [ "$mode" = asan ]; then
        guard_memory_contexts
        flags="-O1 -g -fno-omit-frame-pointer -fsanitize=address -fsanitize-recover=address"
        flags="$flags -fno-sanitize-address-use-after-scope"
        options+=(--with-icu "LDFLAGS=-fsanitize=address")
    else
        flags="-O1 -g -fno-omit-frame-pointer -DUSE_VALGRIND"
        options+=(--without-icu)
        cp src/tools/valgrind.supp "$root/valgrind.supp"
    fi
    echo "fmtopx: building a server for $mode in $root (some minutes, once)"
    (./configure --prefix="$prefix" "${options[@]}" CFLAGS="$flags" && make -s -j"$jobs" &&
        make -s install && make -s -C contrib/postgres_fdw install) >"$root/build.log" 2>&1 ||
        cannot "the server could not be built; see $root/build.log"
    cd "$OLDPWD"
    # pgTAP is SQL alone, so that of the system's server does for this one
    cp "$("$system_pg_config" --sharedir)"/extension/pgtap* \
        "$("$prefix/bin/pg_config" --sharedir)/extension/" 2>/dev/null ||
        cannot "pgTAP is missing here; 'make setup' installs it"
    touch "$root/server-ready"
}

# The first lines of each report in the servers' logs, which are kept for this, and in valgrind's.
search_reports()
{
    local first='runtime error:|ERROR: AddressSanitizer|^TRAP: |VALGRINDERROR-BEGIN|terminated by signal'

    grep -rhaE -A 24 "$first" "$root/reports"
}

# The extension is built in a copy of the tree, which its objects would otherwise be mixed up with.
build_extension()
{
    local flags="-std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-wrapv -Wno-declaration-after-statement"
    local link="-lm -ldl -lz" undefined="undefined,float-cast-overflow,float-divide-by-zero,bounds-strict"
    mkdir -p "$root/tree"
    find "$root/tree" -type f ! -name '*.o' ! -name '*.d' ! -path "$root/tree/build/*" -delete
    tar -cf - --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude='*.d' . |
        tar -xf - -C "$root/tree"
    if [ "$mode" = asan ]; then
        flags="$flags -fsanitize=address,$undefined -fsanitize-recover=address"
        link="$link -fsanitize=address,undefined"
        # AddressSanitizer refuses libraries that bind to themselves first
        sed -i 's/ | RTLD_DEEPBIND//' "$root/tree/src/pg/openblas.c"
    else
        flags="$flags -DUSE_VALGRIND"
    fi
    make -s -C "$root/tree" -j"$jobs" all PG_CONFIG="$prefix/bin/pg_config" \
        PG_CFLAGS="$flags -MMD -MP" SHLIB_LINK="$link" >"$root/extension.log" 2>&1 ||
        cannot "the extension could not be built; see $root/extension.log"
}

# A module with a read past what palloc gave and a shift that is undefined: both must be reported.
check_that_it_works()
{
    local plant=$root/plant
    [ "$mode" = asan ] || return 0
    [ ! -e "$root/plant-found" ] || return 0
    rm -rf "$plant"
    mkdir -p "$plant"
    cat >"$plant/plant.c" <<'END_OF_C'
#include "postgres.h"
#include "fmgr.h"
PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(plant);
Datum
plant(PG_FUNCTION_ARGS)
{
	volatile int by = 40 + PG_GETARG_INT32(0);
	volatile int32 shifted = 1 << by;
	volatile char *chunk = palloc(100);

	(void) shifted;
	return Int32GetDatum(chunk[100 + PG_GETARG_INT32(0)]);
}
END_OF_C
    gcc -shared -fPIC -g -O0 -fsanitize=address,undefined -fsanitize-recover=address \
        -I"$("$prefix/bin/pg_config" --includedir-server)" -o "$plant/plant.so" "$plant/plant.c"
    chmod -R a+rX "$plant"
    run scripts/with-cluster.sh psql -Xq \
        -c "CREATE FUNCTION plant(integer) RETURNS integer LANGUAGE c AS '$plant/plant.so'" \
        -c 'SELECT plant(0)' >/dev/null 2>&1 || true
    if ! search_reports | grep -q 'AddressSanitizer: use-after-poison' ||
        ! search_reports | grep -q 'runtime error: shift'; then
        cannot "a planted error was not reported: see $root/reports"
    fi
    rm -f "$root"/reports/*
    touch "$root/plant-found"
}

# Run a command in the copy of the tree, with the server and where reports go.
run()
{
    (cd "$root/tree" && PG_CONFIG=$prefix/bin/pg_config SERVER_LOGS=$root/reports "$@")
}

build_server
build_extension
rm -rf "$root/reports"
mkdir -p "$root/reports"
chmod 777 "$root/reports"
user=${FMTOPX_USER:-postgres} # as whom root runs the server
[ "$(id -u)" != 0 ] || runuser -u "$user" -- test -x "$prefix/bin/postgres" -a -w "$root/reports" ||
    cannot "user $user may not read $prefix: put the tree where they may"

# what the suite's clusters have to be more patient for
export PG_TEST_TIMEOUT_DEFAULT=900
export HOSTILE_SECONDS=${HOSTILE_SECONDS:-300} HOSTILE_TIMEOUT=${HOSTILE_TIMEOUT:-5s}
if [ "$mode" = asan ]; then
    export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:disable_coredump=1
    export UBSAN_OPTIONS=print_stacktrace=1
    check_that_it_works
else
    # the server's program is a script that runs the real one under valgrind, children and all
    if [ ! -e "$prefix/bin/postgres.real" ]; then
        mv "$prefix/bin/postgres" "$prefix/bin/postgres.real"
        cat >"$prefix/bin/postgres" <<END_OF_SCRIPT
#!/bin/sh
case "\$*" in
    *--single* | *--boot* | *--check* | *--describe-config* | *-V* | *-C*)
        exec "$prefix/bin/postgres.real" "\$@"
        ;;
esac
exec valgrind --quiet --trace-children=yes --leak-check=no --suppressions="$root/valgrind.supp" \\
    --error-markers=VALGRINDERROR-BEGIN,VALGRINDERROR-END --log-file="$root/reports/valgrind.%p" \\
    "$prefix/bin/postgres.real" "\$@"
END_OF_SCRIPT
        chmod +x "$prefix/bin/postgres"
    fi
    [ $# -gt 0 ] || set -- test/regress.pl
    # valgrind 3.19 knows no AVX-512
    export SERVER_OPTIONS="fmtopx.simd = '${VALGRIND_SIMD:-avx2}'"
fi

status=0
if [ $# -gt 0 ]; then
    run scripts/with-cluster.sh test/run.sh "$@" || status=1
else
    run make -s core-build PG_CONFIG="$prefix/bin/pg_config" >/dev/null
    run scripts/with-cluster.sh test/run.sh || status=1
fi
if search_reports >"$root/found"; then
    echo "fmtopx: reports of $mode, of which the servers' logs in $root/reports have all:" >&2
    head -n 200 "$root/found" >&2
    status=1
fi
exit $status
