"""``dump``: the artifacts of a run, step or task, as text or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command
from flowinfra.control.dumping import MAX_VALUE_SIZE

if TYPE_CHECKING:
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.control.dumping import DumpedTask

__all__ = ["dump", "make_dump"]


def make_dump(flow: type[FlowSpec] | None = None) -> click.Command:
    """The command ``dump``."""

    @click.command("dump")
    @click.argument("pathspec", metavar="RUN")
    @click.option("--include", "names", multiple=True, metavar="NAME", help="Only this artifact; may be repeated.")
    @click.option(
        "--max-value-size",
        "limit",
        type=click.IntRange(min=0),
        metavar="BYTES",
        help=f"Show a larger value only in its short form; 0: show all.  [default: {MAX_VALUE_SIZE}, with --file 0]",
    )
    @click.option("--file", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON into this file.")
    @click.option(
        "--decode", is_flag=True, help="Also decode what only Python can read; that runs code of whoever wrote it."
    )
    @command
    def dump(
        console: Console, pathspec: str, names: tuple[str, ...], limit: int | None, file: Path | None, decode: bool
    ) -> Exit:
        """Print artifacts: of a run those of its last task, of a step those of all its tasks.

        RUN is a run's id, Flow/run, or the pathspec of a step, a task or an artifact of it. What is stored as JSON is shown
        as such; of anything else the short text that its task has saved.
        """
        from flowinfra.cli.views.dump import dumped_text
        from flowinfra.control.dumping import dump as dumped
        from flowinfra.control.dumping import may_decode
        from flowinfra.control.find import find_node, find_run
        from flowinfra.control.place import Place

        place, name = Place.open(), flow.__name__ if flow else None
        found = find_node(pathspec, flow=name, place=place)
        if decode:
            may_decode(place, find_run(found.pathspec, flow=name, place=place))
        if limit is None and file is None:
            limit = MAX_VALUE_SIZE
        tasks = dumped(found, names=names, limit=limit or None, decode=decode)
        if file is not None:
            _write(console, file, list(tasks))
        elif console.as_json:
            console.document([task.to_json() for task in tasks])
        else:
            for task in tasks:
                console.data(dumped_text(task, console))
        return Exit.OK

    return dump


def _write(console: Console, file: Path, tasks: list[DumpedTask]) -> None:
    from flowinfra.control.files import write_file

    data = json.dumps([task.to_json() for task in tasks], indent=2, ensure_ascii=False).encode(
        errors="backslashreplace"
    )
    write_file(file, data + b"\n", private=True)  # artifacts are their owner's
    artifacts = sum(len(task.artifacts or ()) for task in tasks)
    if console.as_json:
        console.document({"file": str(file), "tasks": len(tasks), "artifacts": artifacts})
    else:
        console.note(f"wrote {artifacts} artifact{'s' * (artifacts != 1)} of {len(tasks)} "
                     f"task{'s' * (len(tasks) != 1)} into {file}")  # fmt: skip


dump = make_dump()
