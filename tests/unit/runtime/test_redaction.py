from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.runtime.artifacts import short_text
from flowinfra.runtime.redaction import MARK, Redactor

SECRETS = st.lists(st.text(st.sampled_from("ab\n"), min_size=1, max_size=5), min_size=1, max_size=3)
PIECES = st.lists(st.binary(max_size=6) | st.sampled_from([b"a", b"b", b"ab", b"\n", b"aab"]), max_size=20)


def fed(redactor: Redactor, pieces: list[bytes]) -> bytes:
    """What a stream gives out when it comes in these pieces."""
    stream = redactor.stream()
    return b"".join([*map(stream.feed, pieces), stream.end()])


@pytest.mark.parametrize("pieces", [[b"b", b"a", b"ab", b""], [b"baab", b"a", b"x"], [b"baab", b"a", b"a", b"b"]])
def test_a_secret_that_begins_as_it_ends_is_gone_to_its_last_byte(pieces: list[bytes]) -> None:
    """Its last byte may be the first of the next one, and is held back for that; it is not given out when it is none."""
    redactor = Redactor(["baab"])
    out = fed(redactor, pieces)
    assert out == fed(redactor, [b"".join(pieces)])
    assert b"b" not in out


@given(SECRETS, PIECES)
def test_no_secret_is_left_however_it_arrives(values: list[str], pieces: list[bytes]) -> None:
    """Every byte that belongs to an occurrence is gone, all others are there in order; pieces make no difference."""
    whole = b"".join(pieces)
    covered = bytearray(len(whole))
    for value in values:
        at = whole.find(value.encode())
        while at >= 0:
            covered[at : at + len(value)] = b"\1" * len(value)
            at = whole.find(value.encode(), at + 1)
    redactor = Redactor(values)
    out = fed(redactor, pieces)
    assert out == fed(redactor, [whole])
    assert out.replace(MARK.encode(), b"") == bytes(
        byte for byte, hidden in zip(whole, covered, strict=True) if not hidden
    ).replace(MARK.encode(), b"")


def test_a_long_secret_is_not_cut_by_a_short_one() -> None:
    """Of two that begin alike, and of two that overlap, nothing is left at either end."""
    assert fed(Redactor(["abc", "abcdef"]), [b"xabc", b"defy"]) == b"x***y"
    assert fed(Redactor(["aba", "bacd"]), [b"xab", b"ac", b"dy"]) == b"x***y"
    assert fed(Redactor(["aaaa"]), [b"a"] * 1000) == b"***"


def test_what_is_no_secret_goes_on_at_once() -> None:
    """Only what may be the beginning of a secret is held back."""
    stream = Redactor(["hunter2"]).stream()
    assert stream.feed(b"progress 50%\r") == b"progress 50%\r"
    assert stream.feed(b"why hun") == b"why "
    assert stream.feed(b"gry?") == b"hungry?"


PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"


@pytest.mark.parametrize(
    "printed",
    [
        PEM,
        repr(PEM),
        repr({"key": PEM}),
        repr(PEM.encode()),
        json.dumps({"key": PEM}),
        f"https://host/?key={quote_plus(PEM)}",
        base64.b64encode(PEM.encode()).decode(),
        "\n".join(f"[task] {line}" for line in PEM.splitlines()),
        PEM.replace("\n", "\r\n"),
    ],
    ids=["plain", "repr", "dict", "bytes", "json", "url", "base64", "prefixed lines", "windows"],
)
def test_the_forms_that_programs_print(printed: str) -> None:
    """As it is, in Python's and JSON's quotes, in a URL, in base64, line by line."""
    found = Redactor([PEM]).text(printed)
    assert "MIIEv" not in found
    assert "kqhki" not in found
    assert MARK in found


def test_parts_of_a_secret_document_are_secrets() -> None:
    """Managed secrets are often JSON; the password in it is printed alone."""
    redactor = Redactor([json.dumps({"user": "bob", "password": "s3cr3t-pässword"})])
    assert redactor.text("bob:s3cr3t-pässword@host") == "bob:***@host"


def test_without_secrets_texts_are_themselves() -> None:
    """Whatever is in them."""
    assert Redactor().text("a\udc80\ud800") == "a\udc80\ud800"
    assert Redactor(["zzz"]).text("a\udc80\ud800") == "a\udc80\ud800"
    assert Redactor(["a\udc80b"]).text("xa\udc80by") == "x***y"


def test_the_text_of_an_artifact_is_redacted_before_it_is_cut() -> None:
    """Where a text is shortened, no beginning or end of a secret is left."""
    secret = "s" * 150 + "t" * 150
    redact = Redactor([secret]).text
    for value in (secret, f"{secret}{'x' * 5000}", [f"pw={secret}"], {"a": {"b": secret}}, secret.encode()):
        text = short_text(value, redact)
        assert "sss" not in text
        assert "ttt" not in text
        assert MARK in text

    class Shown:
        def __repr__(self) -> str:
            return f"<login {secret}>"

    assert short_text(Shown(), redact) == "<login ***>"
    assert short_text([Shown()], redact) == "[<login ***>]"
    assert short_text([1, "a", {"b": (2.5, None)}], redact) == short_text([1, "a", {"b": (2.5, None)}])


PROGRAM = """
import os, subprocess, sys, threading, atexit, time
from flowinfra.runtime.redaction import Redaction
redaction = Redaction(until_exit={until_exit})
SECRET = "hunter2-and\\nmore"
with redaction.afterwards():
    with redaction.during():
        redaction.hide([SECRET])
        {body}
"""


def printed(body: str, tmp_path: Path, *, until_exit: bool = False) -> tuple[str, str, int]:
    """What a program prints in whose middle *body* stands."""
    indented = body.replace("\n", "\n        ")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{body}", indented).replace("{until_exit}", str(until_exit))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        cwd=tmp_path,
    )
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("until_exit", [False, True])
def test_all_that_a_process_prints_is_redacted(until_exit: bool, tmp_path: Path) -> None:
    """Python's streams, its own writes byte by byte, child processes, threads and exit handlers, on both streams."""
    out, err, code = printed(
        """
print("python", SECRET)
for byte in SECRET.encode():
    os.write(2, bytes([byte]))
subprocess.run(["sh", "-c", 'printf "child %s" "$1"; printf "child %s" "$1" >&2', "sh", SECRET])
atexit.register(lambda: print("exit", SECRET))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread", SECRET))).start()
""",
        tmp_path,
        until_exit=until_exit,
    )
    assert (out, err, code) == ("python ***\nchild ***thread ***\nexit ***\n", "***child ***", 0)


def test_nothing_is_lost_of_much_output(tmp_path: Path) -> None:
    """Ten megabytes with a secret in the middle, printed while the interpreter's lock is held, too."""
    out, _, code = printed(
        """
import ctypes
line = b"x" * 1023 + b"\\n"
ctypes.PyDLL(None).write(1, line * 1000, 1024 * 1000)
for _ in range(9000):
    os.write(1, line)
print(SECRET)
""",
        tmp_path,
    )
    assert code == 0
    assert out == ("x" * 1023 + "\n") * 10_000 + "***\n"


def test_a_process_that_is_killed_leaves_what_it_printed(tmp_path: Path) -> None:
    """Also where it ends without a goodbye; and a child that lives on keeps nobody waiting."""
    out, _, code = printed('print("before", SECRET, flush=True)\nos.kill(os.getpid(), 9)', tmp_path)
    assert (out, code) == ("before ***\n", -signal.SIGKILL)
    out, _, code = printed('print("os._exit", SECRET, flush=True)\nos._exit(5)', tmp_path)
    assert (out, code) == ("os._exit ***\n", 5)


def test_a_child_that_lives_on_is_not_waited_for(tmp_path: Path) -> None:
    """The end of the step is the end of its output."""
    out, _, code = printed(
        """
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(SECRET)
open("pid", "w").write(str(child.pid))
redaction._stop()
os.write(1, b"done\\n")
os.kill(child.pid, 9)
""",
        tmp_path,
    )
    assert (out, code) == ("***\ndone\n", 0)


def test_a_child_that_prints_for_ever_is_not_waited_for(tmp_path: Path) -> None:
    """All that was printed before the end of the step is passed on, and no more has to come to an end for that."""
    out, _, code = printed(
        """
child = subprocess.Popen(["yes"], start_new_session=True, stdout=sys.stderr)
print(SECRET)
redaction._stop()
os.kill(child.pid, 9)
child.wait()
""",
        tmp_path,
    )
    assert (out, code) == ("***\n", 0)


def test_a_step_may_close_its_streams(tmp_path: Path) -> None:
    """What stands between ends with them, and is not needed for the end of the step."""
    out, err, code = printed(
        """
print("before", SECRET, flush=True)
os.close(1)
os.close(2)
os.read(redaction._pump._ended, 1)
redaction._stop()
os.write(1, b"behind\\n")
""",
        tmp_path,
    )
    assert (out, err, code) == ("before ***\nbehind\n", "", 0)


def test_the_step_waits_for_its_own_children_only(tmp_path: Path) -> None:
    """os.wait() finds no child of ours."""
    out, _, _ = printed(
        """
try:
    os.wait()
except ChildProcessError:
    print("none", SECRET)
""",
        tmp_path,
    )
    assert out == "none ***\n"
