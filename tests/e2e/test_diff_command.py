"""`flowinfra diff`: files, releases, deployments and JSON against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.example import Example
from support.project import Project


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """The example, deployed, and then changed in three layers; nobody changes it further."""
    example = Example.copy(tmp_path_factory.mktemp("diff") / "project")
    (example.folder / "old").mkdir()
    for file in ("census.py", "metrics.py"):
        (example.folder / "old" / file).write_bytes((example.folder / "stacks" / file).read_bytes())
    example.flowinfra("up", "--yes")
    example.edit("stacks/census.py", "default=10", "default=20")
    example.edit("stacks/census.py", "times=2", "times=5")
    example.edit("stacks/metrics.py", "ways = 1", "ways = 2")
    return example


LAYERS = ["interface", "code", "code", "policy"]


def layers(example: Example, *arguments: str) -> list[str]:
    """The layers of a difference, one per change."""
    return [change["layer"] for change in example.document("diff", *arguments)["changes"]]


def release_of(example: Example) -> str:
    """The digest of the release that is deployed."""
    digest: str = example.document("outputs")["Census/stdlib"]["release"]
    return digest


def test_a_file_is_compared_with_what_is_deployed(deployed: Example) -> None:
    """One argument is enough; places and the helper that changed are told, and the exit code can say that it differs."""
    done = deployed.flowinfra("diff", "stacks/census.py", "--expect-no-changes", check=False)
    assert done.returncode == 7
    assert "Census/stdlib in dev → stacks/census.py" in done.stdout
    assert "~ parameter limit  default  10 → 20   stacks/census.py:" in done.stdout
    assert "metrics.complexity_of (stacks/metrics.py:" in done.stdout


@pytest.mark.parametrize("before", ["old/census.py", "old/census.py:Census", "Census/stdlib", "stdlib", "Census"])
def test_versions_are_named_in_many_ways(deployed: Example, before: str) -> None:
    """A file and what is deployed of it, by any of its names, differ from the checkout in the same."""
    assert layers(deployed, before, "stacks/census.py") == LAYERS


def test_a_release_is_named_by_its_digest_or_how_that_begins(deployed: Example) -> None:
    """Releases come out of the project's store and cache."""
    digest = release_of(deployed)
    assert layers(deployed, digest, "stacks/census.py") == LAYERS
    assert layers(deployed, digest[:6], "Census/stdlib") == []


def test_json_files_are_versions(deployed: Example) -> None:
    """What `graph --json` prints, a stored release, and a deployment's inputs out of a plan are read."""
    graph = deployed.flowinfra("graph", "old/census.py", "--json").stdout
    (deployed.folder / "graph.json").write_text(graph, encoding="utf-8")
    # the graph that is drawn has no digests of code
    assert layers(deployed, "graph.json", "old/census.py") == ["code"] * 9
    stored = next((deployed.folder / ".flowinfra" / "store" / "releases").glob(f"{release_of(deployed)}*"))
    (deployed.folder / "release.json").write_bytes(stored.read_bytes())
    assert layers(deployed, "release.json", "stacks/census.py") == LAYERS
    plan = deployed.document("preview")
    (change,) = [c for c in plan["changes"] if c["type"] == "flowinfra:index:FlowDeployment"]
    (deployed.folder / "inputs.json").write_text(json.dumps(change["before"]), encoding="utf-8")
    assert layers(deployed, "inputs.json", "Census/stdlib") == []


def test_graphs_are_drawn_as_one(deployed: Example) -> None:
    """As text and as Mermaid, which markdown has too where the shape changed."""
    (deployed.folder / "less").mkdir()
    for file in ("census.py", "metrics.py"):
        (deployed.folder / "less" / file).write_bytes((deployed.folder / "old" / file).read_bytes())
    deployed.edit("less/census.py", "praise", "applaud")
    arguments = ("diff", "old/census.py", "less/census.py")
    text = deployed.flowinfra(*arguments, "--graph", "text").stdout.splitlines()
    assert [line for line in text if line[0] in "+-"] == ["-    praise", "+ └─ if verdict is simple: applaud"]
    mermaid = deployed.flowinfra(*arguments, "--graph", "mermaid").stdout
    assert 'praise_["praise"]:::removed' in mermaid
    assert mermaid in deployed.flowinfra(*arguments, "--markdown").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["dead", "stacks/census.py"], "FI661", "there is no release dead"),
        (["Cencus/stdlib", "stacks/census.py"], "FI665", "did you mean 'Census/stdlib'?"),
        (["missing.json", "stacks/census.py"], "FI663", "missing.json holds no flow"),
        (["Pulumi.yaml", "stacks/census.py"], "FI663", "it is no JSON"),
        (["stacks/metrics.py", "stacks/census.py"], "FI103", ""),
        (["newer.json", "stacks/census.py"], "FI664", "was written by a newer flowinfra"),
        (["list.json", "stacks/census.py"], "FI663", "it is no JSON object"),
        (["wrong.json", "stacks/census.py"], "FI663", "wrong.json holds no flow"),
        (["stacks/census.py", "--stack", "prod"], "FI665", "the stack prod has no deployment 'Census'"),
        (["stacks/census.py", "--stack", "staging"], "FI930", "staging"),
    ],
)
def test_what_is_no_version_is_told(deployed: Example, arguments: list[str], code: str, words: str) -> None:
    """Each kind of mistake has its own finding, with the nearest name where there is one."""
    (deployed.folder / "newer.json").write_text('{"schema_version": 99, "graph": {"steps": []}}', encoding="utf-8")
    (deployed.folder / "list.json").write_text("[]", encoding="utf-8")
    (deployed.folder / "wrong.json").write_text('{"name": "x", "steps": [{"name": "a"}]}', encoding="utf-8")
    done = deployed.flowinfra("diff", *arguments, "--json", check=False)
    assert done.returncode != 0
    (finding,) = json.loads(done.stdout)["diagnostics"]
    assert finding["code"] == code
    assert words in f"{finding['summary']} {finding['detail']}"


def test_a_beginning_that_fits_several_releases_is_refused(tmp_path: Path) -> None:
    """More digits are asked for; nothing is chosen by chance."""
    project = Project(tmp_path)
    cache = tmp_path / ".flowinfra" / "cache" / "compiled"
    cache.mkdir(parents=True)
    for end in "ab":
        (cache / f"{'1234' * 15}000{end}.json").write_text("{}", encoding="utf-8")
    (finding,) = project.findings("diff", "1234", "1234")
    assert finding["code"] == "FI662"
