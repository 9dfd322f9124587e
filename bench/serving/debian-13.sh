#!/bin/sh
# Run the bench of serving in a Debian 13, whose PostgreSQL 17 has a package of pgvector.
#
#   bench/serving/debian-13.sh DIR [ARGUMENT of run.sh ...]
#
# DIR is made with debootstrap where it is not there yet, from debootstrap's default mirror, and kept for the
# next run. Needs root. The tree is copied into it and built there, so that one server serves both.
set -eu
root=$(mkdir -p "$1" && cd "$1" && pwd)
shift
cd "$(dirname "$0")/../.."

if [ ! -e "$root/bench-ready" ]; then
    packages=gcc,g++,make,libc6-dev,pkg-config,ca-certificates,python3-venv,python3-dev
    packages=$packages,libopenblas-serial-dev,postgresql-17,postgresql-server-dev-17,postgresql-17-pgvector
    debootstrap --variant=minbase --include="$packages" trixie "$root"
    touch "$root/bench-ready"
fi

finish()
{
    for place in dev/shm dev proc; do
        ! mountpoint -q "$root/$place" || umount "$root/$place"
    done
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o size=100% tmpfs "$root/dev/shm" # its own: the host's may belong to another server

cp /etc/resolv.conf /etc/hosts "$root/etc/"
if [ -n "${PIP_CERT:-}" ]; then
    mkdir -p "$root${PIP_CERT%/*}"
    cp "$PIP_CERT" "$root$PIP_CERT"
fi

# The virtual environment of the last run stays, the rest of the tree is replaced.
mkdir -p "$root/fmtopx/build"
find "$root/fmtopx" -mindepth 1 -maxdepth 1 ! -name build -exec rm -r {} +
tar -cf - --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude='*.bc' . |
    tar -xf - -C "$root/fmtopx" --no-same-owner
unset PG_CONFIG PYTHON MOVIELENS TMPDIR FMTOPX_USER
export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
chroot "$root" /fmtopx/bench/serving/run.sh "$@" </dev/null
