"""What events and words of the Pulumi CLI become, without the CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import Event, LogEvent, ResourceEvent, StackRef
from flowinfra.engine.pulumi import PulumiEngine
from flowinfra.engine.pulumi.events import Registered, Translation, changed_outputs
from flowinfra.engine.pulumi.messages import command_failure, failure
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.values import SECRET, SIGNATURE, UNKNOWN
from flowinfra.model.plan import Action, Change, Operation, Plan

RECORDED = Path(__file__).parent / "recorded"
URN = "urn:pulumi:dev::proj::toy:index:Thing::"
REF = StackRef("proj", "dev", Path("/project"), Path("/project"), "file:///state")


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def translated(events: list[dict[str, Any]], operation: Operation = Operation.UP, **registered: Registered) -> Plan:
    translation = Translation(REF, operation)
    for event in events:
        translation.take(event)
    return translation.plan({URN + k: v for k, v in registered.items()}, {}, "pulumi")


def by_name(plan: Plan) -> dict[str, Change]:
    return {c.name: c for c in plan.changes}


def step(op: str, name: str = "a", **metadata: Any) -> dict[str, Any]:
    state = {"type": "toy:index:Thing", "urn": URN + name, "custom": True, "inputs": {"size": 1}, "outputs": {}}
    sides = {"old": None if op in ("create", "import") else state, "new": None if op == "delete" else state}
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": URN + name, "type": state["type"], **sides, **metadata}}}


def diagnostic(severity: str, message: str, urn: str = "") -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": severity, "message": message, "urn": urn}}


def test_a_recorded_preview_becomes_a_plan() -> None:
    """Replacements are one change with their cause, secrets are masked, what is not known is listed."""
    plan = translated(
        recorded("pulumi_up_preview"), a=Registered(ResourceState(URN + "a", "toy:index:Thing"), "__main__.py:20")
    )
    found = by_name(plan)
    actions = {name: c.action.value for name, c in found.items() if c.action is not Action.SAME}
    assert actions == {
        "grp": "update", "explicit": "update", "a": "update", "grp-1": "delete", "b": "replace", "d2": "replace",
        "e": "replace", "f": "replace",
    }  # fmt: skip
    assert found["a"].changed == ("size",)
    assert found["a"].source == "__main__.py:20"
    assert (found["a"].before or {})["payload"] == "<secret>"
    assert found["b"].replaced_by == ("kind",)
    assert found["grp"].changed == ("count", "deep.list[1].count")
    assert found["e"].reason == "what it depends on is replaced"
    assert found["proj-dev"].reason == "outputs changed: arn" or found["proj-dev"].reason == ""
    assert plan.unknown == (f"{URN}e: ref",)
    assert plan.applyable
    assert "default_0_1_0" not in found


def test_a_recorded_refresh_becomes_drift() -> None:
    """Only what a provider can read; what is gone is a deletion."""
    plan = translated(recorded("pulumi_refresh_preview"), Operation.REFRESH)
    assert {c.name: c.action for c in plan.drift} == {"c": Action.REFRESH, "d": Action.DELETE}
    assert by_name(plan)["c"].changed == ("size",)
    assert "explicit" not in by_name(plan)


def test_what_an_operator_has_changed_is_drift_although_the_provider_calls_it_the_same() -> None:
    """Outputs that differ are shown among the inputs, whatever the engine's word for it is."""
    old = {"type": "t", "urn": URN + "a", "custom": True, "inputs": {"x": 1}, "outputs": {"x": 1, "paused": False}}
    new = {**old, "outputs": {"x": 1, "paused": True, "__meta": "m"}}
    metadata = {"op": "same", "urn": URN + "a", "type": "t", "old": old, "new": new}
    (drifted,) = translated([{"resOutputsEvent": {"metadata": metadata}}], Operation.REFRESH).drift
    assert (drifted.before, drifted.after) == ({"x": 1, "paused": False}, {"x": 1, "paused": True})
    assert drifted.changed == ("paused",)


def test_imports_reads_and_leftovers_have_their_words() -> None:
    """Operations that only the real engine knows are told as ours, with a reason."""
    events = [step("import", "i"), step("read", "r"), step("delete-replaced", "l"), step("discard", "x")]
    events += [step("conjure", "new"), step("delete-replaced", "p"), step("create-replacement", "p", keys=["ref"])]
    found = by_name(translated(events))
    assert {n: c.action for n, c in found.items()} == {
        "i": Action.CREATE, "r": Action.READ, "l": Action.DELETE, "x": Action.DELETE, "new": Action.UPDATE,
        "p": Action.REPLACE,
    }  # fmt: skip
    assert found["i"].reason.startswith("it exists and is imported")
    assert found["l"].reason == "left over from a replacement"
    assert "conjure" in found["new"].reason


def test_what_happens_is_told_once() -> None:
    """A start and an end for each resource that changes; a failure with its cause; nothing for what stays."""
    told: list[Event] = []
    translation = Translation(REF, Operation.UP, on_event=told.append)
    create, same = step("create"), step("same", "b")
    translation.take(create)
    translation.take(same)
    translation.take(diagnostic("debug", "noise"))
    translation.take(diagnostic("info#err", "<{%fg 1%}>said<{%reset%}>"))
    translation.take(diagnostic("error", "no room", URN + "a"))
    translation.take({"resOpFailedEvent": create["resourcePreEvent"]})
    translation.take(diagnostic("error", "update failed"))
    translation.take({"summaryEvent": {}})
    assert told == [
        ResourceEvent(URN + "a", "create", "start"),
        LogEvent("info", "said"),
        ResourceEvent(URN + "a", "create", "failed", "creating 'a' failed: no room"),
    ]
    assert [d.code for d in translation.failures] == ["FI604"]
    assert translation.ended


def test_policies_are_findings_and_mandatory_ones_stop() -> None:
    """A violated policy names its pack; an advisory one only warns."""
    translation = Translation(REF, Operation.UP)
    policy = {"policyName": "no-public", "policyPackName": "house", "policyPackVersion": "1", "message": "it is public"}
    translation.take({"policyEvent": {**policy, "enforcementLevel": "advisory", "resourceUrn": URN + "a"}})
    translation.take({"policyEvent": {**policy, "enforcementLevel": "mandatory"}})
    (found,) = translation.plan({}, {}, "pulumi").findings
    assert (found.code, found.severity, found.address) == ("FI648", "warning", URN + "a")
    assert [d.code for d in translation.failures] == ["FI648"]


def test_an_interrupted_operation_is_told_for_each_resource() -> None:
    """Out of the CLI's one warning, as the embedded engine tells it."""
    message = (
        "Attempting to deploy or update resources with 1 pending operations from previous deployment.\n"
        f"  * {URN}slow, interrupted while creating\nThese resources are in an unknown state"
    )
    (found,) = translated([diagnostic("warning", message)]).findings
    assert (found.code, found.address) == ("FI630", URN + "slow")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("toy:index:Thing resource 'a': property size value {-1} has a problem: must be >= 0", "FI605"),
        ("toy:index:Thing resource 'a' has a problem: no", "FI605"),
        (f'unable to replace resource "{URN}a"\nas it is currently marked for protection.', "FI606"),
        (f'resource "{URN}a" cannot be deleted\nbecause it is protected.', "FI606"),
        (f"Duplicate resource URN '{URN}a'; try giving it a unique name", "FI607"),
        ('Preview failed: hook "h" was not registered', "FI609"),
        ("no resource plugin 'pulumi-resource-x' found in the workspace or on your $PATH", "FI646"),
        ("the cloud refuses", "FI604"),
    ],
)
def test_failures_of_resources_have_codes(message: str, code: str) -> None:
    """Each kind that the embedded engine tells has the same code here, and names the resource."""
    found = failure(message, URN + "a", "create")
    assert found.code == code
    assert "a" in found.summary
    assert found.hint


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("error: the stack is currently locked by 1 lock(s). ...\n  file:///x: created by u@h (pid 1) at t", "FI620"),
        ("error: getting secrets manager: incorrect passphrase", "FI621"),
        ("error: constructing secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "FI622"),
        ("error: could not load plugin: no resource plugin 'pulumi-resource-x' found", "FI646"),
        ("error: something else\nin two lines", "FI647"),
        ("", "FI647"),
    ],
)
def test_failures_of_commands_have_codes(stderr: str, code: str) -> None:
    """What the CLI says without an event is told precisely, or in its own words."""
    found = command_failure("up", 255, stderr)
    assert found.code == code
    assert found.hint


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from("abc"), _VALUES))
def test_outputs_do_not_differ_from_themselves_nor_from_what_is_not_known(outputs: dict[str, Any]) -> None:
    """Only what is known to be another value is a change."""
    assert changed_outputs(outputs, outputs) == ()
    assert changed_outputs(outputs, dict.fromkeys(outputs, UNKNOWN)) == ()
    assert changed_outputs({}, outputs) == tuple(outputs)
    marked = {k: {"@isPulumiResource": True, "v": v} for k, v in outputs.items()}
    assert changed_outputs({k: {"v": v} for k, v in outputs.items()}, marked) == ()


def test_a_masked_secret_equals_itself() -> None:
    """Events mask secrets; only the CLI's own plan says whether one changes."""
    masked = {SIGNATURE: SECRET, "ciphertext": "[secret]"}
    assert changed_outputs({"s": masked}, {"s": dict(masked)}) == ()


# -- the CLI ----------------------------------------------------------------------------------------------------------


def cli(folder: Path, script: str) -> dict[str, str]:
    """An environment with a program `pulumi` that does *script*."""
    folder.mkdir()
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.defpath}", "HOME": str(folder), "PULUMI_CONFIG_PASSPHRASE": "x"}


def stack(tmp_path: Path) -> StackRef:
    return StackRef("proj", "dev", tmp_path, lambda: None, (tmp_path / "state").as_uri())


def test_a_missing_cli_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    """On PATH, in the user's own folder, or where FLOWINFRA_PULUMI says; Local needs none."""
    for variables, word in (({}, "not installed"), ({"FLOWINFRA_PULUMI": str(tmp_path / "no")}, "names no program")):
        environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), **variables}
        with pytest.raises(EngineError, match=f"FI645.*{word}") as problem:
            PulumiEngine(environment=environment).preview(stack(tmp_path))
        assert "--engine embedded" in str(problem.value)


def test_a_cli_that_is_too_old_is_told_with_its_version(tmp_path: Path) -> None:
    """It knows no events over a connection; which version it is, is asked only after it failed."""
    environment = cli(tmp_path / "bin", '[ "$1" = version ] && echo v3.100.0 || { echo unknown flag >&2; exit 1; }')
    with pytest.raises(EngineError, match=r"(?s)FI645.*v3\.100\.0.*3\.206\.0"):
        PulumiEngine(environment=environment).preview(stack(tmp_path))
    named = {**environment, "PATH": os.defpath, "FLOWINFRA_PULUMI": str(tmp_path / "bin")}
    with pytest.raises(EngineError, match="FI645"):
        PulumiEngine(environment=named).preview(stack(tmp_path))


def test_a_cli_that_fails_without_a_word_is_told(tmp_path: Path) -> None:
    """No traceback, and the exit code where there is nothing better."""
    environment = cli(tmp_path / "bin", '[ "$1" = version ] && echo v3.300.0 || exit 7')
    with pytest.raises(EngineError, match=r"FI647.*exit code 7"):
        PulumiEngine(environment=environment).preview(stack(tmp_path))
    assert list(tmp_path.iterdir()) == [tmp_path / "bin"]


def test_a_cli_that_is_killed_is_told_with_the_signal(tmp_path: Path) -> None:
    """The program is not to blame for what it then runs into."""
    environment = cli(tmp_path / "bin", "kill -9 $$")
    with pytest.raises(EngineError, match=r"(?s)FI628.*SIGKILL.*flowinfra cancel"):
        PulumiEngine(environment=environment).preview(stack(tmp_path))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            (
                "error: The Pulumi CLI encountered a snapshot integrity error. This is a bug!\nGo Version:        go1\n"
                "Error:             snapshot integrity failure; refusing to use it: duplicate resource urn:x\n"
                "Stack Trace:\n\ngoroutine 1 [running]:\nmain.go:1"
            ),
            "FI625: the state does not fit together: duplicate resource urn:x",
        ),
        (
            "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.go:1",
            "FI647: `pulumi up` failed: runtime error: index out of range",
        ),
        ("error: no resource named 'nonsense' found", "FI651: the target nonsense is no resource of the stack"),
    ],
)
def test_of_what_the_cli_says_when_it_breaks_down_only_the_cause_is_passed_on(said: str, expected: str) -> None:
    """A stack of its own functions helps nobody here."""
    found = command_failure("up", 2, said)
    assert f"{found.code}: {found.summary}" == expected
    assert "main.go" not in found.detail + found.hint


def test_a_target_that_is_nothing_is_told_as_by_the_embedded_engine() -> None:
    """Out of the CLI's error."""
    message = "Target 'nonsense' could not be found in the stack. Did you forget to escape $ in your shell?"
    assert failure(message, "").code == "FI651"


def test_a_stack_that_a_remote_backend_does_not_have_is_previewed_beside_it(tmp_path: Path) -> None:
    """The preview is made on a stand-in; the stack is made once something is to be applied."""
    log = tmp_path / "log"
    script = (
        f'[ "$1" = version ] && echo v3.300.0 && exit\necho "$PULUMI_BACKEND_URL $3 $4" >> "{log}"\n'
        'case "$PULUMI_BACKEND_URL" in file:*) exit 0;; esac\necho "error: no stack named \'dev\' found" >&2\nexit 255'
    )
    environment = cli(tmp_path / "bin", script)
    ref = StackRef("proj", "dev", tmp_path, lambda: None, "https://example.invalid")
    assert PulumiEngine(environment=environment).preview(ref).changes == ()
    assert PulumiEngine(environment=environment).outputs(ref) == {}
    with pytest.raises(EngineError, match="FI649"):
        PulumiEngine(environment=environment).refresh(ref)
    first, second, *_ = log.read_text(encoding="utf-8").splitlines()
    assert first == "https://example.invalid preview --save-plan"
    assert second.startswith("file:///")


def test_importing_the_engine_does_not_import_pulumi() -> None:
    """Whoever only asks which engines there are does not pay for the SDK."""
    script = "import sys, flowinfra.engine.pulumi; sys.exit('pulumi' in sys.modules or 'grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
