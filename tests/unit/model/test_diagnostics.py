"""What is said to users: how a finding is written, and what is suggested."""

from __future__ import annotations

from flowinfra.diagnostics import FlowinfraError, Source, error, nearest


def test_every_line_of_a_finding_stands_below_its_summary() -> None:
    """A detail of several lines, such as a trace, is indented as a whole, so that several findings stay apart."""
    first = error(
        "FI102", "it raises", detail="Traceback:\n  File x\n\nValueError", hint="mend it", source=Source("f.py", 3)
    )
    assert str(FlowinfraError([first, error("FI103", "there is no flow")])).split("\n") == [
        "error FI103: there is no flow",
        "f.py:3: error FI102: it raises",
        "  Traceback:",
        "    File x",
        "",
        "  ValueError",
        "  hint: mend it",
    ]


def test_a_word_is_never_suggested_for_itself() -> None:
    """What is known and still is not what was meant is no misspelling."""
    assert nearest("Never", ["Never", "Hello"]) == ""
    assert nearest("Never", ["Never", "Nevers"]) == " (did you mean 'Nevers'?)"
