"""What a project keeps of what it has compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowinfra.authoring.loader import load_flow
from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.build import Built, Compiled, compile_flow
from flowinfra.packaging.cache import cache_bundle, cache_release, cached_bundle, cached_release
from flowinfra.packaging.home import Home

FLOW = """
import datetime
from flowinfra import FlowSpec, Parameter, step

class Small(FlowSpec):
    size = Parameter("the-size", default=3, help="how large")
    day = Parameter("day", type=datetime.date, default=datetime.date(2020, 1, 1))
    computed = Parameter("computed", type=float, default=lambda: 1.5)
    label = Parameter("label", type=str, required=True)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.find(environ={"FLOWINFRA_HOME": str(tmp_path / "home")})


@pytest.fixture
def compiled(tmp_path: Path, home: Home) -> Compiled:
    (tmp_path / "small_cached.py").write_text(FLOW)
    return compile_flow(load_flow(tmp_path / "small_cached.py", "Small"), home)


def test_a_flow_that_was_compiled_before_is_the_same(tmp_path: Path, home: Home, compiled: Compiled) -> None:
    """Whoever runs it sees no difference, also in what its parameters say."""
    again = compile_flow(load_flow(tmp_path / "small_cached.py", "Small"), home)
    assert isinstance(compiled, Built)
    assert not isinstance(again, Built)
    assert again.parameters == compiled.parameters
    assert (again.release, again.release_bytes) == (compiled.release, compiled.release_bytes)


def test_a_bundle_that_was_cut_is_refused_and_written_again(home: Home, compiled: Compiled) -> None:
    """What a crash has left must not be published under the digest, nor stand in the way for ever."""
    bundle = compiled.bundle
    cache_bundle(home, bundle.digest, bundle.data)
    (file,) = (home.cache / "compiled").glob("*.tar")
    file.write_bytes(bundle.data[:700])
    with pytest.raises(PackagingError, match="FI450"):
        cached_bundle(home, bundle.digest)
    cache_bundle(home, bundle.digest, bundle.data)
    assert cached_bundle(home, bundle.digest) == bundle.data


def test_a_release_that_was_cut_is_written_again(home: Home, compiled: Compiled) -> None:
    """The same for releases."""
    (file,) = (home.cache / "compiled").glob("*.json")
    file.write_bytes(b"")
    cache_release(home, compiled.release, compiled.release_bytes)
    assert cached_release(home, compiled.release) == compiled.release_bytes


def test_a_write_that_fails_leaves_no_file(home: Home, compiled: Compiled) -> None:
    """Where the place is taken by a folder, nothing temporary stays beside it."""
    (home.cache / "compiled" / "0.tar").mkdir()
    before = sorted((home.cache / "compiled").iterdir())
    with pytest.raises(PackagingError, match=r"(?s)FI451.*0\.tar"):
        cache_bundle(home, "0", b"x")
    assert sorted((home.cache / "compiled").iterdir()) == before
