#!/bin/bash
# Check what can be checked of the code without running it.
#
#   scripts/lint.sh          everything
#   scripts/lint.sh quick    only what takes no build and a few seconds (.githooks/pre-commit)
#
# Prints one line for each check, and after it what the check found. Fails if one of them failed. The builds
# are kept in build/lint, so that the next run compiles only what has changed since.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

# check NAME COMMAND...: the command must succeed.
check()
{
    local name=$1 begin=$SECONDS output
    shift
    if output=$("$@" 2>&1); then
        printf 'ok      %s (%d s)\n' "$name" $((SECONDS - begin))
    else
        printf 'FAILED  %s (%d s)\n' "$name" $((SECONDS - begin))
        head -n 100 <<<"$output"
        [ "$(wc -l <<<"$output")" -le 100 ] || echo '...'
        status=1
    fi
}

# Fail if a file matches: absent PATTERN FILE...
# shellcheck disable=SC2317 # called through check
absent()
{
    ! grep -nE "$@"
}

# List the files whose name matches one of the patterns, in the order of their names.
files()
{
    local pattern names=()
    for pattern; do
        names+=(-o -path "./$pattern")
    done
    find . \( -path ./.git -o -path ./build -o -path ./results \) -prune -o \
        -type f \( "${names[@]:1}" \) -print | sed 's,^\./,,' | sort
}

# Bring a copy of the tree in build/lint up to date and compile it there, with warnings as errors:
# build CC COPT.
# shellcheck disable=SC2317 # called through check
build()
{
    local copy=build/lint/$1 made_with
    made_with=$({ "$1" --version && "${PG_CONFIG:-pg_config}" --version && cat Makefile; } | cksum)
    [ "$made_with" = "$(cat "$copy/made-with" 2>/dev/null)" ] || rm -rf "$copy"
    mkdir -p "$copy/build" && echo "$made_with" >"$copy/made-with"
    find "$copy" -path "$copy/build" -prune -o -type f ! -name '*.o' ! -name '*.d' ! -name made-with \
        -exec rm -f {} +
    tar -cf - --exclude=./.git --exclude=./build --exclude=./results --exclude='*.o' --exclude='*.d' \
        --exclude='*.so' . |
        tar -xf - -C "$copy" &&
        find "$copy/src" -name '*.o' | while read -r object; do # of a source that is gone
            [ -e "${object%.o}.c" ] || rm -f "$object" "${object%.o}.d"
        done
    (
        unset MAKEFLAGS MFLAGS MAKELEVEL
        make -s -k -j"$(nproc)" -C "$copy" all core-build CC="$1" COPT="-Werror $2"
    )
}

mapfile -t c_files < <(files 'src/*.[ch]' 'test/*.[ch]')
mapfile -t source_files < <(files 'src/*.[ch]')
mapfile -t shell_files < <(files '*.sh' .ci/run '.githooks/*')
mapfile -t perl_files < <(files '*.pl' '*.pm')

check 'C is formatted (make format)' clang-format --dry-run -Werror "${c_files[@]}"
check 'no line, file or folder is too long' scripts/sizes.pl
check 'PG_VERSION_NUM stands in src/pg/compat.h only' \
    absent PG_VERSION_NUM "${source_files[@]/src\/pg\/compat.h/}"
check 'shellcheck' shellcheck "${shell_files[@]}"
if [ "${1:-}" = quick ]; then
    check 'includes point down the layers' scripts/layers.pl
    exit $status
fi

check 'gcc does not warn' build gcc ''
# PGXS passes on the flags of the compiler that PostgreSQL was built with.
check 'clang does not warn' build clang \
    '-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes'
check 'includes and calls point down the layers' scripts/layers.pl build/lint/gcc/src
# PostgreSQL's headers are not read: cppcheck has to be told that an error does not return.
mkdir -p build/lint/cppcheck
check 'cppcheck' cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j "$(nproc)" \
    --cppcheck-build-dir=build/lint/cppcheck \
    --enable=warning,performance --suppress=missingInclude --suppress=unknownMacro \
    --suppress=missingReturn --suppress=ctuuninitvar -DERROR=21 \
    '-Dereport(level,...)=((level) < 21 ? (void) 0 : abort())' \
    '-Delog(level,...)=((level) < 21 ? (void) 0 : abort())' \
    -DPG_VERSION_NUM=150000 '-DPG_FUNCTION_INFO_V1(x)=' -DPG_MODULE_MAGIC= -Isrc \
    "${source_files[@]}"

# shellcheck disable=SC2317 # called through check
compile_perl()
{
    local pgxs file result=0
    pgxs=$("${PG_CONFIG:-pg_config}" --pgxs)
    for file in "${perl_files[@]}"; do
        perl -I"${pgxs%/makefiles/*}/test/perl" -wc "$file" || result=1
    done
    return "$result"
}
check 'Perl compiles' compile_perl
exit $status
