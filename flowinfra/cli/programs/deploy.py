"""The program of a :class:`~flowinfra.Deployer`: deploys one flow through a stack of its own, or removes it."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, Final, NoReturn, TextIO

from flowinfra.authoring.project import resolve_project
from flowinfra.cli.programs.channel import Channel, serve
from flowinfra.cli.programs.loading import load_source
from flowinfra.control.deployer.options import Create
from flowinfra.control.deployer.targets import TargetKind, target_kind
from flowinfra.control.invocation import FlowSource, TopOptions
from flowinfra.packaging.home import Home
from flowinfra.packaging.users import user_name

__all__ = ["main"]

_NAME: Final = "default"


def main(fd: int) -> NoReturn:
    """Do what comes over the socket *fd*."""
    serve(fd, _body)


def _body(channel: Channel) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever has started it may ignore it
    # As for Ctrl-C in `flowinfra up`: what has begun ends, and is recorded.
    channel.watch(lambda: os.kill(os.getpid(), signal.SIGINT))
    spec = channel.spec
    kind = target_kind(spec["target"])
    if spec["do"] == "destroy":
        from flowinfra.control.deployer.ownstack import destroy_own

        destroy_own(Home.find(), kind, spec["domain"], spec["full_name"])
        channel.tell({"is": "answer"})
        return 0
    given = Create.from_json(spec["create"])
    sys.dont_write_bytecode = sys.dont_write_bytecode or given.only_json  # before the flow is imported
    top = TopOptions.from_json(spec["top"])
    answer = _create(FlowSource.from_json(spec["flow"]), top, given, kind, spec["name"])
    home = Home.find()
    place = {"home": str(home.path), "project_dir": str(home.project_dir), "store": home.store_url}
    channel.tell({"is": "answer", **place, **answer})
    return 0


def _create(source: FlowSource, top: TopOptions, given: Create, kind: TargetKind, name: str | None) -> dict[str, Any]:
    from flowinfra.control.decospecs import decorate
    from flowinfra.control.deployer.ownstack import deploy, describe

    flow = load_source(source, top)
    decorate(flow, top.decospecs)
    project = resolve_project(
        flow, branch=top.branch, production=bool(top.production), user=user_name(), options=("branch=", "production=")
    )
    tags = () if project is None else project.tags
    name = name or (_NAME if project is None else project.flow_name)
    if given.only_json:
        document = describe(flow, name, tags, given, kind)
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return {"address": document["address"], "document": document}
    done = deploy(flow, name, tags, given, kind, lambda text: _line(sys.stderr, text))
    if not top.quiet:
        found = done.found
        word = "is deployed" if done.changed else "is deployed already, without a change"
        _line(sys.stdout, f"{found.full_name} {word}: {found.address}")
        _line(sys.stdout, f"its runs are in the namespace {found.namespace}")
    return {"address": done.found.address, "document": None}


def _line(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
