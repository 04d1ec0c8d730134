"""Runs a flow as whoever has it in a checkout does; told what by a line of JSON on stdin, prints events as JSON."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from flowinfra.authoring.loader import load_flow
from flowinfra.runtime.workers import prepare_workers


def main() -> int:
    """Exit code 0 if the run succeeded."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    said: dict[str, Any] = json.loads(sys.stdin.readline())
    flow = load_flow(Path(said["file"]), said["flow"])
    workers = prepare_workers(said["method"])

    from flowinfra.packaging.build import build
    from flowinfra.packaging.store import Store
    from flowinfra.runtime.localrun import MAX_WORKERS, LocalRun, run_local
    from flowinfra.runtime.parameters import check_parameters
    from flowinfra.wire import bundle_key, release_key

    built = build(flow)
    store = Store.open(said["store"])
    store.put_content(bundle_key(built.bundle.digest), built.bundle.data)
    store.put_content(release_key(built.release), built.release_bytes)
    parameters = check_parameters([p.to_json() for p in built.graph.parameters], said["parameters"], flow.__name__)
    run = LocalRun(
        store_url=store.url,
        flow=flow.__name__,
        release=built.release,
        run=said["run"],
        code=built.root,
        max_workers=said.get("max_workers", MAX_WORKERS),
        timeout_seconds=said.get("timeout_seconds"),
        tags=said.get("tags", ()),
        origin=said.get("origin", ""),
        rerun=frozenset(said.get("rerun", ())),
        user=said.get("user", ""),
    )

    def tell(event: Any) -> None:
        sys.stdout.write(json.dumps(event.to_json()) + "\n")
        sys.stdout.flush()

    return int(run_local(run, parameters, workers, tell).state != "succeeded")


if __name__ == "__main__":
    sys.exit(main())
