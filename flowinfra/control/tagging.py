"""The tags of a run, which people may change after it was started, and what a change is.

A run begins with the tags in its run.json. Each change after that is a document of its own that holds all tags of people
and is created under the number behind the newest: of several who change at once exactly one gets a number, the others
look again. So changes have one order, none is lost, and no lock is needed; local files and S3 (by conditional writes) do
it alike. No version is ever removed: a number that was free again could be taken by someone who has not seen what came
after it.

What is there follows from run.json alone: system tags say where a run comes from, and never change.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from flowinfra.diagnostics import ControlError, Diagnostic, error
from flowinfra.wire import RunDocument, Tags, tags_key, tags_prefix, version_from_tags

if TYPE_CHECKING:
    from flowinfra.control.place import Address
    from flowinfra.packaging.store import Store

__all__ = ["LONGEST", "MOST", "change_tags", "is_tag", "started_tags", "system_tags", "user_tags"]

#: How many tags people may give a run, and how many characters each may have; the same as at its start.
MOST: Final = 50
LONGEST: Final = 500

_SYSTEM: Final = re.compile(r"(production|user|release|deployment|target|date|project|project_branch):")
_TRIES: Final = 300
_LONGEST_PAUSE_MS: Final = 100


def system_tags(document: Mapping[str, Any]) -> frozenset[str]:
    """What a run.json says of where the run comes from: release, deployment and its namespace, target, user, day (UTC)."""
    known = {
        "release": str(document[RunDocument.RELEASE])[:12],
        "deployment": document.get(RunDocument.DEPLOYMENT),
        "target": document.get(RunDocument.TARGET),
        "user": document.get(RunDocument.USER),
        "date": time.strftime("%Y-%m-%d", time.gmtime(document[RunDocument.STARTED] / 1000)),
    }
    given = (tag for tag in document[RunDocument.TAGS] if _SYSTEM.match(tag))
    return frozenset([*given, *(f"{name}:{value}" for name, value in known.items() if value)])


def started_tags(document: Mapping[str, Any]) -> frozenset[str]:
    """The tags that people gave a run when they started it."""
    return frozenset(tag for tag in document[RunDocument.TAGS] if not _SYSTEM.match(tag))


def user_tags(run: Address, document: Mapping[str, Any]) -> frozenset[str]:
    """The tags that people have given a run until now; *document* is its run.json."""
    return _newest(run, document)[1]


def change_tags(
    run: Address,
    document: Mapping[str, Any],
    *,
    remove: Iterable[str] = (),
    add: Iterable[str] = (),
) -> frozenset[str]:
    """Remove some tags of a run and add others, in one change; what the tags of people are then.

    What is both removed and added is there afterwards. Removing what is not there, and adding what is, changes nothing.

    Raises:
        ControlError: FI875, a tag that no run can have, or too many of them; FI876, a system tag cannot be removed;
            FI879, others have changed the tags all the time.
        PackagingError: FI403, the store cannot be written.
    """
    gone, new = _listed(remove), _listed(add)
    fixed = system_tags(document)
    problems = [problem for tag in new if (problem := _no_tag(tag)) is not None]
    problems += [_fixed(tag, run.pathspec) for tag in gone if tag in fixed and tag not in new]
    if problems:
        raise ControlError(problems)
    for number in range(_TRIES):
        version, before = _newest(run, document)
        after = (before - frozenset(gone)) | (frozenset(new) - fixed)
        if after == before:
            return before
        if len(after) > max(MOST, len(before)):
            raise ControlError(_too_many(run.pathspec, len(before), len(after)))
        if _create(run.place.store, run, version + 1, after):
            return after
        time.sleep(secrets.randbelow(min(_LONGEST_PAUSE_MS, 2 + number * 4)) / 1000)
    raise ControlError(
        error(
            "FI879",
            f"the tags of {run.pathspec} were not changed: others have changed them {_TRIES} times meanwhile",
            detail="Nothing of this change was written.",
            hint="look for a program that changes tags in a loop, and try again",
        )
    )


def _newest(run: Address, document: Mapping[str, Any]) -> tuple[int, frozenset[str]]:
    """The number of the newest version and what it says; 0 for what the run was started with."""
    store = run.place.store
    key = next(store.list(tags_prefix(*run.parts[:2])), None)
    if key is None:
        return 0, started_tags(document)
    return version_from_tags(key), frozenset(store.get_json(key)[Tags.TAGS])


def _create(store: Store, run: Address, version: int, tags: frozenset[str]) -> bool:
    from flowinfra.packaging.users import user_name

    said = {Tags.TAGS: sorted(tags), Tags.TIME: time.time_ns() // 1_000_000, Tags.USER: user_name()}
    flow, name = run.parts[:2]
    return store.create(tags_key(flow, name, version), json.dumps(said, ensure_ascii=False).encode())


def _listed(tags: Iterable[str]) -> list[str]:
    return [tags] if isinstance(tags, str) else list(dict.fromkeys(tags))


def is_tag(tag: object) -> bool:
    """Whether a run can have such a tag: a text on one line that is neither empty nor too long."""
    return isinstance(tag, str) and 1 <= len(tag) <= LONGEST and tag.isprintable()


def _no_tag(tag: object) -> Diagnostic | None:
    if is_tag(tag):
        return None
    return error(
        "FI875",
        f"{str(tag)[:40]!r} cannot be a tag of a run",
        detail=f"it has {len(tag)} characters" if isinstance(tag, str) and tag.isprintable() else "it is no plain text",
        hint=f"a tag is a text of 1 to {LONGEST} characters on one line",
    )


def _too_many(pathspec: str, before: int, after: int) -> Diagnostic:
    return error(
        "FI875",
        f"{pathspec} would have {after} tags; a run has at most {MOST}",
        detail=f"It has {before} now; nothing was changed.",
        hint="remove some first, or replace them: `flowinfra tag replace RUN OLD NEW`",
    )


def _fixed(tag: str, pathspec: str) -> Diagnostic:
    return error(
        "FI876",
        f"the tag {tag!r} of {pathspec} cannot be removed",
        detail="It is a system tag: it says where the run comes from.",
        hint="the tags that can be changed are its .user_tags",
    )
