"""A deployment as it is kept, as text and as JSON."""

from __future__ import annotations

from typing import Any

from flowinfra.cli.console import Console
from flowinfra.cli.views.duration import moment
from flowinfra.control.pausing import Paused
from flowinfra.control.place import local_time
from flowinfra.orchestrators.local.records import Deployed

__all__ = ["deployment_json", "deployment_text", "paused_text", "paused_words"]


def paused_words(deployed: Deployed) -> str:
    """Who has paused or resumed it past the program, when and why; empty if the program says it is so."""
    operated = deployed.operated
    if operated is None:
        return ""
    reason = f" ({operated.reason})" if operated.reason else ""
    return f" by {operated.by} since {moment(local_time(operated.at_ms))}{reason}"


def paused_text(done: Paused, console: Console) -> str:
    """What `pause` or `resume` has done, in a line."""
    found = done.deployed
    name = console.style(found.deployment.full_name, "bold")
    word = "paused" if found.deployment.paused else "not paused"
    already = " already" if found.deployment.paused else ""
    what = f"{name} is {word}" if done.changed else f"{name} was {word}{already}"
    text = f"{what}{paused_words(found)}"
    if found.operated is not None:
        text += f"\n  the program says {'paused' if found.operated.declared else 'not paused'}; `flowinfra up` leaves it as it is"
    return text + "\n"


def deployment_json(deployed: Deployed) -> dict[str, Any]:
    """A deployment as JSON."""
    found, operated = deployed.deployment, deployed.operated
    return {
        "deployment": found.full_name,
        "address": found.address,
        "owner": found.owner,
        "release": found.release,
        "namespace": deployed.namespace,
        "parameters": dict(found.parameters),
        "tags": list(found.tags),
        "max_workers": found.max_workers,
        "timeout_seconds": found.timeout_seconds,
        "user_namespace": found.user_namespace or None,
        "paused": found.paused,
        "operated": None
        if operated is None
        else {
            "declared": operated.declared,
            "by": operated.by,
            "at": local_time(operated.at_ms).isoformat(timespec="milliseconds"),
            "reason": operated.reason or None,
        },
        "created": local_time(deployed.created_ms).isoformat(timespec="milliseconds"),
        "updated": local_time(deployed.updated_ms).isoformat(timespec="milliseconds"),
    }


def deployment_text(deployed: Deployed, console: Console) -> str:
    """All that is kept of a deployment."""
    found = deployed.deployment
    word = console.style("paused", "yellow", "bold") if found.paused else console.style("active", "green", "bold")
    rows = [
        ("owner", found.owner),
        ("release", found.release[:12]),
        ("namespace", deployed.namespace),
        ("tags", ", ".join(found.tags)),
        ("parameters", ", ".join(f"{k}={v!r}" for k, v in found.parameters.items())),
        ("deployed", moment(local_time(deployed.created_ms))),
        ("changed", moment(local_time(deployed.updated_ms))),
    ]
    if deployed.operated is not None:
        said = "paused" if deployed.operated.declared else "not paused"
        rows.append(
            ("operator", f"{'paused' if found.paused else 'resumed'}{paused_words(deployed)}; the program says {said}")
        )
    lines = [f"{console.style(found.full_name, 'bold')}  {word}", *(f"  {k:<11} {v}" for k, v in rows if v)]
    return "\n".join(lines) + "\n"
