"""``tag``: the tags of a run, which people may change after it was started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.groups import NearestGroup
from flowinfra.cli.options import command

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.control.client import Run

__all__ = ["make_tag", "tag"]

_TAGS = click.argument("tags", metavar="TAG...", nargs=-1, required=True)
_RUN = click.argument("run")


def make_tag(flow: type[FlowSpec] | None = None) -> click.Group:
    """The command ``tag``."""

    @click.group("tag", cls=NearestGroup)
    def tag() -> None:
        """Show and change the tags of a run. RUN is a run's id, Flow/run, or a flow's name for its latest run.

        Changes of several people at once are all kept. System tags, such as user:NAME, cannot be changed.
        """

    @tag.command("add")
    @_RUN
    @_TAGS
    @command
    def add(console: Console, run: str, tags: tuple[str, ...]) -> Exit:
        """Give RUN tags."""
        return _change(console, flow, run, (), tags)

    @tag.command("remove")
    @_RUN
    @_TAGS
    @command
    def remove(console: Console, run: str, tags: tuple[str, ...]) -> Exit:
        """Take tags of RUN away."""
        return _change(console, flow, run, tags, ())

    @tag.command("replace")
    @_RUN
    @click.argument("old")
    @click.argument("new")
    @command
    def replace(console: Console, run: str, old: str, new: str) -> Exit:
        """Take the tag OLD of RUN away and give it NEW, as one change."""
        return _change(console, flow, run, (old,), (new,))

    @tag.command("list")
    @click.argument("run", required=False)
    @command
    def listed(console: Console, run: str | None) -> Exit:
        """List the tags of RUN, by default of the newest run: those of people first, then the system's."""
        return _say(console, _found(flow, run))

    return tag


def _found(flow: type[FlowSpec] | None, run: str | None) -> Run:
    from flowinfra.control import missing
    from flowinfra.control.find import find_run, whole_pathspec
    from flowinfra.control.place import Place

    place, name = Place.open(), flow.__name__ if flow else None
    if run is not None and whole_pathspec(run, flow=name, place=place).count("/") > 1:
        raise missing.NoSuchKey(missing.bad_pathspec(run, "Flow/run"))
    return find_run(run, flow=name, place=place)


def _change(
    console: Console, flow: type[FlowSpec] | None, run: str, remove: tuple[str, ...], add: tuple[str, ...]
) -> Exit:
    found = _found(flow, run)
    before = found.user_tags
    found.replace_tags(remove, add)
    if not console.as_json and found.user_tags == before:
        console.note("nothing to change")
    return _say(console, found)


def _say(console: Console, run: Run) -> Exit:
    people, system = sorted(run.user_tags), sorted(run.system_tags)
    if console.as_json:
        told: dict[str, Any] = {"pathspec": run.pathspec, "user_tags": people, "system_tags": system}
        console.document(told)
        return Exit.OK
    console.note(f"{run.pathspec}:")
    console.data("".join(f"{text}\n" for text in [*people, *(console.style(text, "dim") for text in system)]))
    return Exit.OK


tag = make_tag()
