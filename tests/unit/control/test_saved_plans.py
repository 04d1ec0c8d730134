"""Saved plans: what is previewed is what is applied, or nothing, and it says why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engines.toy.world import World, actions
from flowinfra.canonical import json_digest
from flowinfra.components.settings import Settings
from flowinfra.control.operations import Request, apply, preview
from flowinfra.control.saved import basis_of, load_plan, require_same, save_plan
from flowinfra.control.stacks import OpenStack
from flowinfra.diagnostics import EngineError
from flowinfra.engine.config import Project
from flowinfra.engine.recorder import RecorderEngine
from flowinfra.model.plan import Basis, Operation, Plan
from flowinfra.packaging.home import Home

_ALL = Request()
MAIN = """
import os
import pulumi
from engines.toy.library import Group, Thing
from helper import size

config = pulumi.Config()
Thing("a", size=size(), tags={"place": os.environ.get("TOY_PLACE", "here")}, payload=config.get_secret("pw"))
Thing("b", size=config.get_int("b") or 1)
"""
HELPER = "def size():\n    return 1\n"


@dataclass
class Deployed:
    """A project whose program is files, and a file for its plan."""

    world: World

    @property
    def opened(self) -> OpenStack:
        project = Project.load(self.world.project / "Pulumi.yaml")
        ref = self.world.ref(project.main)
        home = Home.find(self.world.project)
        return OpenStack(home, project, "dev", Settings.from_config("dev", {}), ref, self.world.engine())

    @property
    def plan(self) -> Path:
        return self.world.root / "plan.json"

    def write(self, name: str, text: str) -> None:
        file = self.world.project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def save(self, request: Request = _ALL) -> Plan:
        return preview(self.opened, request, save=self.plan)

    def apply(self, request: Request = _ALL, **options: Any) -> Plan:
        return apply(self.opened, request, saved=self.plan, **options)

    def refused(self, *codes: str) -> str:
        """What is said when the saved plan is not applied; nothing has changed then."""
        before = self.world.hashes()
        with pytest.raises(EngineError) as caught:
            self.apply()
        assert {d.code for d in caught.value.diagnostics} == set(codes)
        assert self.world.hashes() == before
        return str(caught.value)


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """One project, not deployed yet."""
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "FLOWINFRA_HOME", "TOY_PLACE"):
        monkeypatch.delenv(name, raising=False)
    world = World(tmp_path)
    for folder in (world.project, world.cloud):
        folder.mkdir()
    made = Deployed(world)
    made.write("Pulumi.yaml", "name: proj\nruntime: python\nmain: program/\n")
    made.write("Pulumi.dev.yaml", "config:\n  proj:b: 1\n")
    made.write("program/__main__.py", MAIN)
    made.write("program/helper.py", HELPER)
    return made


def test_a_saved_plan_is_applied_while_nothing_has_moved(deployed: Deployed) -> None:
    """What is done is what was shown, in the first deployment and in the next ones."""
    first = deployed.save()
    assert actions(first) == {"proj-dev": "create", "a": "create", "b": "create"}
    assert actions(deployed.apply()) == actions(first)
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    second = deployed.save()
    assert actions(second) == {"a": "update"}
    assert actions(deployed.apply()) == {"a": "update"}
    assert deployed.world.resources()["a"]["inputs"]["size"] == 22


def test_a_plan_is_the_same_after_it_was_in_a_file(deployed: Deployed) -> None:
    """Nothing is lost, the file is its owner's alone, and no secret is in it."""
    crypter = deployed.world.engine().config_crypter(deployed.opened.ref)
    deployed.opened.project.config("dev").set("pw", "hunter2", crypter=crypter)
    plan = deployed.save()
    assert load_plan(deployed.plan) == plan
    assert plan.basis is not None
    assert set(plan.basis.code) == {"program/__main__.py", "program/helper.py"}
    assert set(plan.basis.settings) == {"proj:b", "proj:pw"}
    assert deployed.plan.stat().st_mode & 0o777 == 0o600
    text = deployed.plan.read_text(encoding="utf-8")
    assert "hunter2" not in text
    assert "<secret>" in text
    assert actions(deployed.apply()) == actions(plan)


def test_a_moved_state_is_named(deployed: Deployed) -> None:
    """Somebody deployed in between, also the very same thing."""
    deployed.save()
    deployed.world.up(deployed.opened.ref.program)
    message = deployed.refused("FI692") if actions(deployed.world.preview(deployed.opened.ref.program)) else ""
    assert not message  # nothing is left to do, so nothing is asked
    with pytest.raises(EngineError, match="FI692"):
        deployed.apply()
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    deployed.save()
    deployed.world.refresh(options=__import__("flowinfra.engine.base", fromlist=["Options"]).Options())
    deployed.world.destroy()
    assert "state" in deployed.refused("FI692")


def test_a_state_that_moves_between_the_preview_and_the_lock_is_seen(deployed: Deployed) -> None:
    """The engine asks again with what it would do then, and that is not the saved plan."""
    saved = deployed.save()
    assert saved.has_changes
    seen: list[Plan] = []

    def meanwhile(plan: Plan) -> None:
        seen.append(plan)
        if len(seen) == 1:
            deployed.world.up(deployed.opened.ref.program)
            deployed.write("program/helper.py", HELPER.replace("1", "22"))

    with pytest.raises(EngineError, match="FI692"):
        deployed.apply(ask=meanwhile)
    assert len(seen) == 1
    assert deployed.world.resources()["a"]["inputs"]["size"] == 1


def test_moved_settings_are_named_by_key(deployed: Deployed) -> None:
    """Those that changed, came and went; a secret by its ciphertext."""
    deployed.write("Pulumi.dev.yaml", "config:\n  proj:b: 1\n  proj:c: 2024-01-01\n")
    deployed.save()
    deployed.write("Pulumi.dev.yaml", "config:\n  proj:b: 2\n  proj:new: x\n")
    message = deployed.refused("FI693")
    assert "proj:b, proj:c (gone), proj:new (new)" in message
    crypter = deployed.world.engine().config_crypter(deployed.opened.ref)
    deployed.opened.project.config("dev").set("pw", "one", crypter=crypter)
    deployed.save()
    deployed.opened.project.config("dev").set("pw", "two", crypter=crypter)
    message = deployed.refused("FI693")
    assert "proj:pw" in message
    assert "two" not in message


def test_moved_code_is_named_by_file(deployed: Deployed) -> None:
    """Whatever the program imports of its own; comments and formatting do not count."""
    deployed.save()
    deployed.write("program/helper.py", HELPER + "\n\n# a remark\n")
    deployed.write("program/helper.py", HELPER.replace("return 1", "return 1  # as ever"))
    basis = basis_of(deployed.opened)
    assert basis.code == (load_plan(deployed.plan).basis or Basis()).code
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    assert "code has moved since the plan was saved: program/helper.py" in deployed.refused("FI694")
    deployed.write("program/more.py", "x = 1\n")
    deployed.write("program/__main__.py", MAIN + "import more\n")
    message = deployed.refused("FI694")
    assert "program/__main__.py, program/helper.py, program/more.py (new)" in message


def test_all_that_moved_is_said_at_once(deployed: Deployed) -> None:
    """State, settings and code together."""
    deployed.save()
    deployed.world.up(deployed.opened.ref.program)
    deployed.write("Pulumi.dev.yaml", "config:\n  proj:b: 2\n")
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    deployed.refused("FI692", "FI693", "FI694")


def test_what_comes_from_elsewhere_is_named_by_resource(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, settings and code are the same, and an environment variable is not."""
    deployed.save()
    monkeypatch.setenv("TOY_PLACE", "there")
    message = deployed.refused("FI695")
    assert "the plan for a is not the saved one" in message
    assert "after.tags" in message


def test_a_plan_that_was_edited_applies_nothing_else(deployed: Deployed) -> None:
    """It is refused by its digest; and with a digest to match, because it is not what the program wants."""
    deployed.save()
    original = json.loads(deployed.plan.read_text(encoding="utf-8"))

    def edited(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        document = json.loads(json.dumps(original))
        edit(document["plan"])
        return document

    def change_of(plan: dict[str, Any], name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(c for c in plan["changes"] if c["name"] == name)
        return found

    edits: list[Callable[[dict[str, Any]], object]] = [
        lambda plan: change_of(plan, "a")["after"].update(size=99),
        lambda plan: change_of(plan, "a").update(action="delete"),
        lambda plan: plan["changes"].remove(change_of(plan, "b")),
        lambda plan: plan["changes"].append({**change_of(plan, "b"), "address": "urn:pulumi:dev::proj::x:y:Z::z"}),
        lambda plan: change_of(plan, "b").update(replaced_by=["size"]),
    ]
    for edit in edits:
        document = edited(edit)
        deployed.plan.write_text(json.dumps(document), encoding="utf-8")
        assert "changed after it was written" in deployed.refused("FI690")
        document["digest"] = json_digest(document["plan"])
        deployed.plan.write_text(json.dumps(document), encoding="utf-8")
        deployed.refused("FI695")


def test_a_plan_for_something_else_is_refused_by_name(deployed: Deployed) -> None:
    """Project, stack, engine, operation and targets must be those that it was made for."""
    deployed.world.up(deployed.opened.ref.program)
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    plan = deployed.save()
    others: dict[str, Any] = {
        "project": "other",
        "stack": "prod",
        "engine": "pulumi",
        "operation": Operation.DESTROY,
        "targets": ("urn:pulumi:dev::proj::toy:index:Thing::a",),
    }
    for name, value in others.items():
        save_plan(deployed.plan, plan.model_copy(update={name: value}))
        assert f"another {name}" in deployed.refused("FI691")


def test_a_plan_with_targets_is_applied_with_the_same_targets(deployed: Deployed) -> None:
    """It is incomplete on purpose, and so is what it is compared with."""
    deployed.world.up(deployed.opened.ref.program)
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    only = Request(targets=("urn:pulumi:dev::proj::toy:index:Thing::a",))
    plan = deployed.save(only)
    assert plan.targets == only.targets
    assert actions(plan) == {"a": "update"}
    deployed.refused("FI691")
    assert actions(deployed.apply(only)) == {"a": "update"}


def test_a_plan_without_a_change_is_saved_and_applied(deployed: Deployed) -> None:
    """Nothing is done; and once there is something to do, it is not the saved plan any more."""
    deployed.world.up(deployed.opened.ref.program)
    assert not deployed.save().has_changes
    before = deployed.world.hashes()
    assert not deployed.apply().has_changes
    assert deployed.world.hashes() == before
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    deployed.refused("FI694")


def test_a_destroy_is_saved_too(deployed: Deployed) -> None:
    """Its plan is one for a destroy, and for nothing else."""
    deployed.world.up(deployed.opened.ref.program)
    destroy = Request(operation=Operation.DESTROY)
    deployed.save(destroy)
    deployed.write("program/helper.py", HELPER.replace("1", "22"))
    with pytest.raises(EngineError, match="FI691"):
        deployed.apply()
    deployed.write("program/helper.py", HELPER)
    assert set(actions(deployed.apply(destroy)).values()) == {"delete"}


def test_an_incomplete_or_failed_plan_is_neither_saved_nor_applied(deployed: Deployed, tmp_path: Path) -> None:
    """Whoever could not look at everything cannot promise what will happen."""
    plan = deployed.save()
    deployed.plan.unlink()
    for update in ({"complete": False, "unknown": ("result of the function x",)}, {"errored": True}):
        with pytest.raises(EngineError, match="FI696"):
            save_plan(deployed.plan, plan.model_copy(update=update))
        assert not deployed.plan.exists()
        with pytest.raises(EngineError, match="FI696"):
            require_same(plan, plan.model_copy(update=update))
    document = {**plan.to_json(), "complete": False}
    content = {"kind": "flowinfra-plan", "digest": json_digest(document), "plan": document}
    deployed.plan.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(EngineError, match="FI696"):
        load_plan(deployed.plan)


def test_an_offline_plan_is_not_saved(deployed: Deployed) -> None:
    """What it could not know would be unknown to whoever approves it, and no engine makes the same one."""
    with pytest.raises(EngineError, match="FI696") as caught:
        save_plan(deployed.plan, RecorderEngine().preview(deployed.opened.ref))
    assert "was made offline" in str(caught.value)
    assert not deployed.plan.exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"kind": "flowinfra-plan"}', '{"kind": "other", "plan": {}}', "\x00"]
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    """By name, whatever is in it."""
    file = tmp_path / "plan.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(EngineError, match="FI690"):
        load_plan(file)


def test_a_missing_damaged_or_newer_plan_is_refused(tmp_path: Path) -> None:
    """Each with what is wrong with it."""
    file = tmp_path / "plan.json"
    with pytest.raises(EngineError, match="FI690"):
        load_plan(file)
    save_plan(file, Plan(project="p", stack="s", engine="embedded"))
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, "plan": {**content["plan"], "schema_version": 99}}), encoding="utf-8")
    with pytest.raises(EngineError, match="FI697"):
        load_plan(file)
    wrong = {**content["plan"], "operation": "dance"}
    file.write_text(json.dumps({**content, "digest": json_digest(wrong), "plan": wrong}), encoding="utf-8")
    with pytest.raises(EngineError, match="FI690"):
        load_plan(file)


def test_a_plan_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """Nothing half is left, and what was there stays."""
    with pytest.raises(EngineError, match="FI698"):
        save_plan(tmp_path / "missing" / "plan.json", Plan(project="p", stack="s", engine="embedded"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(EngineError, match="FI698"):
        save_plan(tmp_path / "folder", Plan(project="p", stack="s", engine="embedded"))
    assert os.listdir(tmp_path) == ["folder"]


def test_a_program_whose_imports_cannot_be_followed_counts_by_its_files(deployed: Deployed) -> None:
    """A module that only exists at run time is no reason not to save a plan."""
    deployed.write("program/odd.py", "import program_made_at_run_time.x\n")
    deployed.write("program/__main__.py", "import package.missing\n" + MAIN)
    deployed.write("program/package/__init__.py", "")
    assert set(basis_of(deployed.opened).code) == {
        "program/__main__.py",
        "program/helper.py",
        "program/odd.py",
        "program/package/__init__.py",
    }
