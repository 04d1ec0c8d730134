"""What the example looks like in every view. `make golden` rewrites the files; their diff is part of a review."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.example import ROOT, Example
from support.golden import Golden


@pytest.mark.parametrize("form", ["text", "mermaid", "dot"])
def test_graph(golden: Golden, form: str) -> None:
    """The graph of the example as text, Mermaid and DOT."""
    from flowinfra.authoring.loader import load_flow
    from flowinfra.compiler.draw import draw
    from flowinfra.packaging.build import build

    built = build(load_flow(ROOT / "stacks" / "census.py"))
    golden.check(f"example/graph.{ {'text': 'txt', 'mermaid': 'mmd', 'dot': 'dot'}[form] }", draw(built.graph, form))


def test_release(golden: Golden) -> None:
    """Graph and program of the example as they are stored; equal bytes for every user, folder and Python."""
    from flowinfra.authoring.loader import load_flow
    from flowinfra.packaging.build import build

    built = build(load_flow(ROOT / "stacks" / "census.py"))
    document = json.loads(built.release_bytes)
    document["flowinfra"] = "<version>"
    golden.check("example/release.json", json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def test_plans(golden: Golden, tmp_path: Path) -> None:
    """Previews of the example: new, and changed in several layers; as text, and as JSON where no machine shows."""
    example = Example.copy(tmp_path / "project")
    golden.check("example/preview-new.txt", _without_digests(example.flowinfra("preview").stdout))
    example.flowinfra("up", "--yes")
    golden.check("example/preview-same.txt", example.flowinfra("preview").stdout)
    example.edit("stacks/census.py", "default=10", "default=20")
    example.edit("stacks/census.py", "times=2", "times=5")
    example.edit("stacks/metrics.py", "ways = 1", "ways = 2")
    golden.check("example/preview-changed.txt", _without_digests(example.flowinfra("preview").stdout))
    plan = example.document("preview")
    (component,) = [c for c in plan["changes"] if c["type"] == "flowinfra:index:FlowDeployment"]
    layers = [{k: v for k, v in c.items() if k not in ("before", "after")} for c in component["flow"]["changes"]]
    golden.check("example/preview-changed.json", json.dumps(layers, indent=2) + "\n")
    golden.check("example/destroy.txt", example.flowinfra("destroy", "--yes").stdout)


def _without_digests(text: str) -> str:
    """Digests as their lengths: what they are is checked where the release is."""
    import re

    return re.sub(r"\b[0-9a-f]{8,64}\b", lambda m: "#" * len(m[0]), text)


def test_readme_shows_a_preview_as_it_looks(root: Path) -> None:
    """The preview in the README is the golden one, but for digests."""
    text = (root / "README.md").read_text(encoding="utf-8")
    shown = text.split("<!-- preview -->")[1].split("<!-- /preview -->")[0].strip().strip("`").strip()
    expected = (root / "tests/golden/example/preview-changed.txt").read_text(encoding="utf-8").strip()
    assert _without_digests(shown) == expected, os.linesep.join(["", expected])
