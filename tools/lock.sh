#!/bin/sh
# Renew requirements/*.txt. Versions that are locked stay unless --upgrade or --upgrade-package NAME is given.
#
#     tools/lock.sh [UV OPTIONS]
#
# One file serves every supported system and Python: markers say what is for whom, hashes what may be installed.
set -eu

cd "$(dirname "$0")/.."
if [ -x .venv/bin/uv ]; then
    uv=.venv/bin/uv
else
    uv=$(command -v uv) || { echo "lock: there is no uv: run 'make venv-dev' or install it with pip" >&2; exit 1; }
fi

compile() { # OUTPUT INPUTS AND OPTIONS...
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" --output-file "requirements/$output" "$@"
}

compile runtime.txt pyproject.toml requirements/build.in "$@"
# What both hold is of one version.
compile dev.txt pyproject.toml requirements/build.in --extra dev --constraints requirements/runtime.txt "$@"
compile bench-metaflow.txt requirements/bench-metaflow.in "$@"
