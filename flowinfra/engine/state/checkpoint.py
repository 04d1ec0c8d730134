"""Checkpoint files: the JSON document of one stack, to and from values. Pure.

Version 3 of Pulumi's format, and version 4 (version 3 with a list of the features that a reader must know) as soon as
a resource has hooks. What this engine does not know it refuses by name, before anything is changed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from flowinfra._version import __version__
from flowinfra.diagnostics import Diagnostic, EngineError, Source, error
from flowinfra.engine.state.resources import Pending, ResourceState, timestamp

__all__ = ["Snapshot", "decode", "document_of", "encode", "render"]

_HOOKS: Final = "hooks"
_FEATURES: Final = frozenset({_HOOKS})
_VERSIONS: Final = (3, 4)
_WRITER: Final = f"flowinfra/{__version__}"
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a checkpoint says; secrets stay sealed."""

    resources: tuple[ResourceState, ...] = ()
    pending: tuple[Pending, ...] = ()
    salt: str | None = None
    """Salt of the passphrase with which its secrets are encrypted."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    digest: str = field(default="", compare=False)
    """SHA-256 of the document that it was read from, and of the journal that continues it; empty where there is none."""
    name: str = field(default="", compare=False)
    """The stack that it says it belongs to."""
    version: str = field(default="", compare=False)
    """The version of its file in the backend; empty where there is none."""
    journaled: bool = field(default=False, compare=False)
    """An operation has left a journal, and its records are part of this."""
    findings: tuple[Diagnostic, ...] = field(default=(), compare=False)
    """What is to be said of how it was read."""

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, sealed."""
        return next((r.outputs for r in self.resources if r.type == "pulumi:pulumi:Stack" and not r.delete), {})


def decode(data: bytes, path: Path | str, *, sealed: bool = False) -> Snapshot:
    """The snapshot in the bytes of a checkpoint file, compressed or not, or of an exported stack.

    Args:
        data: the bytes.
        path: where they come from.
        sealed: nobody will open its secrets, so they may be kept by any secrets provider.

    Raises:
        EngineError: FI610, it is damaged; FI611, it needs something that only Pulumi itself can read.
    """
    try:
        text = document_of(data)
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("it is not a JSON object")
        _refuse_unknown(document, path)
        latest = _latest(document)
        providers = _object(latest, "secrets_providers")
        if providers.get("type", "passphrase") != "passphrase" and not sealed:
            raise _foreign(path, f"its secrets are kept by the secrets provider '{providers['type']}'")
        return Snapshot(
            resources=tuple(ResourceState.from_json(r) for r in _list(latest, "resources")),
            pending=tuple(
                Pending(p["type"], ResourceState.from_json(p["resource"])) for p in _list(latest, "pending_operations")
            ),
            salt=(providers.get("state") or {}).get("salt"),
            metadata=_object(latest, "metadata"),
            digest=sha256(text).hexdigest(),
            name=str(_object(document, "checkpoint").get("stack") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, zlib.error) as problem:
        raise EngineError(
            error(
                "FI610",
                "the state of the stack is damaged",
                detail=f"{type(problem).__name__}: {problem}",
                hint="`flowinfra state repair` offers the newest good copy from .pulumi/backups or beside the state",
                source=Source(str(path)),
            )
        ) from problem


def _latest(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the document says of the stack: nothing is taken for an empty state that does not say that it is one."""
    if "checkpoint" in document:
        return _object(_object(document, "checkpoint"), "latest")
    if not isinstance(document.get("deployment"), dict):  # so does the CLI's `stack export` call the same thing
        raise ValueError("it holds neither a checkpoint nor a deployment")
    return _object(document, "deployment")


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"its {key} is no JSON object")
    return value or {}


def _list(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = document.get(key)
    if value is not None and not isinstance(value, list):
        raise ValueError(f"its {key} is no list")
    return value or ()


def document_of(data: bytes) -> bytes:
    """The document in the bytes of a checkpoint file, compressed or not.

    Raises:
        OSError: it is damaged; EOFError or :class:`zlib.error` as well.
    """
    return gzip.decompress(data) if data[:2] == _GZIP_MAGIC else data


def _refuse_unknown(document: Mapping[str, Any], path: Path | str) -> None:
    version = document.get("version")
    if not isinstance(version, int):
        raise ValueError("it does not say which version of checkpoints it is")
    if version not in _VERSIONS:
        raise _foreign(path, f"it has checkpoint version {version!r}, and this engine reads 3 and 4")
    unknown = sorted(set(document.get("features") or ()) - _FEATURES)
    if unknown:
        raise _foreign(path, f"it needs the features {', '.join(unknown)}")


def _foreign(path: Path | str, why: str) -> EngineError:
    return EngineError(
        error(
            "FI611",
            "only the Pulumi CLI can read this state",
            detail=why,
            hint="use it as engine, in the version that has written the state or a later one: "
            "`flowinfra config set flowinfra:engine pulumi`",
            source=Source(str(path)),
        )
    )


def render(state: ResourceState) -> str:
    """The JSON text of one resource in a checkpoint; its secrets must be sealed.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    return _text(state.to_json())


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode(
    full_name: str,
    resources: Sequence[str],
    pending: Sequence[tuple[str, str]],
    *,
    hooked: bool,
    salt: str | None,
    metadata: Mapping[str, Any],
    compressed: bool,
) -> bytes:
    """The bytes of a checkpoint file.

    Args:
        full_name: ``organization/<project>/<stack>``.
        resources: what :func:`render` made of them. They come as texts because an update writes the checkpoint after
            each change, and nearly all of them are the same each time.
        pending: kinds and texts of operations that have not ended.
        hooked: whether any resource has hooks.
        salt: that of the key with which secrets are sealed, if there are any.
        metadata: Pulumi's own remarks on the state.
        compressed: with gzip.
    """
    manifest = {
        "time": timestamp(),
        # Pulumi checks that magic is the digest of version; any version text will do.
        "magic": sha256(_WRITER.encode()).hexdigest(),
        "version": _WRITER,
    }
    latest = [f'"manifest":{_text(manifest)}']
    if salt is not None:
        latest.append(f'"secrets_providers":{_text({"type": "passphrase", "state": {"salt": salt}})}')
    if resources:
        latest.append(f'"resources":[{",".join(resources)}]')
    if pending:
        operations = (f'{{"resource":{text},"type":{_text(kind)}}}' for kind, text in pending)
        latest.append(f'"pending_operations":[{",".join(operations)}]')
    latest.append(f'"metadata":{_text(dict(metadata))}')
    head = f'"version":4,"features":{_text([_HOOKS])}' if hooked else '"version":3'
    document = f'{{{head},"checkpoint":{{"stack":{_text(full_name)},"latest":{{{",".join(latest)}}}}}}}'
    data = document.encode()
    return gzip.compress(data) if compressed else data
