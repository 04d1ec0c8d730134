#!/bin/sh
# What the README shows, for real: preview, deploy and run the example. `make quickstart` sets up .venv before it.
set -eu

stack=dev
deployment=Census/stdlib
flow=stacks/census.py

cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
export PATH

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show flowinfra preview --stack "$stack"
show flowinfra up --stack "$stack" --yes
show flowinfra trigger "$deployment" --stack "$stack" --wait

cat <<TEXT

That was a preview, a deployment and a run, all on this machine. Where things are kept:
  stacks/                the stack program and its flow ($flow)
  Pulumi.$stack.yaml        the settings of the stack
  .flowinfra/state/      the stack's state, in Pulumi's own format
  .flowinfra/store/      code, releases, runs and their artifacts
  .flowinfra/local.db    deployments and the run queue
Remove .flowinfra/ and nothing is left. Next, with .venv/bin on your PATH:
  flowinfra up --stack $stack              # again: nothing changes, nothing is written
  flowinfra runs $deployment --stack $stack
  flowinfra graph $flow
  python $flow run --help          # the same flow, straight from the checkout
  edit $flow, then: flowinfra preview --stack $stack
TEXT
