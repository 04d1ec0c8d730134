"""What is said of operations that an earlier process has begun and not ended: each kind once, with all its names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from flowinfra.diagnostics import Diagnostic, Severity, warning
from flowinfra.engine.ledger import Fate
from flowinfra.engine.state.resources import Pending
from flowinfra.engine.urns import urn_name

__all__ = ["told"]

_ENDS: Final[dict[Fate, tuple[str, str]]] = {
    "adopted": ("its provider has found it, and it is taken over", "they were found, and are taken over"),
    "absent": ("it was not created", "they were not created"),
    "left over": (
        "its provider has found it, and it is deleted, because nothing asks for it",
        "they were found, and are deleted, because nothing asks for them",
    ),
    "read": ("what is there was read, and counts", "what is there was read, and counts"),
}
_SHOWN: Final = 3
_ASK_PROVIDER: Final = "its provider cannot look for it"


def told(pending: Iterable[tuple[Pending, Fate | None]], *, why: str = _ASK_PROVIDER) -> list[tuple[Diagnostic, str]]:
    """One finding for each kind and end of the operations that did not end, with the URN where it is only one.

    Args:
        pending: the operations with what became of them, None where nobody knows; of what was ``gone`` nothing is said.
        why: why nobody knows it of a creation.
    """
    groups: dict[tuple[str, Fate | None], list[str]] = {}
    for record, fate in pending:
        if fate != "gone":
            urns = groups.setdefault((record.type, fate), [])
            if record.resource.urn not in urns:
                urns.append(record.resource.urn)
    return [
        (_unknown(doing, urns, why) if fate is None else _known(doing, urns, fate), urns[0] if len(urns) == 1 else "")
        for (doing, fate), urns in groups.items()
    ]


def _unknown(doing: str, urns: Sequence[str], why: str) -> Diagnostic:
    creating = doing == "creating"
    return warning(
        "FI630",
        f"an earlier operation was interrupted while {doing} {_names(urns)}",
        detail="whether that happened is not known. "
        + (
            "Of what was created, there is one more now than the state knows"
            if creating
            else "It is compared and brought up to date as usual"
        )
        + "".join(f"\n{urn}" for urn in urns),
        hint=f"{why}: see whether one exists that nothing refers to and remove it; then forget the record with "
        "`flowinfra refresh --clear-pending-creates`"
        if creating
        else "run `flowinfra refresh` to read what is there",
    )


def _known(doing: str, urns: Sequence[str], fate: Fate) -> Diagnostic:
    end = _ENDS[fate][len(urns) > 1]
    summary = f"an earlier operation was interrupted while {doing} {_names(urns)}: {end}"
    return Diagnostic("FI624", Severity.NOTE, summary, detail="\n".join(urns))


def _names(urns: Sequence[str]) -> str:
    """The names of *urns*, the first few of many."""
    names = ", ".join(f"'{urn_name(urn)}'" for urn in urns[:_SHOWN])
    return names if len(urns) <= _SHOWN else f"{len(urns)} resources: {names}, ..."
