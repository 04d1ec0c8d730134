#!/bin/sh
# Make the virtual environment .venv out of a lock file, or do nothing where it is up to date.
#
#     tools/venv.sh runtime|dev
#
# runtime: what a user needs. dev: that and the tools of the tests and checks.
# PYTHON=/path/to/python chooses the interpreter; by default the newest of 3.13, 3.12, 3.11 that works.
set -eu

kind=${1:?usage: tools/venv.sh runtime|dev}
cd "$(dirname "$0")/.."
venv=.venv

say() { echo "venv: $*" >&2; }

usable() { # a shim or a broken installation answers the name and then fails
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    without_pip=
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        usable "$candidate" || continue
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
        without_pip=$candidate
    done
    if [ -n "$without_pip" ]; then
        say "$without_pip cannot make virtual environments: its module ensurepip is missing."
        say "On Debian and Ubuntu: apt-get install python3-venv (or $(basename "$without_pip")-venv)"
    else
        say "no Python 3.11 or newer was found${PYTHON:+ (PYTHON=$PYTHON)}."
        say "Debian, Ubuntu: apt-get install python3 python3-venv. macOS: install Python from python.org or by brew."
        say "Or name one: make PYTHON=/path/to/python3.12"
    fi
    exit 1
}

digest() { # of the files named; sha256sum is GNU's, shasum is macOS's
    if command -v sha256sum >/dev/null 2>&1; then cat "$@" | sha256sum; else cat "$@" | shasum -a 256; fi | cut -c1-64
}

# The place counts: a virtual environment cannot be moved.
stamp_of() {
    case $1 in
    project) digest pyproject.toml tools/venv.sh ;;
    *) echo "$(digest "requirements/$1.txt") $PWD" ;;
    esac
}

current() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.$1" 2>/dev/null)" = "$(stamp_of "$1")" ]; }

install() {
    # Every file is checked against the lock's hash; nothing else is looked up.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement "requirements/$1.txt"
}

asked_for() { [ -z "${PYTHON:-}" ] || [ "$(cat "$venv/.python" 2>/dev/null)" = "$PYTHON" ]; }

if ! current runtime || ! asked_for; then
    python=$(find_python)
    say "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    install runtime
    echo "$python" >"$venv/.python"
    stamp_of runtime >"$venv/.runtime"
fi
if ! current project; then
    # Two plain lines of a path file: the import hook that setuptools installs otherwise (for packages in two folders)
    # would add 10 ms to each start of this Python, that of every command and task included.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --config-settings editable_mode=compat --editable .
    echo "$PWD/providers" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/flowinfra_providers.pth"
    # What pip does for every other package; an editable one would be compiled at its first use instead.
    "$venv/bin/python" -m compileall -qq flowinfra providers || say "some modules do not compile"
    stamp_of project >"$venv/.project"
fi
if [ "$kind" = dev ] && ! current dev; then
    say "adding the tools for tests and checks"
    install dev
    stamp_of dev >"$venv/.dev"
fi
