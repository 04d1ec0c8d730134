from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowinfra import wire
from flowinfra.diagnostics import PackagingError
from flowinfra.packaging.bundle import build
from flowinfra.packaging.manifest import bundle_file, manifest_digest
from flowinfra.packaging.store import KeyMissing, Store
from flowinfra.packaging.unpack import ensure_unpacked, unpack
from flowinfra.sources.walk import walk
from support.child import Python

FILES = {"flow.py": b"import pkg.a\n", "pkg/__init__.py": b"", "pkg/a.py": b"x = 1\n"}


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: Any
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def digest_of(files: dict[str, bytes]) -> str:
    return manifest_digest(bundle_file(path, content) for path, content in files.items())


GOOD = tar(member(path, content) for path, content in FILES.items())
DIGEST = digest_of(FILES)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(data: bytes, digest: str, into: Path) -> str:
    with pytest.raises(PackagingError) as caught:
        unpack(data, digest, into)
    only = caught.value.diagnostics[0]
    assert only.code == "FI420"
    assert not into.exists()
    assert list(into.parent.glob("*")) == []
    return only.summary


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    """What was built from a flow's sources is, unpacked, the same files with the same content, readable by all."""
    for path, content in FILES.items():
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / path).write_bytes(content)
    bundle = build(walk(tmp_path / "src" / "flow.py"))
    folder = unpack(bundle.data, bundle.digest, tmp_path / "deep" / "er")
    assert contents(folder) == FILES
    assert {oct(p.stat().st_mode & 0o777) for p in folder.rglob("*") if p.is_file()} == {"0o644"}
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [m.path for m in walk(folder / "flow.py").modules] == sorted(FILES)


def test_unpacking_again_changes_nothing(tmp_path: Path) -> None:
    """A folder that is there is left as it is, and nothing temporary stays beside it."""
    into = tmp_path / "x"
    unpack(GOOD, DIGEST, into)
    before = (into / "flow.py").stat().st_mtime_ns
    assert unpack(GOOD, DIGEST, into) == into
    assert (into / "flow.py").stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [into]


def test_an_empty_bundle_is_a_folder(tmp_path: Path) -> None:
    """A bundle without files unpacks to an empty folder."""
    assert contents(unpack(tar([]), digest_of({}), tmp_path / "x")) == {}


@pytest.mark.parametrize(
    "data",
    [
        tar([]),
        tar([member("flow.py", b"import pkg.a\n")]),
        tar([*(member(p, c) for p, c in FILES.items()), member("extra.py")]),
        tar([member(p, c + b" ") for p, c in FILES.items()]),
        tar([member(f"x/{p}", c) for p, c in FILES.items()]),
        GOOD[:1000],
        GOOD[:100],
        b"",
        b"no tar at all" * 100,
    ],
    ids=["empty", "less", "more", "changed", "moved", "cut", "cut in the header", "nothing", "garbage"],
)
def test_other_content_is_refused(tmp_path: Path, data: bytes) -> None:
    """Anything but exactly the files that the digest names is refused before a byte is written."""
    assert DIGEST[:12] in refused(data, DIGEST, tmp_path / "x")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (member("../out.py"), "plain path"),
        (member("a/../../out.py"), "plain path"),
        (member("/abs.py"), "plain path"),
        (member("a//b.py"), "plain path"),
        (member("./a.py"), "plain path"),
        (member("."), "plain path"),
        (member("link", kind=tarfile.SYMTYPE, linkname="/etc/passwd"), "plain file"),
        (member("hard", kind=tarfile.LNKTYPE, linkname="flow.py"), "plain file"),
        (member("dir", kind=tarfile.DIRTYPE), "plain file"),
        (member("dev", kind=tarfile.CHRTYPE), "plain file"),
        (member("fifo", kind=tarfile.FIFOTYPE), "plain file"),
        (member("sparse", kind=tarfile.GNUTYPE_SPARSE), "plain file"),
        (member("flow.py", b"second"), "twice"),
    ],
)
def test_what_no_bundle_holds_is_refused_even_with_a_fitting_digest(
    tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes], word: str
) -> None:
    """Links, devices, folders, paths out of the folder and files that are there twice are refused by name."""
    info, content = bad
    digest = manifest_digest([*(bundle_file(p, c) for p, c in FILES.items()), bundle_file(info.name, content)])
    summary = refused(tar([*(member(p, c) for p, c in FILES.items()), bad]), digest, tmp_path / "in" / "x")
    assert word in summary
    assert repr(info.name) in summary
    assert not (tmp_path / "out.py").exists()


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_tar_never_unpacks_to_something_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever bytes of a tar are changed: either the same files come out, or it is refused."""
    damaged = bytearray(GOOD)
    for place in data.draw(st.lists(st.integers(0, len(GOOD) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("d")
    try:
        found = contents(unpack(bytes(damaged), DIGEST, folder / "in" / "x"))
    except PackagingError as exc:
        codes, found = [d.code for d in exc.diagnostics], contents(folder)
    else:
        codes = []
    assert (codes, found) in (([], FILES), (["FI420"], {}))


def test_a_bundle_is_fetched_once(tmp_path: Path) -> None:
    """The first call reads the store, the next ones find the folder."""
    store = Store.open("memory://")
    store.put_content(wire.bundle_key(DIGEST), GOOD)
    folder = ensure_unpacked(store, DIGEST, tmp_path)
    store.delete(wire.bundle_key(DIGEST))
    assert ensure_unpacked(store, DIGEST, tmp_path) == folder == tmp_path / "bundles" / DIGEST
    assert contents(folder) == FILES


def test_a_bundle_that_is_not_stored_is_missing(tmp_path: Path) -> None:
    """Asking for an unknown bundle is KeyMissing and leaves the cache empty."""
    with pytest.raises(KeyMissing):
        ensure_unpacked(Store.open("memory://"), DIGEST, tmp_path)
    assert list(tmp_path.iterdir()) == []


def _unpack_at_once(data: bytes, digest: str, into: str, start: Any) -> None:
    start.wait()
    folder = unpack(data, digest, Path(into))
    assert len(contents(folder)) == 200


def test_processes_that_unpack_at_once_all_succeed(tmp_path: Path) -> None:
    """Several processes that unpack one bundle at the same moment all get the whole folder, and nothing is left over."""
    files = {f"d{n % 7}/m{n}.py": b"x" * n for n in range(200)}
    data, digest = tar(member(p, c) for p, c in files.items()), digest_of(files)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    arguments = (data, digest, str(tmp_path / "x"), start)
    workers = [context.Process(target=_unpack_at_once, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0, 0]
    assert contents(tmp_path / "x") == files
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, python: Python) -> None:
    """When the system refuses more bytes, the error says why, and no folder is there that looks complete."""
    files = {"a.py": b"x = 1\n", "large.csv": b"x" * 5000}
    (tmp_path / "tar").write_bytes(tar(member(p, c) for p, c in files.items()))
    code = (
        "import pathlib, resource, sys\n"
        "from flowinfra.diagnostics import PackagingError\n"
        "from flowinfra.packaging.unpack import unpack\n"
        "here = pathlib.Path(sys.argv[1]); data = (here / 'tar').read_bytes()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: unpack(data, sys.argv[2], here / 'in' / 'x')\n"
        "except PackagingError as exc: print(exc)\n"
    )
    said = python.code(code, str(tmp_path), digest_of(files))
    assert "FI422" in said
    assert os.strerror(27) in said
    assert list((tmp_path / "in").iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """Where the folder cannot be made, the error names it."""
    (tmp_path / "f").touch()
    for into in (tmp_path / "f", tmp_path / "f" / "x"):
        with pytest.raises(PackagingError) as caught:
            unpack(GOOD, DIGEST, into)
        assert [(d.code, str(into) in d.summary) for d in caught.value.diagnostics] == [("FI422", True)]
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_unpacking_needs_no_pydantic(tmp_path: Path, python: Python) -> None:
    """The task program unpacks its code without loading the model or the sources."""
    code = (
        "import sys\nimport flowinfra.packaging.unpack, flowinfra.packaging.release\n"
        "print(*sorted({'pydantic', 'asyncio', 'obstore', 'flowinfra.sources.walk'} & set(sys.modules)))"
    )
    assert python.code(code, cwd=tmp_path).split() == []
