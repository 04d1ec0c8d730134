from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowinfra import wire
from flowinfra.diagnostics import FlowinfraError, PackagingError
from flowinfra.packaging.store import KeyMissing, Store, absolute_url
from support.child import Python


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store") if request.param == "file" else "memory://")


def refused(action: Callable[[], object]) -> PackagingError:
    with pytest.raises(PackagingError) as caught:
        action()
    return caught.value


class TestObjects:
    def test_what_is_put_is_read(self, store: Store) -> None:
        """An object comes back byte for byte, is overwritten by put, and is gone after delete."""
        store.put("a/b", b"\x00one")
        assert (store.get("a/b"), store.size("a/b"), store.exists("a/b")) == (b"\x00one", 4, True)
        store.put("a/b", b"")
        assert (store.get("a/b"), store.size("a/b")) == (b"", 0)
        store.delete("a/b")
        store.delete("a/b")
        assert (store.find("a/b"), store.size("a/b"), store.exists("a/b")) == (None, None, False)

    def test_a_large_object_is_whole(self, store: Store) -> None:
        """Objects beyond the size at which uploads are cut into parts come back whole."""
        data = os.urandom(1 << 20) * 12
        store.put("large", data)
        assert store.create("large2", data)
        assert store.get("large") == data == store.get("large2")

    def test_create_writes_once(self, store: Store) -> None:
        """The first create wins, the second reports that it lost and changes nothing."""
        assert store.create("k", b"first") is True
        assert store.create("k", b"second") is False
        assert store.get("k") == b"first"

    def test_content_that_is_there_counts_as_written(self, store: Store) -> None:
        """Writing content under its own digest twice is no error."""
        store.put_content("blobs/x", b"same")
        store.put_content("blobs/x", b"same")
        assert store.get("blobs/x") == b"same"

    def test_what_is_missing_is_named(self, store: Store) -> None:
        """A missing object is KeyMissing with its key, for every way of reading."""
        for read in (store.get, store.get_json, lambda k: store.get_range(k, 0, 3), lambda k: store.get_range(k, 0, 0)):
            with pytest.raises(KeyMissing) as caught:
                read("runs/none")
            assert caught.value.key == "runs/none"
            assert [d.code for d in caught.value.diagnostics] == ["FI401"]
        assert store.find("runs/none") is None

    def test_ranges_end_where_the_object_ends(self, store: Store) -> None:
        """A range gives what there is of it, and nothing behind the end; a negative one is a mistake."""
        store.put("k", b"0123456789")
        assert store.get_range("k", 2, 3) == b"234"
        assert store.get_range("k", 8, 99) == b"89"
        assert store.get_range("k", 10, 1) == b""
        assert store.get_range("k", 99, 1) == b""
        assert store.get_range("k", 0, 0) == b""
        with pytest.raises(ValueError, match="negative"):
            store.get_range("k", -1, 2)

    def test_json_is_read_and_broken_json_is_named(self, store: Store) -> None:
        """A JSON document comes back as its value; one that is cut is an error that names the key."""
        store.put("d.json", json.dumps({"a": [1, "é"]}).encode())
        assert store.get_json("d.json") == {"a": [1, "é"]}
        store.put("d.json", b'{"a": [1')
        only = refused(lambda: store.get_json("d.json")).diagnostics[0]
        assert (only.code, "'d.json'" in only.summary) == ("FI404", True)

    def test_a_folder_is_no_object(self, store: Store) -> None:
        """What is only the beginning of other keys cannot be read, and removing it removes nothing."""
        store.put("a/b/c", b"1")
        assert (store.find("a/b"), store.size("a"), store.exists("a/b")) == (None, None, False)
        store.delete("a/b")
        assert store.get("a/b/c") == b"1"
        assert (store.find("a/b/c/d"), store.size("a/b/c/d")) == (None, None)


class TestListings:
    KEYS = ("a", "b-c/1", "b.c/1", "b/1", "b/10", "b/2", "b/d/e", "bc", "é")

    def fill(self, store: Store) -> None:
        for key in reversed(self.KEYS):
            store.put(key, b"")

    def test_keys_come_in_lexical_order(self, store: Store) -> None:
        """Keys are sorted by code point, also where a folder's name is the beginning of another's."""
        self.fill(store)
        assert list(store.list("")) == sorted(self.KEYS)
        assert list(store.list("b")) == list(store.list("b/")) == ["b/1", "b/10", "b/2", "b/d/e"]

    def test_a_listing_starts_behind_a_key(self, store: Store) -> None:
        """With after, the listing goes on behind that key, whether or not it exists."""
        self.fill(store)
        everything = sorted(self.KEYS)
        for after in (*everything, "b/1zz", "b-c", "b", "0", "zz"):
            assert list(store.list("", after=after)) == [k for k in everything if k > after]
        assert list(store.list("b", after="b/2")) == ["b/d/e"]

    def test_folders_and_names_are_one_level(self, store: Store) -> None:
        """Folders and objects right in a folder are told apart, sorted, and without what is deeper."""
        self.fill(store)
        assert store.folders("") == ["b", "b-c", "b.c"]
        assert store.names("") == ["a", "bc", "é"]
        assert (store.folders("b/"), store.names("b")) == (["d"], ["1", "10", "2"])
        assert (store.folders("none"), store.names("none/"), list(store.list("none"))) == ([], [], [])

    def test_a_listing_is_lazy(self, tmp_path: Path) -> None:
        """On local files a listing looks into a folder only when it gets there."""
        store = Store.open(str(tmp_path))
        store.put("a/1", b"")
        store.put("b/1", b"")
        keys = store.list("")
        assert next(keys) == "a/1"
        store.put("b/2", b"")
        assert list(keys) == ["b/1", "b/2"]

    def test_unfinished_files_are_not_listed(self, tmp_path: Path) -> None:
        """What a writer that was killed left behind is no object."""
        store = Store.open(str(tmp_path))
        store.put("a/k", b"")
        (tmp_path / "a" / "k#1").write_bytes(b"half")
        assert (list(store.list("")), store.names("a")) == (["a/k"], ["k"])


class TestKeys:
    WIRE = (
        wire.bundle_key("ab" * 32),
        wire.release_key("cd" * 32),
        wire.version_key("prod", "a flow & more", "1.0+x@y ü%41#z~!$'()*,;=:[]"),
        wire.blob_key("Flow with spaces / and more", "ef" * 32),
        wire.run_key("f", wire.run_id("0123abcd", "20240101-000000-ffffffffff"), "run.json"),
        wire.task_key("f", "r", "step_1", "0.2-1.7." + "a" * 32, "artifacts.json"),
        wire.log_key(
            wire.task_key("f", "r", "s", "0") + "attempts/" + wire.attempt_folder("0", "x.y-z") + "/", "out", 0
        ),
        wire.index_key("f", 1_700_000_000_000, "0123abcd-name"),
    )

    def test_all_characters_of_the_wire_round_trip(self, store: Store) -> None:
        """Every kind of key comes back from the listing as it was written, and reads what was written."""
        for n, key in enumerate(self.WIRE):
            assert store.create(key, str(n).encode())
        assert list(store.list("")) == sorted(self.WIRE)
        for n, key in enumerate(self.WIRE):
            assert store.get(key) == str(n).encode()
            folder, _, name = key.rpartition("/")
            assert name in store.names(folder)

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", ".", "a/../b", "./a", "a\nb", "a\x00", "\ud800", "k#12", "x" * 256]
    )
    def test_a_key_that_some_store_cannot_hold_is_refused_by_all(self, store: Store, key: str) -> None:
        """A key that would change its meaning or cannot be written is refused before anything is done."""
        for action in (
            store.get,
            store.find,
            store.size,
            store.delete,
            lambda k: store.put(k, b""),
            lambda k: store.create(k, b""),
        ):
            assert [d.code for d in refused(lambda a=action: a(key)).diagnostics] == ["FI405"]
        assert list(store.list("")) == []


class TestOpening:
    def test_opening_and_reading_makes_nothing(self, tmp_path: Path) -> None:
        """A store that is only opened and read leaves no folder behind."""
        store = Store.open(str(tmp_path / "none"))
        assert (store.find("a"), store.size("a"), list(store.list("")), store.folders("")) == (None, None, [], [])
        store.delete("a")
        assert list(tmp_path.iterdir()) == []

    def test_the_url_opens_the_same_store(self, tmp_path: Path) -> None:
        """A path with special characters becomes a URL that leads to the same objects."""
        store = Store.open(str(tmp_path / "a b#1 %41 ü?"))
        store.put("k", b"v")
        assert store.url.startswith("file:///")
        assert Store.open(store.url).get("k") == b"v"
        assert absolute_url(store.url) == store.url

    def test_a_relative_path_keeps_its_meaning(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store opened by a relative path has an absolute URL."""
        monkeypatch.chdir(tmp_path)
        assert Store.open("here").url == (tmp_path / "here").as_uri()

    def test_each_memory_store_is_its_own(self) -> None:
        """Two memory stores share nothing."""
        first, second = Store.open("memory://"), Store.open("memory://")
        first.put("k", b"")
        assert second.find("k") is None

    @pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket/prefix"])
    def test_cloud_stores_open_without_a_connection(self, url: str) -> None:
        """Opening a bucket needs no network and keeps its URL."""
        assert Store.open(url).url == url

    @pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "file://elsewhere/x", "memory://x"])
    def test_a_url_that_cannot_be_opened_is_named(self, url: str) -> None:
        """The error names the URL and what would do."""
        only = refused(lambda: Store.open(url)).diagnostics[0]
        assert (only.code, url in only.summary) == ("FI402", True)

    def test_opening_starts_no_thread_and_imports_no_pydantic(self, tmp_path: Path, python: Python) -> None:
        """A process may open a store and then fork: no thread runs yet, and the model is not loaded."""
        code = (
            "import os, sys, threading\n"
            "from flowinfra.packaging.store import Store\n"
            "import flowinfra.packaging.unpack, flowinfra.packaging.release\n"
            "for url in sys.argv[1:]: Store.open(url)\n"
            "threads = '/proc/self/task'\n"
            "assert not os.path.isdir(threads) or len(os.listdir(threads)) == 1, os.listdir(threads)\n"
            "assert not {'pydantic', 'asyncio', 'pulumi'} & set(sys.modules)\n"
        )
        urls = [str(tmp_path / "s"), "memory://", "s3://bucket/x"]
        python.code(code, *urls)

    def test_the_error_survives_a_process_boundary(self) -> None:
        """A missing key can be sent from a worker to its parent."""
        back = pickle.loads(pickle.dumps(KeyMissing("a/b", "memory://")))
        assert isinstance(back, FlowinfraError)
        assert (back.key, str(back)) == ("a/b", str(KeyMissing("a/b", "memory://")))


class TestFailures:
    def test_a_write_beyond_the_limit_names_key_and_reason(self, tmp_path: Path, python: Python) -> None:
        """When the system refuses more bytes, the error names the key and the system's words, and leaves nothing half."""
        code = (
            "import resource, sys\n"
            "from flowinfra.diagnostics import PackagingError\n"
            "from flowinfra.packaging.store import Store\n"
            "store = Store.open(sys.argv[1])\n"
            "assert store.create('ok', b'x' * 100)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "for write in (store.put, store.create):\n"
            "    try: write('blobs/large', b'x' * 5000)\n"
            "    except PackagingError as exc: found = exc.diagnostics[0]\n"
            "    else: raise SystemExit('it was written')\n"
            "    assert found.code == 'FI403' and 'blobs/large' in found.summary, found\n"
            "    assert 'File too large' in found.summary and 'free space' in found.hint, found\n"
        )
        python.code(code, str(tmp_path))
        assert list(Store.open(str(tmp_path)).list("")) == ["ok"]
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "ok"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission_is_named(self, tmp_path: Path) -> None:
        """Where the user may not write, the error says so and names the key."""
        tmp_path.chmod(0o500)
        only = refused(lambda: Store.open(str(tmp_path)).put("a/b", b"")).diagnostics[0]
        tmp_path.chmod(0o700)
        assert (only.code, "'a/b'" in only.summary, "right" in only.hint) == ("FI403", True, True)

    def test_an_object_in_the_way_is_named(self, tmp_path: Path) -> None:
        """On local files a key below another object cannot be written, and the error says which."""
        store = Store.open(str(tmp_path))
        store.put("a", b"")
        only = refused(lambda: store.put("a/b", b"")).diagnostics[0]
        assert (only.code, "'a/b'" in only.summary) == ("FI403", True)

    def test_a_root_that_is_a_file_is_named(self, tmp_path: Path) -> None:
        """A store whose folder is a file has nothing in it and cannot be written."""
        (tmp_path / "f").touch()
        store = Store.open(str(tmp_path / "f"))
        assert (store.find("a"), list(store.list(""))) == (None, [])
        assert [d.code for d in refused(lambda: store.put("a", b"")).diagnostics] == ["FI403"]


def _race(url: str, keys: list[str], start: Any, won: Any) -> None:
    store = Store.open(url)
    for key in keys:
        start.wait()
        if store.create(key, str(os.getpid()).encode()):
            won.put((key, os.getpid()))


def test_of_processes_that_create_at_once_exactly_one_wins(tmp_path: Path) -> None:
    """When two processes create one key at the same moment, one gets True and its bytes are there."""
    context = multiprocessing.get_context("spawn")
    url, keys = Store.open(str(tmp_path)).url, [f"runs/r/{n}" for n in range(50)]
    start, won = context.Barrier(2), context.Queue()
    racers = [context.Process(target=_race, args=(url, keys, start, won)) for _ in range(2)]
    for racer in racers:
        racer.start()
    winners = [won.get(timeout=300) for _ in keys]
    for racer in racers:
        racer.join()
    assert ([r.exitcode for r in racers], won.empty()) == ([0, 0], True)
    assert sorted(key for key, _ in winners) == sorted(keys)
    assert {key: Store.open(url).get(key) for key in keys} == {key: str(pid).encode() for key, pid in winners}


# Leaves and folders have different alphabets, so that no key is the folder of another one.
_folders = st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "B", "é", "a b"]), max_size=3)
_leaves = st.sampled_from(["1", "2", "1.2", "1-2", "x+%@", "12#x"])
_keys = st.builds(lambda folders, leaf: "/".join([*folders, leaf]), _folders, _leaves)
_operations = st.one_of(
    st.tuples(st.sampled_from(["put", "create", "put_content"]), _keys, st.binary(max_size=20)),
    st.tuples(st.sampled_from(["find", "exists", "size", "delete"]), _keys),
    st.tuples(st.just("get_range"), _keys, st.integers(0, 25), st.integers(0, 25)),
    st.tuples(st.sampled_from(["folders", "names"]), _folders.map("/".join)),
    st.tuples(st.just("list"), _folders.map("/".join), st.none() | _keys),
)


def _do(store: Store, operation: tuple[Any, ...]) -> Any:
    name, *arguments = operation
    try:
        if name == "list":
            return list(store.list(arguments[0], after=arguments[1]))
        return getattr(store, name)(*arguments)
    except KeyMissing as exc:
        return ("missing", exc.key)


@given(st.lists(_operations, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_local_files_and_memory_behave_equally(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[Any, ...]]
) -> None:
    """The same sequence of operations has the same results on local files and in memory."""
    local, memory = Store.open(str(tmp_path_factory.mktemp("s"))), Store.open("memory://")
    for operation in operations:
        assert _do(local, operation) == _do(memory, operation), operation
    assert list(local.list("")) == list(memory.list(""))


def test_many_stores_in_one_process_write_one_key(tmp_path: Path) -> None:
    """Threads with a store of their own that create the same object at once: one gets True, and none is disturbed."""
    barrier = threading.Barrier(8)

    def write(number: int) -> list[bool]:
        store = Store.open(str(tmp_path / "store"))
        barrier.wait()
        return [store.create(f"bundles/{i}", b"x" * 1000) for i in range(50)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(write, range(8)))
    assert [sum(each) for each in zip(*found, strict=True)] == [1] * 50
    assert list(Store.open(str(tmp_path / "store")).list("")) == sorted(f"bundles/{i}" for i in range(50))


def test_a_write_where_a_folder_is_leaves_no_file(tmp_path: Path) -> None:
    """What was written beside it before it could get its name is removed."""
    store = Store.open(str(tmp_path / "store"))
    store.put("a/b", b"x")
    with pytest.raises(PackagingError, match="FI403"):
        store.put("a", b"y")
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["a"]
