"""Stands in for ``flowinfra.runtime.localrun``: carries out a run as its input says. A program, not a test.

``{"do": "succeed" | "fail" | "exit" | "die" | "sleep" | "stubborn"}``; every run leaves one line in ``starts`` beside
the home, so that a test sees how often and how it was started.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from flowinfra.packaging.store import Store
from flowinfra.wire import run_key


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--flow", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--max-workers", type=int)
    given, _ = parser.parse_known_args()
    store = Store.open(os.environ["FLOWINFRA_STORE"])
    told = store.get_json(run_key(given.flow, given.run, "input.json"))
    with (given.home.parent / "starts").open("a", encoding="utf-8") as starts:
        secret = "PULUMI_CONFIG_PASSPHRASE" in os.environ
        starts.write(json.dumps({"run": given.run, "max_workers": given.max_workers, "secret": secret}) + "\n")

    def end(state: str) -> None:
        document = {"state": state, "time": time.time_ns() // 1_000_000}
        store.create(run_key(given.flow, given.run, "end.json"), json.dumps(document).encode())

    sys.stderr.write(f"carrying out {given.run}\n")
    sys.stderr.flush()
    match told["do"]:
        case "succeed":
            end("succeeded")
        case "fail":
            end("failed")
            return 1
        case "exit":
            return 3
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep" | "stubborn" as how:
            if how == "stubborn":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            until = given.home.parent / "go"
            (given.home.parent / f"began-{given.run}").touch()
            while not until.exists():
                time.sleep(0.01)
            end("succeeded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
