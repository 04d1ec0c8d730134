from __future__ import annotations

from pathlib import Path

import pytest

from flowinfra.authoring.secrets import Secret
from flowinfra.runtime.secrets import LONGEST, SecretError, read_references, resolve_secrets
from support.child import Python

ENVIRON = {"TOKEN": "t0k", "EMPTY": ""}


def codes(secrets: list[Secret]) -> list[str]:
    """What is wrong with *secrets*."""
    with pytest.raises(SecretError) as found:
        resolve_secrets(secrets, "train", ENVIRON)
    return [d.code for d in found.value.diagnostics]


def test_variables_and_files_are_sources(tmp_path: Path) -> None:
    """A variable under its own or another name; a file without the line feed at its end, multi-line ones as they are."""
    (tmp_path / "db-key.pem").write_text("a\nb\n")
    values = resolve_secrets(
        [Secret("TOKEN"), Secret("TOKEN", env_var="OTHER"), Secret(str(tmp_path / "db-key.pem"), "file")],
        "train",
        ENVIRON,
    )
    assert values == {"TOKEN": "t0k", "OTHER": "t0k", "DB_KEY_PEM": "a\nb"}


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    """Which step, which secret, why, and what to do; the values of the others are not in it."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    secrets = [
        Secret("TOKEN"),
        Secret("NOPE"),
        Secret("EMPTY"),
        Secret(str(tmp_path / "none"), "file"),
        Secret(str(tmp_path / "empty"), "file"),
        Secret(str(tmp_path / "binary"), "file"),
        Secret(str(tmp_path), "file"),
    ]
    with pytest.raises(SecretError) as found:
        resolve_secrets(secrets, "train", ENVIRON)
    assert [d.code for d in found.value.diagnostics] == ["FI740"] * 6
    text = str(found.value)
    for said in ("the step train", "environment:NOPE", "is not set", "is empty", "No such file", "no UTF-8"):
        assert said in text
    assert "t0k" not in text


def test_values_that_are_no_variables(tmp_path: Path) -> None:
    """A zero byte, and what is too long for an environment."""
    (tmp_path / "zero").write_text("a\0b")
    (tmp_path / "long").write_text("x" * (LONGEST + 1))
    assert codes([Secret(str(tmp_path / n), "file") for n in ("zero", "long")]) == ["FI743", "FI743"]


def test_an_unknown_source_is_named_with_the_nearest() -> None:
    """And what is installed."""
    with pytest.raises(SecretError, match=r"FI742.*'fil' \(did you mean 'file'\?\)\n.*environment, file"):
        resolve_secrets([Secret("x", "fil")], "train", ENVIRON)


def test_the_references_of_a_release_are_read() -> None:
    """An empty variable is none, and what is left out is not there."""
    secrets = [{"source": "file", "name": "/x", "env_var": "X"}, {"source": "environment", "name": "Y", "env_var": ""}]
    assert read_references([*secrets, {"source": "vault", "name": "z"}]) == (
        Secret("/x", "file", "X"),
        Secret("Y"),
        Secret("z", "vault"),
    )


VAULT = """
class Vault:
    def __call__(self, name):
        if name == "none":
            raise KeyError(f"the vault has no {name}")
        if name == "down":
            raise ConnectionError("no route to the vault")
        if name == "several":
            return {"DB_USER": "bob", "DB_PASSWORD": "s3cr3t"}
        return {"odd": 1, "bytes": b"x", "blank": ""}.get(name, f"value of {name}")

resolve = Vault()
broken = 3
"""

PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from flowinfra.authoring.secrets import Secret
from flowinfra.runtime.secrets import SecretError, resolve_secrets
print(resolve_secrets([Secret("team/api-key", "vault"), Secret("x", "vault", "Y"), Secret("several", "vault")], "s", {}))
for names in (["none"], ["down"], ["odd", "bytes", "blank"]):
    try:
        resolve_secrets([Secret(n, "vault") for n in names], "s", {})
    except SecretError as why:
        print([d.code for d in why.diagnostics], why.diagnostics[0].summary, why.diagnostics[0].detail)
for secret in (Secret("x", "odd"), Secret("x", "gone"), Secret("several", "vault", "DB")):
    try:
        resolve_secrets([secret], "s", {})
    except SecretError as why:
        print([d.code for d in why.diagnostics], why.diagnostics[0].summary, why.diagnostics[0].detail)
"""


def test_a_package_adds_a_source_by_an_entry_point(python: Python, tmp_path: Path) -> None:
    """One value or several; what is not there fails for good, what cannot be had now may be had by a later attempt."""
    (tmp_path / "vaultlib.py").write_text(VAULT)
    info = tmp_path / "vaultlib-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vaultlib\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[flowinfra.secrets]\nvault = vaultlib:resolve\nodd = vaultlib:broken\ngone = vaultlib:gone\n"
    )
    script = tmp_path / "probe.py"
    script.write_text(PROBE.replace("sys.argv[1]", repr(str(tmp_path))))
    lines = python.code(script.read_text()).splitlines()
    assert lines[0] == str(
        {"API_KEY": "value of team/api-key", "Y": "value of x", "DB_USER": "bob", "DB_PASSWORD": "s3cr3t"}
    )
    assert lines[1].startswith("['FI740'] the step s needs the secret vault:none, which is not there")
    assert lines[2].startswith("['FI741'] the step s")
    assert lines[2].rstrip().endswith("ConnectionError: no route to the vault")
    assert lines[3].startswith("['FI743', 'FI743', 'FI743'] ")
    assert lines[4].endswith("vaultlib:broken is no function")
    assert "vaultlib:gone cannot be imported" in lines[5]
    assert "several values, which do not fit into DB" in lines[6]
