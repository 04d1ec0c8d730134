"""``diff``: what changes between two versions of a flow."""

from __future__ import annotations

from pathlib import Path

import click

from flowinfra.cli.console import Console
from flowinfra.cli.exits import Exit
from flowinfra.cli.options import command, stack_options

__all__ = ["diff"]


@click.command("diff")
@click.argument("one", metavar="A")
@click.argument("other", metavar="[B]", required=False)
@stack_options
@click.option("--markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
@click.option("--graph", "form", type=click.Choice(["text", "mermaid"]), help="Draw both graphs as one instead.")
@click.option("--expect-no-changes", "--exit-code", is_flag=True, help="Exit with 7 if there is a difference.")
@command
def diff(
    console: Console,
    cwd: Path,
    one: str,
    other: str | None,
    stack: str | None,
    markdown: bool,
    form: str | None,
    expect_no_changes: bool,
) -> Exit:
    """Show what changes from A to B, in layers, most severe first.

    Each is a flow file (FILE[:NAME]), a release (its digest, or how that begins), a deployment of the stack
    (FLOW/NAME), or a JSON file with a release or a graph. With one flow file, what is deployed of that flow is compared
    with it.
    """
    from flowinfra.cli.views.diff import diff_text
    from flowinfra.control.comparing import compared, deployed_of, find_version
    from flowinfra.packaging.home import Home

    if other is None:
        after = find_version(one, cwd=cwd, stack=stack)
        before = deployed_of(after, cwd=cwd, stack=stack)
    else:
        before = find_version(one, cwd=cwd, stack=stack)
        after = find_version(other, cwd=cwd, stack=stack)
    found = compared(before, after, home=Home.find(cwd), folder=cwd)
    both = before.graph, after.graph
    if console.as_json:
        console.document({"changes": [], **found.to_json()})
    elif form is not None:
        from flowinfra.compiler.drawdiff import draw_diff

        console.data(draw_diff(*both, form))
    elif markdown:
        from flowinfra.cli.views.plan_markdown import code_span, diff_markdown

        console.data(diff_markdown(found, f"{code_span(before.label)} to {code_span(after.label)}", both))
    else:
        console.data(diff_text(found, (before.label, after.label), both, console))
    return Exit.CHANGES if expect_no_changes and found.changes else Exit.OK
