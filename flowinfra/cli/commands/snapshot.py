"""``snapshot``: what is deployed, as far as others may see it, into a file."""

from __future__ import annotations

from pathlib import Path

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

__all__ = ["snapshot"]


@click.command()
@stack_options
@click.option("--out", "-o", help="The file; by default snapshot.<stack>.json, and - prints only.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Key of the digests of what is withheld.")
@click.option("--allow", multiple=True, metavar="TYPE:PATH", help="Show this input of resources of this type too.")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="Read this checkpoint or `pulumi stack export` instead."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command
def snapshot(
    console: Console,
    cwd: Path,
    stack: str | None,
    out: str | None,
    key_file: Path | None,
    allow: tuple[str, ...],
    source: Path | None,
    yes: bool,
) -> Exit:
    """Write what is deployed into a file, for `preview --offline --base` where there is no access to anything.

    Shown are names and the flows; secrets, values of environment variables and inputs of other packages are not. With a
    key (--key-file, or FLOWINFRA_SNAPSHOT_KEY) there is a keyed digest in their place. All of it is printed before
    it is written.
    """
    from flowinfra.control.files import write_file
    from flowinfra.control.snapshotkey import snapshot_key
    from flowinfra.control.snapshots import snapshot_bytes, snapshot_of_stack, withheld_names

    allowed = [_allowed(text) for text in allow]
    made = snapshot_of_stack(cwd, stack, source=source, key=snapshot_key(key_file), allow=allowed)
    data = snapshot_bytes(made)
    if console.as_json:
        console.document(made.to_json())
    else:
        console.data(data.decode())
    if out == "-":
        return Exit.OK
    file = cwd / (out or f"snapshot.{made.stack}.json")
    withheld = sum(map(len, withheld_names(made).values()))
    console.note(f"{len(made.resources)} resources; {withheld} inputs are withheld" + _how(key=bool(made.key_check)))
    if not yes and not console.confirm(f"Write this to {file}?"):
        console.note("nothing was written; --yes answers without asking")
        return Exit.CANCELLED
    write_file(file, data)
    console.note(f"wrote {file}; next: flowinfra preview --offline --base {file.name} --stack {made.stack}")
    return Exit.OK


def _allowed(text: str) -> tuple[str, str]:
    type_, colon, path = text.rpartition(":")
    if not colon or type_.count(":") != 2 or not path:
        raise click.BadParameter(f"{text!r} is not TYPE:PATH, such as aws:s3/bucket:Bucket:tags", param_hint="--allow")
    return type_, path


def _how(*, key: bool) -> str:
    return ", with keyed digests" if key else ", without digests: there is no key"
