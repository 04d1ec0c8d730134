#!/bin/sh
# Run pyright, at the version and hash of tools/pyright/package-lock.json, on what pyproject.toml includes.
#
#     tools/pyright.sh [PYRIGHT OPTIONS]
#
# It is installed once into .venv/pyright. Needs Node.js with npm. The project is named, because pyright would take a
# pyrightconfig.json of any folder above for its own.
set -eu

cd "$(dirname "$0")/.."
home=.venv/pyright
for tool in node npm; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "pyright: there is no $tool. Debian, Ubuntu: apt-get install nodejs npm. macOS: brew install node" >&2
        exit 1
    }
done
if ! cmp -s tools/pyright/package-lock.json "$home/installed.json"; then
    rm -rf "$home"
    mkdir -p "$home"
    cp tools/pyright/package.json tools/pyright/package-lock.json "$home/"
    npm ci --prefix "$home" --ignore-scripts --no-audit --no-fund --loglevel error >&2
    cp tools/pyright/package-lock.json "$home/installed.json"
fi
exec node "$home/node_modules/pyright/index.js" --project pyproject.toml --pythonpath .venv/bin/python "$@"
