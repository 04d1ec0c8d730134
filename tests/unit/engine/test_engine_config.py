"""Pulumi.yaml and Pulumi.<stack>.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engines.toy.library import Thing
from engines.toy.world import World
from flowinfra.diagnostics import ConfigurationError
from flowinfra.engine.config import Project, StackConfig
from flowinfra.engine.state.secrets import Crypter

KEYS = st.text("abcdefgh-_", min_size=1, max_size=8)
VALUES = st.text(max_size=20) | st.integers(-1000, 1000) | st.booleans() | st.dictionaries(KEYS, st.text(max_size=5), min_size=1, max_size=2)  # fmt: skip


def project(folder: Path, text: str = "name: proj\nruntime: python\nmain: stacks/\n") -> Project:
    (folder / "Pulumi.yaml").write_text(text, encoding="utf-8")
    return Project.find(folder)


def never(ciphertext: str, where: str) -> str:
    raise AssertionError(where)


def test_the_project_is_found_from_any_folder_below(tmp_path: Path) -> None:
    """Name, program and runtime; the runtime may be a mapping."""
    found = project(tmp_path, "name: proj\nruntime:\n  name: python\nmain: stacks/\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert Project.find(below) == found
    assert (found.name, found.runtime, found.main, found.folder) == ("proj", "python", tmp_path / "stacks", tmp_path)


def test_a_missing_project_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """No Pulumi.yaml in the folder or above it."""
    with pytest.raises(ConfigurationError, match=r"FI901(?s:.*)flowinfra init"):
        Project.find(tmp_path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: [", "FI903:"),
        ("- a", "FI904:"),
        ("runtime: python", "FI904:"),
        ("name: a b\nruntime: python", "FI904:"),
        ("name: a", "FI904:"),
        ("name: a\nruntime: python\nconfig: [1]", "FI904:"),
    ],
)
def test_what_is_wrong_in_the_project_file_is_said_with_its_place(tmp_path: Path, text: str, code: str) -> None:
    """Broken YAML with the line, a wrong shape with what is expected."""
    with pytest.raises(ConfigurationError, match=f"Pulumi.yaml.*{code}"):
        project(tmp_path, text)


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    """The third line is the broken one."""
    found = project(tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  a: 1\n  b: [\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"Pulumi\.dev\.yaml:[34]: error FI903"):
        found.config("dev")


def test_values_reach_the_program_as_the_real_cli_gives_them(tmp_path: Path) -> None:
    """Texts as they are, the rest as JSON; keys without a namespace belong to the project; defaults are filled in."""
    found = project(
        tmp_path,
        "name: proj\nruntime: python\nconfig:\n  depth: {type: integer, default: 3}\n  aws:region: {value: eu}\n  size: 1\n",
    )
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config:\n  proj:size: 5\n  flag: true\n  proj:text: '007'\n  proj:deep: {a: [1, {b: null}]}\n",
        encoding="utf-8",
    )
    resolved = found.config("dev").resolve(never)
    assert resolved.values == {
        "proj:depth": "3", "aws:region": "eu", "proj:size": "5", "proj:flag": "true", "proj:text": "007",
        "proj:deep": '{"a": [1, {"b": null}]}',
    }  # fmt: skip
    assert resolved.secret_keys == ()


def test_a_stack_without_a_file_has_an_empty_configuration(tmp_path: Path) -> None:
    """And a name that is no name is refused."""
    found = project(tmp_path)
    assert found.config("dev").all_values == {}
    with pytest.raises(ConfigurationError, match="FI905"):
        found.config("../dev")


def test_setting_a_value_keeps_comments_order_and_everything_else(tmp_path: Path) -> None:
    """Only the line in question changes; a new key comes after the last one; the file is made if it is not there."""
    found = project(tmp_path)
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(
        "# for developers\nencryptionsalt: v1:x\nconfig:\n  proj:a: 1  # the first\n\n  # the second\n  b: 'two'\nother: [1, 2]\n",
        encoding="utf-8",
    )
    config = found.config("dev").set("a", "10").set("b", "zwei").set("new:key", {"x": [1]})
    assert path.read_text(encoding="utf-8") == (
        "# for developers\nencryptionsalt: v1:x\nconfig:\n  proj:a: '10'  # the first\n\n  # the second\n  b: zwei\n"
        "  new:key:\n    x:\n    - 1\nother: [1, 2]\n"
    )
    assert config.get("a") == "10"
    config.remove("b").remove("new:key")
    assert path.read_text(encoding="utf-8") == (
        "# for developers\nencryptionsalt: v1:x\nconfig:\n  proj:a: '10'  # the first\n\n  # the second\nother: [1, 2]\n"
    )
    found.config("new").set("a", "1")
    assert (tmp_path / "Pulumi.new.yaml").read_text(encoding="utf-8") == "config:\n  proj:a: '1'\n"


@given(start=st.dictionaries(KEYS, VALUES, max_size=4), key=KEYS, value=VALUES, flow=st.booleans())
def test_any_value_can_be_set_and_removed(
    tmp_path_factory: pytest.TempPathFactory, start: dict[str, Any], key: str, value: Any, flow: bool
) -> None:
    """Whatever is in the file, what is set is what is read, and nothing else changes."""
    folder = tmp_path_factory.mktemp("config")
    found = project(folder)
    path = folder / "Pulumi.dev.yaml"
    given_values = {f"proj:{k}": v for k, v in start.items()}
    path.write_text(
        yaml.safe_dump({"encryptionsalt": "s", "config": given_values}, default_flow_style=flow), encoding="utf-8"
    )
    config = found.config("dev").set(key, value)
    assert config.values == {**given_values, f"proj:{key}": value}
    assert found.config("dev") == config
    assert config.salt == "s"
    given_values.pop(f"proj:{key}", None)
    assert config.remove(key).values == given_values
    assert found.config("dev").salt == "s"


def test_keys_that_are_not_set_and_keys_that_are_none(tmp_path: Path) -> None:
    """The nearest one is named."""
    config = project(tmp_path).config("dev").set("region", "eu")
    with pytest.raises(ConfigurationError, match=r"FI908.*did you mean 'proj:region'"):
        config.get("regoin")
    with pytest.raises(ConfigurationError, match="FI908"):
        config.remove("regoin")
    for key in ("a b", "a:b:c", ":a", ""):
        with pytest.raises(ConfigurationError, match="FI906"):
            config.set(key, "1")


def test_secret_values_are_encrypted_with_the_salt_that_the_stack_has(tmp_path: Path) -> None:
    """The file gets the salt, as the real CLI writes it; the value is never readable in it."""
    crypter = Crypter("passphrase")
    config: StackConfig = project(tmp_path).config("dev").set("open", "o").set("pw", "hunter2", crypter=crypter)
    text = (tmp_path / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    assert "hunter2" not in text
    assert yaml.safe_load(text)["encryptionsalt"] == crypter.salt
    assert config.is_secret("pw")
    assert not config.is_secret("open")
    assert config.has_secrets
    assert config.reveal("pw", crypter.decrypt) == "hunter2"
    resolved = config.resolve(crypter.decrypt)
    assert resolved.values["proj:pw"] == "hunter2"
    assert resolved.secret_keys == ("proj:pw",)


def test_other_secrets_providers_are_refused(tmp_path: Path) -> None:
    """A key of a cloud is nothing that a passphrase opens."""
    found = project(tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text("secretsprovider: awskms://key\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="FI907"):
        found.config("dev").resolve(never)


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    """A folder stands where the file should be."""
    config = project(tmp_path).config("dev")
    (tmp_path / "Pulumi.dev.yaml").mkdir()
    with pytest.raises(ConfigurationError, match="FI909"):
        config.set("a", "1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Pulumi.dev.yaml", "Pulumi.yaml"]


def test_the_program_gets_configuration_secrets_and_providers_theirs(world: World) -> None:
    """Secret values stay secret in outputs; keys of a package configure its default provider."""
    found = project(world.project)
    crypter = world.engine().config_crypter(world.ref(lambda: None))
    config = found.config("dev").set("n", "3").set("pw", "hunter2", crypter=crypter).set("toy:prefix", "configured")
    before = (world.project / "Pulumi.dev.yaml").read_text(encoding="utf-8")

    def program() -> None:
        values = pulumi.Config()
        Thing("a", size=values.require_int("n"))
        pulumi.export("pw", values.require_secret("pw"))

    world.up(program)
    assert world.resources()["a"]["id"].startswith("configured-")
    assert world.outputs() == {"pw": "hunter2"}
    assert world.latest["secrets_providers"]["state"]["salt"] == config.salt
    assert (world.project / "Pulumi.dev.yaml").read_text(encoding="utf-8") == before


def test_up_never_writes_the_configuration_file(world: World) -> None:
    """The salt of a first secret goes into the state only, so that a clone stays clean."""
    project(world.project)
    world.up(lambda: pulumi.export("x", pulumi.Output.secret("s")))
    assert [p.name for p in world.project.iterdir()] == ["Pulumi.yaml"]
    # A secret that is set later is encrypted with the same salt.
    crypter = world.engine().config_crypter(world.ref(lambda: None))
    assert crypter.salt == world.latest["secrets_providers"]["state"]["salt"]


def test_a_new_configuration_of_a_default_provider_is_a_change_of_the_state(world: World) -> None:
    """The provider is not shown, so the stack says why there is something to apply."""
    found = project(world.project)
    world.up(lambda: Thing("a") and None)
    found.config("dev").set("toy:prefix", "second")
    plan = world.preview(lambda: Thing("a") and None)
    assert plan.applyable
    assert not plan.has_changes
    assert plan.changes[0].reason == "the configuration of the provider toy changed"
    world.up(lambda: Thing("a") and None)
    assert not world.preview(lambda: Thing("a") and None).applyable
