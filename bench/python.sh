# shellcheck shell=sh
# For the benches' run.sh, which read this from the top of the tree.

# Set python to the one of a virtual environment below build/ that can import some modules: python_with NAME
# MODULES PACKAGE... The environment is made with PYTHON (python3) where it does not exist, and the packages
# come from PyPI.
python_with()
{
    venv=build/$1
    modules=$2
    shift 2
    python=$venv/bin/python
    if [ ! -x "$python" ]; then
        command -v "${PYTHON:-python3}" >/dev/null || {
            echo "fmtopx: there is no ${PYTHON:-python3}. Please install Python 3, or name it in PYTHON" >&2
            exit 1
        }
        echo "fmtopx: making a virtual environment in $venv"
        "${PYTHON:-python3}" -m venv "$venv"
    fi
    if ! "$python" -c "import $modules" 2>/dev/null; then
        echo "fmtopx: installing $* from PyPI into $venv"
        "$venv/bin/pip" install --quiet "$@"
    fi
}

# The same for a bench within a throwaway cluster, which root runs as the server's user: that user must be
# able to run this Python, too.
server_python_with()
{
    user=${FMTOPX_USER:-postgres}
    real=$(readlink -f "build/$1/bin/python" || true)
    [ -x "$real" ] || real=$(command -v "${PYTHON:-python3}" || true)
    if [ "$(id -u)" = 0 ] && [ -n "$real" ] && ! runuser -u "$user" -- "$real" -c '' 2>/dev/null; then
        echo "fmtopx: called by root, this runs as $user, who may not run $(readlink -f "$real")." >&2
        echo "Please remove build/$1 if it exists, and name a Python in PYTHON that $user may run," \
            "such as /usr/bin/python3." >&2
        exit 1
    fi
    python_with "$@"
}
