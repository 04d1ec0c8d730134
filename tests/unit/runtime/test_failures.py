from __future__ import annotations

import pickle

import pytest

from flowinfra.canonical import framed_digest
from flowinfra.diagnostics import RunError, error
from flowinfra.runtime.failures import TaskFailure, error_document, user_trace
from flowinfra.runtime.scheduler import Scheduler


def raised_by_ours() -> BaseException:
    """An error that our own code raises, called by the author's."""
    try:
        framed_digest(3)  # type: ignore[arg-type]
    except TypeError as why:
        return why
    raise AssertionError


def test_our_frames_are_left_out() -> None:
    """A trace ends with the author's own line."""
    text = user_trace(raised_by_ours())
    assert "test_failures.py" in text
    assert "canonical.py" not in text
    assert text.endswith("TypeError: object supporting the buffer API required") or "TypeError" in text


def test_causes_and_groups_are_kept() -> None:
    """Each with its own trace, also without our frames."""
    try:
        try:
            Scheduler({}, {})
        except KeyError as cause:
            raise ExceptionGroup("several", [raised_by_ours(), cause]) from cause  # type: ignore[list-item]
    except ExceptionGroup as why:
        text = user_trace(why)
    assert "direct cause" in text
    assert "ExceptionGroup: several (2 sub-exceptions)" in text
    assert "KeyError" in text
    assert "scheduler.py" not in text


def test_a_diagnostic_speaks_for_itself() -> None:
    """Where nothing of the author's is in the trace of one, there is no trace."""
    assert "File" not in user_trace(RunError(error("FI701", "nothing came next")))


def test_deep_recursion_is_shown_short() -> None:
    """A thousand equal frames are told as such."""

    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as found:
        deeper()
    text = user_trace(found.value)
    assert "Previous line repeated" in text
    assert len(text) < 5000


def test_a_failure_is_what_error_json_says() -> None:
    """What catch hands on can be pickled, compared and printed."""
    document = error_document(ValueError("on purpose"), "train", "0.1", 17)
    failure = TaskFailure.from_document(document)
    assert (failure.type, failure.message, failure.step, failure.task) == ("ValueError", "on purpose", "train", "0.1")
    assert str(failure) == "ValueError: on purpose"
    assert pickle.loads(pickle.dumps(failure)) == failure
    assert "code" not in document
    assert error_document(RunError(error("FI701", "x")), "s", "0", 0)["code"] == "FI701"


def test_an_attempt_without_an_error_json_is_a_failure_too() -> None:
    """Nothing is known about it, and nothing is made up."""
    assert TaskFailure.from_document({}) == TaskFailure("", "", "", "", "")
