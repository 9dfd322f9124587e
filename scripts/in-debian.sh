#!/bin/sh
# Run a command in this tree as on a fresh machine of another Debian, and so with its PostgreSQL.
#
#   scripts/in-debian.sh SUITE DIR COMMAND [ARGUMENT ...]
#
#   scripts/in-debian.sh bullseye DIR make test      PostgreSQL 13
#   scripts/in-debian.sh trixie DIR make test        PostgreSQL 17
#   scripts/in-debian.sh sid DIR make test           the newest that Debian has
#
# DIR is made with debootstrap where it is not there yet, from debootstrap's default mirror, with a compiler,
# make and git, and kept with whatever the command installs. DEBOOTSTRAP_OPTIONS holds more of its options:
# Ubuntu's releases (jammy: PostgreSQL 14, noble: 16) want --components=main,universe. Needs root. The tree is
# copied into it and built there; its build directory stays for the next run. MOVIELENS, if set, is seen by
# the command as well.
set -eu
suite=$1
root=$(mkdir -p "$2" && cd "$2" && pwd)
shift 2
cd "$(dirname "$0")/.."

if [ ! -e "$root/debian-ready" ]; then
    # shellcheck disable=SC2086 # several options
    debootstrap ${DEBOOTSTRAP_OPTIONS:-} --variant=minbase \
        --include=gcc,g++,make,libc6-dev,git,ca-certificates "$suite" "$root"
    touch "$root/debian-ready"
fi

finish()
{
    for place in movielens dev/shm dev proc; do
        ! mountpoint -q "$root/$place" || umount "$root/$place"
    done
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o size=100% tmpfs "$root/dev/shm" # its own: the host's may belong to another server
if [ -n "${MOVIELENS:-}" ]; then
    mkdir -p "$root/movielens"
    mount --bind "$MOVIELENS" "$root/movielens"
    export MOVIELENS=/movielens
fi

cp /etc/resolv.conf /etc/hosts "$root/etc/"
if [ -n "${PIP_CERT:-}" ]; then
    mkdir -p "$root${PIP_CERT%/*}"
    cp "$PIP_CERT" "$root$PIP_CERT"
fi

mkdir -p "$root/fmtopx/build"
find "$root/fmtopx" -mindepth 1 -maxdepth 1 ! -name build -exec rm -r {} +
tar -cf - --exclude=./build --exclude='*.o' --exclude='*.so' --exclude='*.bc' . |
    tar -xf - -C "$root/fmtopx" --no-same-owner
unset PG_CONFIG PYTHON TMPDIR FMTOPX_USER
export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
chroot "$root" sh -c 'cd /fmtopx && exec "$@"' sh "$@" </dev/null
