"""Artifacts as text or JSON, for people and for programs without Python; a pickle is not decoded unless that is asked for."""

from __future__ import annotations

import json
import os
import pprint
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from flowinfra.control import missing
from flowinfra.control.client import Run
from flowinfra.control.tasks import Step, Task
from flowinfra.control.values import Artifact
from flowinfra.diagnostics import ControlError, error
from flowinfra.packaging.users import user_name

if TYPE_CHECKING:
    from flowinfra.control.find import Found
    from flowinfra.control.place import Place

__all__ = ["MAX_VALUE_SIZE", "Dumped", "DumpedTask", "dump", "may_decode"]

#: Bytes of a stored value up to which it is shown whole.
MAX_VALUE_SIZE: Final = 1000

_PLAIN: Final = frozenset({"json"})  # reading them runs nobody's code


@dataclass(frozen=True, slots=True)
class Dumped:
    """One artifact.

    Attributes:
        name: its name.
        type: the name of its type.
        codec: the form in which it is stored.
        size: its bytes there.
        sha: their SHA-256.
        text: the whole value as text; or the short form that its task saved, if *whole* is False.
        whole: whether *text* is all of it.
        value: the value, if it is made of what JSON has, and *whole*.
        plain: whether *value* holds it.
    """

    name: str
    type: str
    codec: str
    size: int
    sha: str
    text: str
    whole: bool = False
    value: Any = None
    plain: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON: ``value`` is there only where JSON can say it."""
        return {
            "name": self.name,
            "type": self.type,
            "codec": self.codec,
            "bytes": self.size,
            "sha": self.sha,
            **({"value": self.value} if self.plain else {"text": self.text, "whole": self.whole}),
        }


@dataclass(frozen=True, slots=True)
class DumpedTask:
    """The artifacts of one task; None if it has not ended well."""

    pathspec: str
    artifacts: tuple[Dumped, ...] | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        found = None if self.artifacts is None else [artifact.to_json() for artifact in self.artifacts]
        return {"pathspec": self.pathspec, "artifacts": found}


def dump(
    found: Found, *, names: Collection[str] = (), limit: int | None = MAX_VALUE_SIZE, decode: bool = False
) -> Iterator[DumpedTask]:
    """The artifacts of what was *found*, task by task: of a run those of its last task, of a step those of all its tasks.

    Args:
        found: what to show.
        names: only these artifacts; empty: all.
        limit: the most bytes of a value that is shown whole; None: whatever it has.
        decode: also those that only Python can read; that may run code of whoever wrote them (:func:`may_decode`).

    Raises:
        NotFoundError: FI818, the run has no result yet; FI815, no task has an artifact of one of the *names*.
        RunError: FI706, a value is damaged; FI707, it cannot be decoded here.
    """
    if isinstance(found, Artifact):
        yield DumpedTask(found.parent.pathspec, (_dumped(found, limit, decode),))
        return
    known: set[str] = set()
    last = found.pathspec
    for task in _tasks(found):
        if not task.finished:
            yield DumpedTask(task.pathspec, None)
            continue
        known.update(artifact.id for artifact in task)
        last = task.pathspec
        wanted: Iterable[Artifact] = [a for a in task if a.id in names] if names else task
        yield DumpedTask(task.pathspec, tuple(_dumped(artifact, limit, decode) for artifact in wanted))
    absent = [name for name in names if name not in known]
    if absent:
        raise missing.NoSuchKey(missing.no_artifact(last, name, sorted(known), committed=True) for name in absent)


def may_decode(place: Place, run: Run) -> None:
    """Refuse to decode what others may have written: a pickle runs the code that it names.

    Files must lie in a store of this user's own; of another store, the run must be one that this user has started. It
    guards against mistakes; who may write to the store is a matter of its permissions.

    Raises:
        ControlError: FI878, the store or the run is another user's.
    """
    url = place.store.url
    if url.startswith("file://"):
        owner = os.stat(unquote(urlsplit(url).path)).st_uid
        why = f"its files belong to the user {owner}" if owner != os.getuid() else ""
    else:
        starter = run.user_name
        why = f"the run was started by {starter or 'nobody who is known'}" if starter != user_name() else ""
    if why:
        raise ControlError(
            error(
                "FI878",
                f"the values of {run.pathspec} are not decoded: {why}",
                detail="To decode a pickle is to run code that whoever wrote it has chosen.",
                hint="leave out --decode to see their text; whoever trusts them reads them with Artifact(...).data",
            )
        )


def _tasks(found: Run | Step | Task) -> Iterator[Task]:
    if isinstance(found, Task):
        yield found
    elif isinstance(found, Step):
        yield from found
    else:
        end = found.end_task
        if end is None or not end.finished:
            raise missing.NoSuchKey(missing.no_data(found.pathspec, found.state_text))
        yield end


def _dumped(artifact: Artifact, limit: int | None, decode: bool) -> Dumped:
    size, codec = artifact.size, artifact.codec
    shown = Dumped(artifact.id, artifact.type, codec, size, artifact.sha, artifact.text)
    if (limit is not None and size > limit) or not (codec in _PLAIN or decode):
        return shown
    value = artifact.data
    if codec in _PLAIN:
        lines = isinstance(value, str) and "\n" in value
        text = value if lines else json.dumps(value, ensure_ascii=False)
        return Dumped(shown.name, shown.type, codec, size, shown.sha, text, whole=True, value=value, plain=True)
    return Dumped(shown.name, shown.type, codec, size, shown.sha, pprint.pformat(value, width=100), whole=True)
