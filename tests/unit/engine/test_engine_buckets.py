"""State in a bucket: a server of S3's protocol runs in this process."""

from __future__ import annotations

import logging
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from moto.server import ThreadedMotoServer

from engines.toy.library import Thing
from engines.toy.provider import Toy
from engines.toy.world import World, actions, nothing
from flowinfra.control.stacks import backend_url, known_stacks
from flowinfra.diagnostics import EngineError
from flowinfra.engine.base import StackRef
from flowinfra.engine.config import Project
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.backend import Backend
from flowinfra.engine.state.objects import Bucket, parse_url
from flowinfra.engine.state.storage import Folder, Overtaken, Storage
from flowinfra.packaging.home import Home

QUERY = "disableSSL=true&s3ForcePathStyle=true&region=us-east-1&awssdk=v2"


@dataclass(frozen=True)
class Server:
    """An S3 of its own."""

    port: int

    def url(self, bucket: str = "states", prefix: str = "/team", port: int | None = None) -> str:
        return f"s3://{bucket}{prefix}?endpoint=127.0.0.1:{port or self.port}&{QUERY}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with the bucket `states`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    made = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    _, port = made.get_host_and_port()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/states", method="PUT")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
    yield Server(port)
    made.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def one(**inputs: Any) -> Callable[[], None]:
    return lambda: Thing("a", payload=pulumi.Output.secret("s3cret"), **inputs) and None


def ref(world: World, url: str, program: Callable[[], object], stack: str = "dev") -> StackRef:
    return replace(world.ref(program), backend_url=url, stack=stack)


def test_a_stack_lives_in_a_bucket_as_in_a_folder(world: World, server: Server) -> None:
    """Created, unchanged, updated, destroyed; the layout is that of the real CLI, no lock and no journal stays."""
    url = server.url(prefix="/life")
    engine = world.engine()
    engine.up(ref(world, url, one()))
    bucket = Bucket(url, ".pulumi")
    assert bucket.names("stacks/proj") == ["dev.json", "dev.json.bak"]
    assert bucket.exists("meta.yaml")
    assert len(bucket.names("history/proj/dev")) == 2
    assert bucket.names("locks/organization/proj/dev") == []
    assert bucket.names("journals/proj/dev.jsonl") == []
    before = bucket.read("stacks/proj/dev.json")
    assert not engine.up(ref(world, url, one())).applyable
    assert bucket.read("stacks/proj/dev.json") == before
    assert actions(engine.up(ref(world, url, one(size=2)))) == {"a": "update"}
    assert Backend.open(url).stacks("proj") == ["dev"]
    engine.destroy(ref(world, url, nothing))
    assert world.live() == []
    Backend.open(url).stack("proj", "dev").remove()
    assert Backend.open(url).stacks("proj") == []


def test_a_killed_operation_is_continued_from_the_bucket(world: World, server: Server) -> None:
    """Its journal is there as objects; the orphan is found."""
    url = server.url(prefix="/killed")

    class Dying(Toy):
        async def create(self, request: Any) -> Any:
            made = await super().create(request)
            if not request.preview:
                raise SystemExit("killed")
            return made

    dying = EmbeddedEngine({"toy": lambda: Dying(world.cloud)}, passphrase=world.secrets)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - how it ends is not what is tested here
        dying.up(ref(world, url, one()))
    assert actions(world.engine().up(ref(world, url, one()))) == {}
    assert len(world.live()) == 1


def test_only_one_of_several_holds_a_stack_in_a_bucket(world: World, server: Server) -> None:
    """The lock is written only where there is none."""
    url = server.url(prefix="/locks")
    start = threading.Barrier(4)
    told: list[str] = []

    def run() -> None:
        start.wait()
        try:
            world.engine().up(ref(world, url, one(sleep=1)))
            told.append("done")
        except EngineError as problem:
            told.append(problem.diagnostics[0].code)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["FI620"] * 3 + ["done"]
    assert len(world.live()) == 1


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_both_storages_behave_alike(tmp_path: Path, server: Server, kind: str) -> None:
    """Conditional writes, create-only writes, listings, logs."""
    storage: Storage = Folder(tmp_path) if kind == "folder" else Bucket(server.url(prefix=f"/{kind}"), ".pulumi")
    assert storage.read("a/b") is None
    assert not storage.exists("a/b")
    first = storage.write("a/b", b"1", over="")
    stored = storage.read("a/b")
    assert stored is not None
    assert (stored.data, stored.version) == (b"1", first)
    for wrong in ("", "something"):
        with pytest.raises(Overtaken):
            storage.write("a/b", b"2", over=wrong)
    second = storage.write("a/b", b"2", over=first, backup="a/b.bak")
    assert second != first
    backup = storage.read("a/b.bak")
    assert backup is not None
    assert backup.data == b"1"
    assert storage.create("l/x", b"mine")
    assert not storage.create("l/x", b"theirs")
    storage.copy("a/b", "c/d")
    assert storage.names("a") == ["b", "b.bak"]
    assert storage.names("nowhere") == []
    log = storage.log("j/log")
    for part in (b"one\n", b"two\n"):
        log.append(part)
    log.close()
    assert storage.read_log("j/log") == b"one\ntwo\n"
    storage.log("j/log").close()
    assert not storage.read_log("j/log")
    storage.delete_log("j/log")
    assert storage.read_log("j/log") is None
    storage.delete("a/b")
    storage.delete("a/b")
    storage.remove("a")
    assert storage.names("a") == []


def test_a_write_that_was_answered_too_late_is_not_taken_for_somebody_elses(server: Server) -> None:
    """The second try of a lock or a checkpoint finds what the first one has written: that is its own."""
    bucket = Bucket(server.url(prefix="/late"), ".pulumi")
    assert bucket.create("l/x", b"mine")
    assert bucket.create("l/x", b"mine")
    assert not bucket.create("l/x", b"theirs")
    first = bucket.write("a", b"1")
    second = bucket.write("a", b"2", over=first)
    assert bucket.write("a", b"2", over=first) == second


def test_whoever_has_lost_the_lock_does_not_write_into_the_next_log(server: Server) -> None:
    """What he still appends belongs to no log that anybody reads."""
    bucket = Bucket(server.url(prefix="/zombie"), ".pulumi")
    lost = bucket.log("j")
    lost.append(b"lost 0\n")
    log = bucket.log("j")
    log.append(b"0\n")
    lost.append(b"lost 1\n")
    log.append(b"1\n")
    lost.append(b"lost 2\n")
    assert bucket.read_log("j") == b"0\n1\n"
    bucket.delete_log("j")
    lost.append(b"lost 3\n")
    assert bucket.read_log("j") is None


def test_a_bucket_that_cannot_be_used_is_told_precisely_and_nothing_is_deployed(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such bucket, nobody at the endpoint, no credentials."""
    for url, words in (
        (server.url(bucket="missing"), "there is no such bucket"),
        (server.url(port=1), "nobody listens at the endpoint"),
    ):
        with pytest.raises(EngineError, match=f"FI619(?s:.*){words}"):
            world.engine().up(ref(world, url, one()))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(EngineError, match=r"FI619(?s:.*)AWS_ACCESS_KEY_ID is not"):
        world.engine().up(ref(world, server.url(), one()))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(world.root))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(EngineError, match="FI619"):
        world.engine().up(ref(world, server.url(), one()))
    assert world.live() == []


def test_urls_mean_what_they_mean_to_the_real_cli(tmp_path: Path) -> None:
    """Its parameters, the environment, and profiles of the shared files."""
    bucket, prefix, config = parse_url(f"s3://b/p/q?endpoint=h:9&{QUERY}", {"AWS_ACCESS_KEY_ID": "k"})
    assert (bucket, prefix) == ("b", "p/q")
    assert config == {"region": "us-east-1", "endpoint": "http://h:9", "virtual_hosted_style_request": False}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[team]\naws_access_key_id = i\naws_secret_access_key = s\n", encoding="utf-8"
    )
    (tmp_path / ".aws" / "config").write_text("[profile team]\nregion = eu-west-1\n", encoding="utf-8")
    _, _, config = parse_url("s3://b?profile=team", {"HOME": str(tmp_path)})
    assert config == {
        "region": "eu-west-1", "access_key_id": "i", "secret_access_key": "s", "virtual_hosted_style_request": True,
    }  # fmt: skip
    for wrong in ("s3://", "s3://b?colour=blue"):
        with pytest.raises(ValueError, match=r"bucket|colour"):
            parse_url(wrong, {})
        with pytest.raises(EngineError, match="FI613"):
            Backend.open(wrong)


def test_the_backend_is_that_of_the_environment_then_of_the_project(
    tmp_path: Path, server: Server, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`backend` in Pulumi.yaml; relative folders start where the command works, as for the real CLI."""
    url = server.url(prefix="/known")
    (tmp_path / "Pulumi.yaml").write_text(f"name: proj\nruntime: python\nbackend:\n  url: {url}\n", encoding="utf-8")
    project, home = Project.load(tmp_path / "Pulumi.yaml"), Home.find(tmp_path)
    assert backend_url(home, project, environ={}) == url
    assert backend_url(home, project, environ={"PULUMI_BACKEND_URL": "file:///x"}) == "file:///x"
    monkeypatch.chdir(tmp_path)
    assert backend_url(home, project, environ={"PULUMI_BACKEND_URL": "file://./st"}) == (tmp_path / "st").as_uri()
    assert backend_url(home, None, environ={}) == home.state_dir.as_uri()
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    world.engine().up(ref(world, url, one(), stack="prod"))
    assert known_stacks(home, project) == ["prod"]
