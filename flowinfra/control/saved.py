"""Saved plans: a preview that is kept in a file, and applied only while everything that it was made from is still so.

A saved plan is never executed. Applying it previews anew, under the lock of the state, and refuses to go on unless that
preview is the saved one; so whatever somebody writes into the file, nothing else than what the program wants now and the
file says is ever applied. Its digest is there to tell damage and edits early and by name; see docs/decisions/0018.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from flowinfra._version import __version__
from flowinfra.canonical import canonical_json, json_digest, sha256_hex
from flowinfra.control.files import write_file
from flowinfra.diagnostics import Diagnostic, EngineError, PackagingError, Source, error
from flowinfra.model.base import SCHEMA_VERSION
from flowinfra.model.plan import Action, Basis, Change, Plan
from flowinfra.sources.digest import module_digest
from flowinfra.sources.walk import walk

if TYPE_CHECKING:
    from flowinfra.control.stacks import OpenStack

__all__ = ["basis_of", "load_plan", "require_same", "save_plan"]

_KIND: Final = "flowinfra-plan"

#: The word of the engine whose plans nobody can apply.
_OFFLINE: Final = "recorder"

#: The fields of a change that say what happens; the others explain it, or are filled in by views.
_ESSENCE: Final = ("address", "type", "action", "custom", "parent", "changed", "replaced_by", "before", "after")


def save_plan(path: Path, plan: Plan) -> None:
    """Write *plan* to *path*, whole or not at all, readable by its owner only.

    Raises:
        EngineError: FI696, the plan is not one that can be applied; FI698, the file cannot be written.
    """
    if plan.engine == _OFFLINE or not _is_whole(plan):
        raise EngineError(_unusable(plan))
    document = plan.to_json()
    content = {"kind": _KIND, "flowinfra": __version__, "digest": json_digest(document), "plan": document}
    write_file(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n", private=True)


def load_plan(path: Path) -> Plan:
    """The plan that :func:`save_plan` wrote.

    Raises:
        EngineError: FI690, it is no saved plan, or was changed since; FI697, a newer flowinfra wrote it; FI696, it is
            not one that can be applied.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as why:
        raise _no_plan(path, f"it cannot be read: {why.strerror or why}") from why
    except ValueError as why:  # no JSON, or no text at all
        raise _no_plan(path, "it holds no JSON document") from why
    document = content.get("plan") if isinstance(content, dict) else None
    if not isinstance(document, dict) or content.get("kind") != _KIND:
        raise _no_plan(path, "it holds another kind of document")
    version = document.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise EngineError(
            error(
                "FI697",
                "the saved plan was written by a newer flowinfra",
                detail=f"its schema version is {version}, written by flowinfra {content.get('flowinfra')}; this one is "
                f"{__version__} and reads {SCHEMA_VERSION}",
                hint="apply it with the flowinfra that made it, or make it anew with this one",
                source=Source(str(path)),
            )
        )
    try:
        if content.get("digest") != json_digest(document):
            raise _no_plan(path, "its content was changed after it was written: it does not fit its digest")
        plan = Plan.from_json(document)
    except (ValidationError, ValueError) as why:
        raise _no_plan(path, str(why).splitlines()[0]) from why
    if not _is_whole(plan):
        raise EngineError(_unusable(plan))
    return plan


def basis_of(opened: OpenStack) -> Basis:
    """What a plan of *opened* is made from, apart from the state: the stack's settings and the program's own code.

    Secret settings count by their ciphertext; of code the syntax trees, so that comments and formatting do not count.
    """
    config = opened.project.config(opened.stack)
    return Basis(
        settings={key: _digest(value) for key, value in sorted(config.all_values.items())},
        code=_code(Path(opened.project.main), opened.project.folder.resolve()),
    )


def require_same(saved: Plan, now: Plan) -> None:
    """Refuse to apply unless *now*, the plan that is about to be applied, is *saved*.

    Raises:
        EngineError: what moved, all of it at once: FI691, it is a plan for something else; FI692, the state; FI693, the
            settings; FI694, the code; FI695, none of these, and yet other changes; FI696, *now* is incomplete.
    """
    if other := _other(saved, now):
        raise EngineError(other)
    if now.errored or now.complete != saved.complete:
        raise EngineError(_unusable(now))
    found = list(_moved(saved.basis or Basis(), now.basis or Basis()))
    if not found:
        found = list(_different(saved, now))
    if found:
        raise EngineError(found)


# -- what a plan is made from -----------------------------------------------------------------------------------------


def _digest(value: Any) -> str:
    # YAML has dates, which are no JSON
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def _code(program: Path, project: Path) -> dict[str, str]:
    """Digests of the files of *program* (a file, or a folder with ``__main__.py``), by path relative to *project*."""
    entry = program / "__main__.py" if program.is_dir() else program
    if not entry.is_file():
        return {}
    folder = entry.resolve().parent  # the program's own modules are imported from there
    try:
        found = {folder / m.path: module_digest(m) for m in walk(entry, folder).modules}
    except PackagingError:
        # What cannot be followed may still run (a module that is made at run time); then every file counts as it is.
        files = (f for f in sorted(folder.rglob("*.py")) if f.is_file() and "site-packages" not in f.parts)
        found = {file: sha256_hex(file.read_bytes()) for file in files}
    return {Path(os.path.relpath(file, project)).as_posix(): digest for file, digest in sorted(found.items())}


# -- comparing --------------------------------------------------------------------------------------------------------


def _other(saved: Plan, now: Plan) -> list[Diagnostic]:
    pairs = {
        "project": (saved.project, now.project),
        "stack": (saved.stack, now.stack),
        "engine": (saved.engine, now.engine),
        "operation": (saved.operation.value, now.operation.value),
        "targets": (", ".join(sorted(saved.targets)) or "all", ", ".join(sorted(now.targets)) or "all"),
    }
    return [
        error(
            "FI691",
            f"the saved plan is for another {what}: {was}, not {is_}",
            detail=f"it was made for {saved.project}/{saved.stack} with the {saved.engine} engine",
            hint=f"apply it to what it was made for, or make another: flowinfra preview --stack {now.stack} --save-plan FILE",
        )
        for what, (was, is_) in pairs.items()
        if was != is_
    ]


_ANEW: Final = "look at it again: flowinfra preview --save-plan FILE"


def _moved(saved: Basis, now: Basis) -> Iterator[Diagnostic]:
    if saved.state != now.state:
        yield error(
            "FI692",
            "the state has moved since the plan was saved",
            detail="somebody has deployed, refreshed or imported in between"
            if saved.state and now.state
            else "the stack was empty then"
            if now.state
            else "the stack's state is gone",
            hint=_ANEW,
        )
    if names := list(_names(saved.settings, now.settings)):
        yield error("FI693", f"settings have moved since the plan was saved: {_listed(names)}", hint=_ANEW)
    if names := list(_names(saved.code, now.code)):
        yield error("FI694", f"code has moved since the plan was saved: {_listed(names)}", hint=_ANEW)


def _names(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"{name} (new)"
        elif name not in after:
            yield f"{name} (gone)"
        elif before[name] != after[name]:
            yield name


def _different(saved: Plan, now: Plan) -> Iterator[Diagnostic]:
    """What *now* would do otherwise, although state, settings and code are those of *saved*."""
    before, after = _by_address(saved), _by_address(now)
    for key in [*before, *(k for k in after if k not in before)]:
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            what = f"the saved plan says {one.action.value}" if one else "the saved plan does not have it"
            yield _otherwise(key[0], f"{what}, and now it is {other.action.value if other else 'not in it'}")
        elif one.action is not other.action:
            yield _otherwise(key[0], f"the saved plan says {one.action.value}, and now it is {other.action.value}")
        elif differing := _differing(_settled(one, other), _settled(other, other)):
            yield _otherwise(key[0], f"what changes of it is another: {_listed(differing)}")


def _by_address(plan: Plan) -> dict[tuple[str, int], Change]:
    """The changes by address; a resource may also have leftovers of an earlier replacement, which come after it."""
    out: dict[tuple[str, int], Change] = {}
    for change in plan.changes:
        number = 0
        while (change.address, number) in out:
            number += 1
        out[change.address, number] = change
    return out


def _settled(change: Change, now: Change) -> dict[str, Any]:
    """What happens, without what the provider makes up anew each time (by *now*, which no file says)."""
    document = change.to_json()
    if now.action in (Action.CREATE, Action.REPLACE) and change.after is not None:
        document["after"] = {k: v for k, v in document["after"].items() if k not in now.filled}
    return document


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The fields that say what happens and are not the same; as bytes, since a plan out of a file has no tuples."""
    out: list[str] = []
    for name in _ESSENCE:
        was, is_ = before.get(name), after.get(name)
        if canonical_json(was) == canonical_json(is_):
            continue
        if isinstance(was, dict) and isinstance(is_, dict):
            out += [
                f"{name}.{k}" for k in sorted({*was, *is_}) if canonical_json(was.get(k)) != canonical_json(is_.get(k))
            ]
        else:
            out.append(name)
    return out


def _otherwise(address: str, detail: str) -> Diagnostic:
    return error(
        "FI695",
        f"the plan for {address.rsplit('::', 1)[-1]} is not the saved one",
        detail=f"{address}: {detail}. State, settings and code are the same, so it is something outside of them: an "
        "environment variable, a file that the program reads, a package, or the file of the plan itself",
        hint=_ANEW,
    )


def _listed(names: list[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _is_whole(plan: Plan) -> bool:
    """Whether everything was looked at that it was asked for."""
    return not plan.errored and (plan.complete or bool(plan.targets))


def _unusable(plan: Plan) -> Diagnostic:
    if plan.engine == _OFFLINE:
        return error(
            "FI696",
            "a plan that was made offline cannot be applied",
            detail="no provider was asked, so it may be another one where everything is known"
            + (f"; not known were {_listed(list(plan.unknown))}" if plan.unknown else ""),
            hint="save one without --offline and --base",
        )
    return error(
        "FI696",
        "the plan has an error" if plan.errored else "the plan is incomplete",
        detail="; ".join(f.summary for f in plan.findings if f.severity == "error")
        or f"the {plan.engine} engine could not look at everything"
        + (f": {_listed(list(plan.unknown))}" if plan.unknown else ""),
        hint="make one that is whole; then save that",
    )


def _no_plan(path: Path, why: str) -> EngineError:
    return EngineError(
        error(
            "FI690",
            f"{path.name} is not a saved plan",
            detail=why,
            hint="make one with `flowinfra preview --save-plan FILE`, and leave it as it is",
            source=Source(str(path)),
        )
    )
