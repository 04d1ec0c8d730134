"""What an offline preview compares with: a checkpoint, an exported stack or a snapshot, and how closed values compare.

Nothing is opened here: secrets are closed whoever could open them, and what a snapshot withholds is closed too. A closed
value stands for itself, so it equals whatever the program gives in its place, and that is listed as unknown; unless the
snapshot has a keyed digest of it and the key is known, which tells whether it is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from flowinfra.diagnostics import Diagnostic, EngineError, Source, error
from flowinfra.engine.base import StackRef
from flowinfra.engine.state.checkpoint import Snapshot, decode
from flowinfra.engine.state.resources import Pending, ResourceState
from flowinfra.engine.urns import STACK_TYPE, provider_reference, urn_type
from flowinfra.engine.values import (
    SECRET,
    SIGNATURE,
    UNKNOWN,
    Properties,
    has_secret,
    has_unknown,
    is_secret,
    join_path,
    parse_path,
    secret,
)
from flowinfra.model.snapshot import DEPLOYMENT, KIND, RecordedResource, StackSnapshot, key_check, keyed_digest

__all__ = ["CLOSED", "Base", "Closing", "aligned", "defaults_removed", "pulled_out", "read_base"]

#: A secret that stays closed.
CLOSED: Final = secret(UNKNOWN)

_OUTPUT: Final = "output"

#: Follows from what it lies beside, which is compared by itself, and is wrong once any of that is closed.
_DERIVED: Final = "flow.digest"


@dataclass(frozen=True, slots=True)
class Base:
    """The state to compare with."""

    snapshot: Snapshot
    dropped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By URN: paths of inputs that are withheld and not even stand for themselves, with their keyed digests."""
    key: bytes | None = None


# -- reading ----------------------------------------------------------------------------------------------------------


def read_base(path: Path, stack: StackRef, key: bytes | None) -> Base:
    """What the file *path* says of *stack*.

    Raises:
        EngineError: FI610, it cannot be read; FI666, it is damaged, in no format that is known, or of a newer flowinfra;
            FI667, it is one of another project or stack; FI699, it was made with another key.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise EngineError(
            error(
                "FI610",
                "the snapshot cannot be read",
                detail=str(problem.strerror or problem),
                hint="name a file made by `flowinfra snapshot` or `pulumi stack export`, or a checkpoint",
                source=Source(str(path)),
            )
        ) from problem
    document = _snapshot_document(data)
    if document is None:
        try:
            snapshot = decode(data, path, sealed=True)
        except EngineError as why:
            raise EngineError(_no_base(path, why)) from why
        for state in snapshot.resources:
            _refuse_other(path, stack, *_place(state.urn))
        return Base(snapshot)
    return _base_of(_parsed(document, path), path, stack, key)


def _no_base(path: Path, why: EngineError) -> Diagnostic:
    """The state reader's finding, for a file that somebody has named: there is nothing to repair, and no engine to ask."""
    found = why.diagnostics[0]
    return error(
        "FI666",
        "the snapshot cannot be used",
        detail=found.detail or found.summary,
        hint="name a file made by `flowinfra snapshot` or `pulumi stack export`, or a checkpoint",
        source=Source(str(path)),
    )


def _snapshot_document(data: bytes) -> dict[str, Any] | None:
    """The document, if it says that it is a snapshot of ours."""
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("kind") == KIND else None


def _parsed(document: dict[str, Any], path: Path) -> StackSnapshot:
    try:
        return StackSnapshot.from_json(document)
    except ValueError as why:
        raise EngineError(
            error(
                "FI666",
                "the snapshot cannot be used",
                detail="; ".join(str(why).splitlines()[:3]),
                hint="make it anew with `flowinfra snapshot`, with a flowinfra that is not newer than this one",
                source=Source(str(path)),
            )
        ) from why


def _place(urn: str) -> tuple[str, str]:
    """Project and stack in a URN."""
    stack, _, rest = urn.removeprefix("urn:pulumi:").partition("::")
    return rest.partition("::")[0], stack


def _refuse_other(path: Path, stack: StackRef, project: str, name: str) -> None:
    if (project, name) != (stack.project, stack.stack):
        raise EngineError(
            error(
                "FI667",
                f"this is a snapshot of {project}/{name}, not of {stack.project}/{stack.stack}",
                detail="compared with it, everything would seem to be new, and everything there to be deleted",
                hint=f"name a snapshot of {stack.project}/{stack.stack}"
                + (f", or preview that stack: --stack {name}" if project == stack.project else ""),
                source=Source(str(path)),
            )
        )


def _base_of(document: StackSnapshot, path: Path, stack: StackRef, key: bytes | None) -> Base:
    _refuse_other(path, stack, document.project, document.stack)
    known = key if document.key_check else None
    if known is not None and key_check(known, document.project, document.stack) != document.key_check:
        raise EngineError(
            error(
                "FI699",
                "the key is not the one that the snapshot was made with",
                detail="with another key everything that is withheld would seem to have changed",
                hint="give the same key, or none: then what is withheld is listed as unknown",
                source=Source(str(path)),
            )
        )
    dropped: dict[str, dict[str, str]] = {}
    states = []
    for resource in document.resources:
        state, gone = _state_of(resource)
        states.append(state)
        if gone and not resource.delete:
            dropped[resource.urn] = gone
    pending = tuple(
        Pending(p.type, ResourceState(urn=p.urn, type=p.resource_type, custom=True)) for p in document.pending
    )
    return Base(Snapshot(resources=tuple(states), pending=pending, digest=document.state), dropped, known)


def _state_of(recorded: RecordedResource) -> tuple[ResourceState, dict[str, str]]:
    """The state of a recorded resource, and which of its inputs are withheld without a trace."""
    inputs: Properties = json.loads(json.dumps(recorded.inputs))
    gone: dict[str, str] = {}
    for path, digest in recorded.withheld.items():
        if pulled_out(recorded.type, path):
            gone[path] = digest
        else:
            _put(inputs, [str(k) for k in parse_path(path)], {SIGNATURE: SECRET, "value": UNKNOWN, "digest": digest})
    echoed = set(recorded.echoed)
    outputs: Properties = {}
    for name in recorded.outputs:
        if not recorded.custom:
            outputs[name] = {SIGNATURE: SECRET, "value": UNKNOWN, "digest": _OUTPUT}
        else:
            value = _unknown_where_closed(inputs[name]) if name in echoed and name in inputs else UNKNOWN
            outputs[name] = secret(value) if name in recorded.additional_secret_outputs else value
    state = ResourceState(
        urn=recorded.urn,
        type=recorded.type,
        custom=recorded.custom,
        id=UNKNOWN if recorded.custom else "",
        inputs=inputs,
        outputs=outputs,
        parent=recorded.parent,
        provider=provider_reference(recorded.provider, UNKNOWN) if recorded.provider else "",
        dependencies=recorded.dependencies,
        property_dependencies={k: list(v) for k, v in recorded.property_dependencies.items()},
        protect=recorded.protect,
        external=recorded.external,
        delete=recorded.delete,
        pending_replacement=recorded.pending_replacement,
        retain_on_delete=recorded.retain_on_delete,
        deleted_with=recorded.deleted_with,
        additional_secret_outputs=recorded.additional_secret_outputs,
        ignore_changes=recorded.ignore_changes,
        replace_on_changes=recorded.replace_on_changes,
        hide_diff=recorded.hide_diff,
        custom_timeouts=dict(recorded.custom_timeouts),
        resource_hooks={k: list(v) for k, v in recorded.resource_hooks.items()},
    )
    return state, gone


def pulled_out(type_: str, path: str) -> bool:
    """Whether a withheld input leaves nothing in its place, since readers of deployments want a certain form there."""
    if type_ != DEPLOYMENT:
        return False
    keys = parse_path(path)
    return keys[-1:] == ("default",) or path in (_DERIVED, "release")


def _put(inputs: Properties, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inputs = inputs.setdefault(key, {})
    inputs[keys[-1]] = value


def _unknown_where_closed(value: Any) -> Any:
    if isinstance(value, dict):
        return UNKNOWN if is_secret(value) else {k: _unknown_where_closed(v) for k, v in value.items()}
    return [_unknown_where_closed(v) for v in value] if isinstance(value, list) else value


# -- comparing --------------------------------------------------------------------------------------------------------


class Closing:
    """Opens nothing: every secret of the state is a closed value."""

    def open_state(self, state: ResourceState) -> ResourceState:
        """*state* with its secrets closed."""
        return replace(state, inputs=_closed(state.inputs), outputs=_closed(state.outputs))


def _closed(value: Any) -> Any:
    if isinstance(value, dict):
        if is_secret(value):
            return value if "digest" in value else CLOSED
        return {k: _closed(v) for k, v in value.items()}
    return [_closed(v) for v in value] if isinstance(value, list) else value


def aligned(base: Base, note: Callable[[str], None], urn: str, old: Properties, new: Properties) -> Properties:
    """*new* with the closed values of *old*, which nobody can compare, in their places; *note* is told where."""
    if any(isinstance(v, dict) and v.get("digest") == _OUTPUT for v in old.values()):
        # Those of a component follow from what is in it, which is compared by itself.
        if urn_type(urn) == STACK_TYPE:
            note(f"{urn}: outputs")
        return {k: old.get(k, v) for k, v in new.items()}
    out: Properties = _Aligning(base.key, note, urn).at("", old, new)
    for path, digest in base.dropped.get(urn, {}).items():
        out = _without(base, note, urn, path, digest, out)
    return out


def defaults_removed(value: Any) -> Any:
    """*value* without what a provider had filled in, as bridged providers note it, at every depth."""
    if isinstance(value, dict):
        noted = value.get("__defaults")
        names = {"__defaults", *noted} if isinstance(noted, list) else set()
        return {k: defaults_removed(v) for k, v in value.items() if k not in names}
    return [defaults_removed(v) for v in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Aligning:
    key: bytes | None
    note: Callable[[str], None]
    urn: str

    def at(self, path: str, old: Any, new: Any) -> Any:
        if is_secret(old):
            return self._closed(path, old, new)
        if isinstance(old, dict) and isinstance(new, dict) and not is_secret(new):
            return {k: self.at(join_path(path, k), old[k], v) if k in old else v for k, v in new.items()}
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            return [self.at(f"{path}[{i}]", o, n) for i, (o, n) in enumerate(zip(old, new, strict=True))]
        return new

    def _closed(self, path: str, old: Any, new: Any) -> Any:
        digest = old.get("digest")
        if digest is None:  # a secret of the state
            if not is_secret(new):
                return new
            if new != CLOSED:
                self.note(f"{self.urn}: {path}")
            return old
        same = _same(self.key, self.urn, path, digest, new)
        if same is None and new != CLOSED:  # what is closed on both sides comes from an output that is closed too
            self.note(f"{self.urn}: {path}")
        return new if same is False else old


def _same(key: bytes | None, urn: str, path: str, digest: str, new: Any) -> bool | None:
    """Whether *new* is the value of the keyed *digest*; None if that cannot be told."""
    if key is None or not digest or has_unknown(new) or has_secret(new):
        return None
    return keyed_digest(key, urn, path, defaults_removed(new)) == digest


def _without(base: Base, note: Callable[[str], None], urn: str, path: str, digest: str, new: Properties) -> Properties:
    """*new* without what is at *path*, unless that is known to be another value than the withheld one."""
    keys = [str(k) for k in parse_path(path)]
    chain: list[Properties] = [new]
    for key in keys[:-1]:
        inner = chain[-1].get(key)
        if not isinstance(inner, dict):
            return new
        chain.append(inner)
    if keys[-1] not in chain[-1]:
        return new
    same = path == _DERIVED or _same(base.key, urn, path, digest, chain[-1][keys[-1]])
    if same is False:
        return new
    if same is None:
        note(f"{urn}: {path}")
    inside: Any = {k: v for k, v in chain[-1].items() if k != keys[-1]}
    for key, outer in zip(reversed(keys[:-1]), reversed(chain[:-1]), strict=True):
        inside = {**outer, key: inside}
    out: Properties = inside
    return out
