"""Plans as markdown: nothing that a plan holds gets out of where it is shown, and a comment is never too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from flowinfra.cli.views.plan_markdown import LIMIT, code_span, diff_markdown, fenced, plan_markdown
from flowinfra.model.plan import Action, AppliedDefault, Change, FieldDrift, Finding, Plan
from support.plans import HOSTILE, child, component, flow, inputs, plan, resource, samples

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False, "html": True})

#: Pieces that mean something to markdown, HTML, GitHub or a terminal.
PIECES = st.sampled_from(
    [
        *"`~|<>[]()!*_#@:\\&\n\r\t -+=.1a",
        *(
            "```",
            "````",
            "</details>",
            "<!--",
            "-->",
            "<b>",
            "https://x.example",
            "www.x.y",
            "@team",
            "#12",
            "\x1b[31m",
        ),
        *("\u202e", "\u2028", "&lt;", "    ", "> ", "- ", "@@", "```mermaid", "</code>"),
    ]
)
hostile = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20)


def tokens(text: str) -> Iterator[Token]:
    """All tokens of a text, those inside of others included."""
    for token in MARKDOWN.parse(text):
        yield token
        yield from token.children or ()


def words(text: str) -> list[str]:
    """What stands in a text outside of code, and what kinds of markup it has."""
    out: list[str] = []
    for token in tokens(text):
        if token.type in ("text", "html_block", "html_inline", "heading_open"):
            out.append(f"{token.type} {token.content}")
        elif token.type in ("link_open", "image", "table_open", "hr"):
            out.append(token.type)
    return out


@given(hostile)
@settings(max_examples=300)
def test_a_code_span_is_one_code_span(text: str) -> None:
    """Whatever the text, its span is a single one, in a list item as in a sentence."""
    for around in ("{}", "- {} and more", "> - a {}: b"):
        found = [t for t in tokens(around.format(code_span(text))) if t.type.startswith("code")]
        assert [t.type for t in found] == ["code_inline"], (text, around)


@given(st.lists(hostile, max_size=5))
@settings(max_examples=200)
def test_a_fenced_block_is_one_block(lines: list[str]) -> None:
    """No line of a block ends it."""
    found = MARKDOWN.parse(fenced(lines, "diff") + "\n\nafter\n")
    assert [t.type for t in found] == ["fence", "paragraph_open", "inline", "paragraph_close"]


def plan_of(text: str) -> Plan:
    """A plan that holds *text* wherever a plan holds text."""
    values: dict[str, Any] = {text: text, "a": [text]}
    drifted = FieldDrift(path=text, recorded=text, actual=values, owner="operator")
    base: dict[str, Any] = {"address": text, "name": text, "before": values, "reason": text, "source": text}
    lost = Change(
        **base, type=text, action=Action.REPLACE, after={}, changed=(text,), replaced_by=(text,), holds_data=text
    )
    before, after = inputs(flow(), "1"), inputs(flow(), "2", tags=[text], description=text, parameters={text: text})
    finding = Finding(code=text, severity="error", summary=text, detail=f"{text}\n{text}", hint=text, source=text)
    return Plan(
        project=text,
        stack=text,
        engine="recorder",
        changes=(lost, component(before, after), child("Token", Action.CREATE, of=text)),
        drift=(Change(**base, type="t", action=Action.UPDATE, drifted=(drifted,)),),
        findings=(finding,),
        unknown=(f"{text}: {text}",),
        targets=(text,),
        defaults=(AppliedDefault(mode="development", setting=text, effect=text),),
        complete=False,
    )


@given(hostile.filter(bool))
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_a_plan_holds_gets_out(text: str) -> None:
    """The same plan with a harmless text has the same words and the same markup outside of code."""
    assert words(plan_markdown(plan_of(text))) == words(plan_markdown(plan_of("harmless")))


@pytest.mark.parametrize("kind", samples())
def test_a_plan_is_well_formed(kind: str) -> None:
    """Every kind of plan opens and closes as many blocks, and shows no control character."""
    text = plan_markdown(samples()[kind])
    assert text.count("<details>") == sum(line == "</details>" for line in text.splitlines())
    assert text.replace("\n", "").isprintable()


def test_data_loss_comes_before_everything_else() -> None:
    """What would be lost stands above deployments and resources."""
    text = plan_markdown(samples()["data-lost"])
    assert text.index("Data would be lost") < text.index("Churn/nightly") < text.index("stateMachine")


def test_a_comment_is_never_longer_than_github_allows() -> None:
    """A plan of thousands of resources and deployments loses whole entries, and says how many."""
    changes = [resource("aws:s3/bucket:Bucket", f"b{i}" + "é😀" * 30, Action.DELETE) for i in range(3000)]
    changes += [component(None, inputs(flow(), "1", name=f"d{i}"), f"c{i}") for i in range(500)]
    text = plan_markdown(plan(*changes))
    assert len(text.encode("utf-16-le")) // 2 <= LIMIT
    assert "_Left out, because a comment has no room for more: " in text
    assert text.count("<details>") == sum(line == "</details>" for line in text.splitlines())
    shown = sum(line.startswith("- `- ") for line in text.splitlines())
    assert f"{3000 - shown} resources" in text


def test_a_single_huge_value_is_cut() -> None:
    """A value of a megabyte is told with its length, and everything else is there."""
    huge = resource("a:b:C", "x", Action.UPDATE, changed=("v",), before={"v": "1" * 10**6}, after={"v": "2" * 10**6})
    text = plan_markdown(plan(huge))
    assert "(1,000,000 characters)" in text
    assert len(text) < 1000


def test_a_diff_as_markdown_is_as_safe() -> None:
    """Labels come from the command line, values from files."""
    found = samples()["hostile"].changes[1].flow
    assert found is not None
    assert "<b>" not in "".join(words(diff_markdown(found, code_span(HOSTILE), (flow(), flow()))))
