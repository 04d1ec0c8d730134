"""Stands in for ``flowinfra.runtime.localrun``: carries out a run as its input says. A program, not a test.

``{"do": "succeed" | "fail" | "exit" | "die" | "sleep" | "stubborn" | "limits" | "listen"}``; every run leaves one line in ``starts`` beside
the home, so that a test sees how often and how it was started.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from flowinfra.packaging.store import Store
from flowinfra.runtime.holding import Hold
from flowinfra.wire import run_key


def listen(run: str, folder: Path, control: Path) -> None:
    """Note what the run is told, until there is a file `go`."""
    hold = Hold(control)
    (folder / f"began-{run}").touch()
    while not (folder / "go").exists():
        if select.select([hold], [], [], 0.01)[0]:
            hold.hear()
            with (folder / f"heard-{run}").open("a", encoding="utf-8") as heard:
                heard.write("held\n" if hold.held else "going\n")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--flow", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--max-workers", type=int)
    parser.add_argument("--timeout-seconds", type=float)
    parser.add_argument("--control", type=Path)
    given = parser.parse_args()
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
        case "limits":
            said = {"timeout": given.timeout_seconds, "namespace": os.environ.get("FLOWINFRA_NAMESPACE")}
            (given.home.parent / f"limits-{given.run}").write_text(json.dumps(said), encoding="utf-8")
            end("succeeded")
        case "listen":
            listen(given.run, given.home.parent, given.control)
            end("succeeded")
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
