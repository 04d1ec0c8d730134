"""Snapshots: what is deployed, as far as others may see it, for previews where there is no access to anything.

What goes in is an allow-list, by type and path: :data:`SHOWN`. Of our own types that is what a flow diff needs; of all
others the names of their inputs. Environment values, parameters whose name sounds like a secret, and digests over any of
these are withheld, and so is all else that the list does not name; :mod:`flowinfra.model.snapshot` says how.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flowinfra._version import __version__
from flowinfra.control.stacks import backend_url, require_stack, selected_stack
from flowinfra.engine.base import StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.offline import defaults_removed, read_base
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.checkpoint import Snapshot
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.urns import PROVIDER_PREFIX, is_provider, split_reference
from flowinfra.engine.values import Properties, contains, covers, equal, has_secret, is_secret, join_path, parse_path
from flowinfra.model.snapshot import (
    DEPLOYMENT,
    PendingOperation,
    RecordedResource,
    StackSnapshot,
    key_check,
    keyed_digest,
)
from flowinfra.packaging.home import Home

__all__ = [
    "SHOWN",
    "snapshot_bytes",
    "snapshot_of",
    "snapshot_of_stack",
    "withheld_names",
]

#: Type → paths of the inputs that a snapshot shows. What is not named here is withheld.
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    DEPLOYMENT: ("flow", "deployment", "release", "target", "runtime", "developer"),
    "flowinfra:index:Bundle": ("digest",),
    "flowinfra:index:Release": ("digest", "bundle"),
    "flowinfra:index:Token": ("deployment", "generation"),
    "flowinfra:index:LocalDeployment": (
        "project",
        "stack",
        "domain",
        "flow",
        "name",
        "release",
        "bundle",
        "parameters",
        "tags",
        "paused",
        "maxWorkers",
        "timeoutSeconds",
        "userNamespace",
        "interpreter.version",
        "interpreter.packages",
    ),
    "pulumi:pulumi:StackReference": ("name",),
    f"{PROVIDER_PREFIX}flowinfra": (
        "version",
        "__internal",
        # the stack's settings, none of which is secret
        "target",
        "engine",
        "mode",
        "name_prefix",
        "paused",
        "tags",
        "require_clean",
        "branch",
        "protect",
        "require_plan",
        "max_workers",
    ),
    PROVIDER_PREFIX: ("version", "__internal"),
}

#: Type → paths that are withheld although a longer list shows what they lie in.
_HIDDEN: Final[Mapping[str, tuple[str, ...]]] = {DEPLOYMENT: ("flow.environments.*.env_vars.*",)}

#: Type → where parameters lie, whose names decide about their values.
_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    DEPLOYMENT: ("deployment.parameters", "flow.parameters"),
    "flowinfra:index:LocalDeployment": ("parameters",),
}

_SECRET_LIKE: Final = re.compile(
    r"passw|passphrase|\bpwd?\b|secret|token|api_?key|access_?key|private|credential|\bauth\b|authorization|\bdsn\b"
    r"|connection_?string|\bkey\b|certificate|\bsalt\b|cookie|signature|webhook",
    re.IGNORECASE,
)


#: A URL with user and password in it.
_CREDENTIALS: Final = re.compile(r"://[^/\s:@]+:[^/\s@]+@")


def sounds_secret(name: str) -> bool:
    """Whether a value of this name may be a secret, by the words in it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("-", " ").replace("_", " ")
    return bool(_SECRET_LIKE.search(words) or _SECRET_LIKE.search(name))


def snapshot_of(
    state: Snapshot, project: str, stack: str, *, key: bytes | None = None, allow: Sequence[tuple[str, str]] = ()
) -> StackSnapshot:
    """What others may see of *state*, which stays sealed.

    Args:
        state: the last state of the stack.
        project: its project.
        stack: its name.
        key: with it what is withheld has a keyed digest.
        allow: further (type, path of an input) to show. Secrets stay closed all the same.
    """
    tainted = frozenset(d for r in state.resources if r.type == DEPLOYMENT for d in _telling_digests(r.inputs))
    rules = _Rules(key, tainted, tuple(allow))
    return StackSnapshot(
        project=project,
        stack=stack,
        flowinfra=__version__,
        state=state.digest,
        key_check=key_check(key, project, stack) if key else "",
        resources=tuple(rules.recorded(r) for r in state.resources),
        pending=tuple(
            PendingOperation(type=p.type, urn=p.resource.urn, resource_type=p.resource.type) for p in state.pending
        ),
    )


def snapshot_bytes(snapshot: StackSnapshot) -> bytes:
    """The file of *snapshot*: the same bytes for the same state."""
    return json.dumps(snapshot.to_json(), indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def withheld_names(snapshot: StackSnapshot) -> dict[str, tuple[str, ...]]:
    """What *snapshot* does not show, by URN."""
    return {r.urn: tuple(r.withheld) for r in snapshot.resources if r.withheld}


def _telling_digests(inputs: Properties) -> Iterator[str]:
    """The plain digests of a deployment that cover what is withheld of its flow: by trying, they would tell it."""
    flow = inputs.get("flow")
    kept = _Sorter(_Rules(None, frozenset(), ()), ResourceState(urn="", type=DEPLOYMENT, inputs=inputs))
    kept.take("flow", flow)
    if kept.withheld:
        named = (flow.get("digest") if isinstance(flow, dict) else None, inputs.get("release"))
        yield from (d for d in named if isinstance(d, str))


@dataclass(frozen=True, slots=True)
class _Rules:
    key: bytes | None
    tainted: frozenset[str]
    allow: tuple[tuple[str, str], ...]

    def recorded(self, state: ResourceState) -> RecordedResource:
        sorter = _Sorter(self, state)
        inputs = {k: v for k, given in state.inputs.items() if (v := sorter.take(join_path("", k), given)) is not _GONE}
        return RecordedResource(
            urn=state.urn,
            type=state.type,
            custom=state.custom,
            parent=state.parent,
            provider=split_reference(state.provider)[0],
            dependencies=state.dependencies,
            property_dependencies={k: tuple(v) for k, v in sorted(state.property_dependencies.items())},
            protect=state.protect,
            external=state.external,
            delete=state.delete,
            pending_replacement=state.pending_replacement,
            retain_on_delete=state.retain_on_delete,
            deleted_with=state.deleted_with,
            ignore_changes=state.ignore_changes,
            replace_on_changes=state.replace_on_changes,
            additional_secret_outputs=state.additional_secret_outputs,
            hide_diff=state.hide_diff,
            custom_timeouts=state.custom_timeouts,
            resource_hooks={k: tuple(v) for k, v in sorted(state.resource_hooks.items())},
            inputs=inputs,
            withheld=dict(sorted(sorter.withheld.items())),
            outputs=tuple(sorted(state.outputs)),
            echoed=tuple(
                sorted(k for k, v in state.outputs.items() if k in state.inputs and equal(v, state.inputs[k]))
            ),
        )

    def shown(self, type_: str) -> tuple[str, ...]:
        own = SHOWN.get(type_, SHOWN[PROVIDER_PREFIX] if is_provider(type_) else ())
        return (*own, *(path for t, path in self.allow if t == type_))


_GONE: Final = object()


@dataclass(slots=True)
class _Sorter:
    """Sorts the inputs of one resource into what is shown and what is withheld."""

    rules: _Rules
    state: ResourceState
    withheld: dict[str, str] = field(default_factory=dict)

    def take(self, path: str, value: Any) -> Any:
        """What is shown of the input *path*; ``_GONE`` if it is withheld."""
        if path == "__defaults":  # names of inputs
            return value
        shown = self.rules.shown(self.state.type)
        hidden = is_secret(value) or self._hides(path, value)
        within = any(covers(pattern, path) for pattern in shown)
        if isinstance(value, dict) and not hidden and (within or any(covers(path, pattern) for pattern in shown)):
            return {k: v for k, item in value.items() if (v := self.take(join_path(path, k), item)) is not _GONE}
        if within and not hidden and not contains(value, is_secret):
            return value
        self.withheld[path] = self._digest(path, value)
        return _GONE

    def _hides(self, path: str, value: Any) -> bool:
        type_ = self.state.type
        if any(covers(pattern, path) for pattern in _HIDDEN.get(type_, ())):
            return True
        if not isinstance(value, dict) and contains(value, self._tells):
            return True
        keys = [str(k) for k in parse_path(path)]
        if type_ == DEPLOYMENT and keys[:2] == ["flow", "parameters"]:
            return keys[3:] == ["default"] and (sounds_secret(keys[2]) or _holds_secret_names(_default_of(value)))
        for root in _PARAMETERS.get(type_, ()):
            depth = root.count(".") + 1
            if len(keys) > depth and ".".join(keys[:depth]) == root:
                return any(map(sounds_secret, keys[depth:])) or _holds_secret_names(value, lists_only=True)
        return False

    def _tells(self, value: Any) -> bool:
        """A digest over something withheld, or a URL with a password."""
        return isinstance(value, str) and (value in self.rules.tainted or bool(_CREDENTIALS.search(value)))

    def _digest(self, path: str, value: Any) -> str:
        # What is inside of ignored changes is kept from the last state, so it may not compare as a whole.
        ignored = any(covers(path, pattern) for pattern in self.state.ignore_changes)
        if self.rules.key is None or ignored or has_secret(value):
            return ""
        return keyed_digest(self.rules.key, self.state.urn, path, defaults_removed(value))


def _holds_secret_names(value: Any, *, lists_only: bool = False) -> bool:
    """Whether objects inside *value* have keys that sound like secrets; an object itself is passed over if *lists_only*."""
    if lists_only and isinstance(value, dict):
        return False
    return contains(value, lambda v: isinstance(v, dict) and any(sounds_secret(str(k)) for k in v))


def _default_of(text: Any) -> Any:
    """The default of a parameter, which is kept as JSON text."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def snapshot_of_stack(
    cwd: Path,
    stack: str | None,
    *,
    source: Path | None = None,
    key: bytes | None = None,
    allow: Sequence[tuple[str, str]] = (),
) -> StackSnapshot:
    """The snapshot of a stack of the project that *cwd* lies in; needs neither passphrase nor provider.

    Args:
        cwd: a folder in the project.
        stack: which stack; by default the selected one.
        source: a checkpoint or an exported stack to read, instead of the state in the stack's backend.
        key: as for :func:`snapshot_of`.
        allow: as for :func:`snapshot_of`.

    Raises:
        FlowinfraError: there is no such project, stack or file, or its state cannot be read.
    """
    project, home = Project.find(cwd), Home.find(cwd)
    name = stack or selected_stack(home, project)
    if source is not None:
        ref = StackRef(project.name, name, project.folder, project.main, "")
        return snapshot_of(read_base(source, ref, None).snapshot, project.name, name, key=key, allow=allow)
    require_stack(home, project, name)
    state = Backend.open(backend_url(home, project)).stack(project.name, name).read(sealed=True)
    return snapshot_of(state, project.name, name, key=key, allow=allow)
