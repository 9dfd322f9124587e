#!/bin/bash
# Everything that can be said about the code without running it. Silent and 0 when there is nothing.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

# complain MESSAGE COMMAND...: the command must succeed.
complain()
{
    local message=$1 output
    shift
    if ! output=$("$@" 2>&1); then
        printf '== %s\n%s\n' "$message" "$(head -n 60 <<<"$output")" >&2
        status=1
    fi
}

# never MESSAGE PATTERN FILE...: no file may match.
never()
{
    complain "$1" eval "! grep -nE '$2' ${*:3}"
}

# Build a copy with warnings as errors.
# shellcheck disable=SC2317 # called through complain
build()
{
    local copy
    copy=$(mktemp -d "${TMPDIR:-/tmp}/fmtopx-lint.XXXXXX")
    tar -cf - --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' . | tar -xf - -C "$copy"
    (unset MAKEFLAGS MFLAGS MAKELEVEL && make -s -k -C "$copy" all core-build CC="$1" COPT="-Werror $2")
    local result=$?
    rm -rf "$copy"
    return "$result"
}

mapfile -t c_files < <(git ls-files 'src/*.[ch]' 'test/*.[ch]')
mapfile -t source_files < <(git ls-files 'src/*.[ch]')
mapfile -t core_files < <(git ls-files 'src/core/*')
mapfile -t shell_files < <(git ls-files '*.sh' .ci/run)
mapfile -t perl_files < <(git ls-files '*.pl' '*.pm')

complain 'make format would change this' clang-format --dry-run -Werror "${c_files[@]}"
never 'PostgreSQL versions belong into src/pg/compat.h' PG_VERSION_NUM "${c_files[@]/src\/pg\/compat.h/}"
never 'src/core knows nothing of PostgreSQL' '#include "(postgres|fmgr|utils/|access/)' "${core_files[@]}"
complain 'gcc warns' build gcc ''
# PGXS hands over the flags of the compiler that PostgreSQL was built with.
complain 'clang warns' build clang \
    '-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes'
# cppcheck is told, in place of PostgreSQL's headers, that an error does not return.
complain 'cppcheck warns' cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 \
    --enable=warning,performance --suppress=missingInclude --suppress=unknownMacro \
    --suppress=missingReturn --suppress=ctuuninitvar -DERROR=21 '-Dereport(level,...)=((level) < 21 ? (void) 0 : abort())' \
    '-Delog(level,...)=((level) < 21 ? (void) 0 : abort())' \
    -DPG_VERSION_NUM=150000 '-DPG_FUNCTION_INFO_V1(x)=' -DPG_MODULE_MAGIC= -Isrc \
    "${source_files[@]}"
complain 'shellcheck warns' shellcheck "${shell_files[@]}"

pgxs=$("${PG_CONFIG:-pg_config}" --pgxs)
for file in "${perl_files[@]}"; do
    complain "$file does not compile" perl -I"${pgxs%/makefiles/*}/test/perl" -wc "$file"
done
exit $status
