"""Build the real engines that the tests compare flowinfra with.

    python tools/engines.py build [FAMILY ...]
    python tools/engines.py path FAMILY

Each family is pinned by the Go modules beside this file. Binaries are kept outside the tree, in a
folder whose name holds a hash of the lock files and of the recipe, so a changed pin is a new folder
and a folder that is there is complete.

Exit codes: 0 done; 1 not built, or the build failed; 2 wrong usage; 3 no usable Go on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

TOOLS = Path(__file__).resolve().parent
MINIMUM_GO = (1, 26)
GO_FLAGS = ("-trimpath", "-mod=readonly", "-buildvcs=false")
HEARTBEAT_SECONDS = 30.0
LOG_LINES_SHOWN = 40

EXIT_FAILED = 1
EXIT_NO_GO = 3


@dataclass(frozen=True)
class GoBuild:
    """Programs built from one Go module under tools/."""

    folder: str
    packages: tuple[str, ...]
    version_of: str
    """The required module whose version fills ``{version}`` in ``ldflags``."""
    ldflags: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Script:
    """A file that a Go module ships and that has to lie beside the binaries."""

    folder: str
    module: str
    path: str


@dataclass(frozen=True)
class Family:
    """Binaries that are built, found and cached together."""

    name: str
    builds: tuple[GoBuild, ...]
    scripts: tuple[Script, ...] = ()


PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
PULUMI_LDFLAGS = f"-s -w -X {PULUMI_SDK}/go/common/version.Version={{version}}"
PULUMI_TAGS = ("osusergo", "grpcnotrace")

FAMILIES = {
    family.name: family
    for family in (
        Family(
            name="pulumi",
            builds=(
                GoBuild(
                    folder="pulumi",
                    packages=("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",),
                    version_of="github.com/pulumi/pulumi/pkg/v3",
                    ldflags=PULUMI_LDFLAGS,
                    tags=PULUMI_TAGS,
                ),
                # A module of its own: later versions of the SDK's module do not carry the host.
                GoBuild(
                    folder="pulumi-language-python",
                    packages=(f"{PULUMI_SDK}/python/cmd/pulumi-language-python",),
                    version_of=PULUMI_SDK,
                    ldflags=PULUMI_LDFLAGS,
                    tags=PULUMI_TAGS,
                ),
            ),
            # Out of the CLI's SDK, not the host's: they run inside today's Python SDK.
            scripts=(
                Script("pulumi", PULUMI_SDK, "python/cmd/pulumi-language-python-exec"),
                Script("pulumi", PULUMI_SDK, "python/dist/pulumi-resource-pulumi-python"),
            ),
        ),
    )
}


class BuildError(Exception):
    """A build that cannot go on, with the exit code that says why."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(message: str) -> None:
    print(f"engines: {message}", file=sys.stderr, flush=True)


def go_platform() -> tuple[str, str]:
    """This machine's GOOS and GOARCH, found without Go so that a cached build needs none."""
    machine = platform.machine().lower()
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
    return platform.system().lower(), names.get(machine, machine)


def cache_root() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says to ignore a relative path.
    cache = base if base.is_absolute() else Path.home() / ".cache"
    return cache / "flowinfra" / "engines"


def cache_folder(family: Family) -> Path:
    recipe = {"family": asdict(family), "flags": GO_FLAGS, "platform": go_platform()}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for build in family.builds:
        for name in ("go.mod", "go.sum"):
            content = (TOOLS / build.folder / name).read_bytes()
            digest.update(f"\n{build.folder}/{name} {len(content)}\n".encode())
            digest.update(content)
    return cache_root() / f"{family.name}-{digest.hexdigest()[:16]}"


def required_version(folder: str, module: str) -> str:
    text = (TOOLS / folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise BuildError(f"tools/{folder}/go.mod does not require {module}")
    return found[1]


def find_go() -> str:
    """The path of a Go that is new enough, or an error that says what to install."""
    wanted = ".".join(map(str, MINIMUM_GO))
    advice = (
        f"install Go {wanted} or newer (the one of a Linux distribution may be too old), "
        "put its bin folder first on PATH and run `make engines` again"
    )
    go = shutil.which("go")
    if go is None:
        raise BuildError(f"there is no `go` on PATH: {advice}", EXIT_NO_GO)
    asked = subprocess.run(
        [go, "env", "GOVERSION"],
        cwd=TOOLS,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    version = asked.stdout.strip()
    number = re.search(r"go(\d+)\.(\d+)", version)
    if number is None:
        told = version or asked.stderr.strip() or "nothing"
        raise BuildError(f"{go} does not tell its version (it said: {told}): {advice}", EXIT_NO_GO)
    if (int(number[1]), int(number[2])) < MINIMUM_GO:
        raise BuildError(f"{go} is {version}, which is too old: {advice}", EXIT_NO_GO)
    return go


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the file's lock, waiting for another build to end; gives its descriptor."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build to let go of {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run_go(command: Sequence[str], *, cwd: Path, tmp: Path, lock: int, label: str) -> str:
    """Run Go quietly and return what it printed; its last lines are shown when it fails."""
    goos, goarch = go_platform()
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOOS": goos,
        "GOARCH": goarch,
        "GOTMPDIR": str(tmp),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    with tempfile.TemporaryFile(dir=tmp) as out, tempfile.TemporaryFile(dir=tmp) as err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            # A group of its own, so that its compilers can be stopped with it.
            start_new_session=True,
            # Should this script be killed outright, Go goes on: it keeps the lock until it ends.
            pass_fds=(lock,),
        )
        try:
            wait_for(process, label)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if process.returncode != 0:
            tail = "\n".join(read_back(err).splitlines()[-LOG_LINES_SHOWN:])
            raise BuildError(f"{label} failed (exit code {process.returncode}):\n{tail}")
        return read_back(out)


def wait_for(process: subprocess.Popen[bytes], label: str) -> None:
    started = time.monotonic()
    while True:
        try:
            process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{label}: {time.monotonic() - started:.0f} s so far")
        else:
            return


def read_back(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def build_into(family: Family, bin_folder: Path, tmp: Path, lock: int, go: str) -> None:
    for build in family.builds:
        version = required_version(build.folder, build.version_of)
        names = ", ".join(package.rsplit("/", 1)[-1] for package in build.packages)
        label = f"building {names} {version}"
        say(f"{label} (minutes, the first time)")
        flags = [*GO_FLAGS, f"-ldflags={build.ldflags.format(version=version)}"]
        if build.tags:
            flags.append(f"-tags={','.join(build.tags)}")
        run_go(
            [go, "build", *flags, "-o", f"{bin_folder}{os.sep}", *build.packages],
            cwd=TOOLS / build.folder,
            tmp=tmp,
            lock=lock,
            label=label,
        )
    for script in family.scripts:
        module_folder = run_go(
            [go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", script.module],
            cwd=TOOLS / script.folder,
            tmp=tmp,
            lock=lock,
            label=f"looking up {script.module}",
        ).strip()
        if not module_folder:
            raise BuildError(f"Go has not kept the files of {script.module}")
        source = Path(module_folder, script.path)
        target = bin_folder / source.name
        shutil.copyfile(source, target)
        target.chmod(0o755)


def build(family: Family) -> None:
    target = cache_folder(family)
    if target.is_dir():
        say(f"{family.name} is built: {target}")
        return
    go = find_go()
    root = target.parent
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{family.name}.lock") as lock:
        if target.is_dir():
            say(f"{family.name} has been built meanwhile: {target}")
            return
        # Whoever holds the lock is the only one building: what lies there was left by a kill.
        unfinished = f".{family.name}-building-"
        for leftover in root.glob(f"{unfinished}*"):
            shutil.rmtree(leftover)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=unfinished, dir=root) as work:
            bin_folder, tmp = Path(work, "bin"), Path(work, "tmp")
            bin_folder.mkdir()
            tmp.mkdir()
            build_into(family, bin_folder, tmp, lock, go)
            bin_folder.rename(target)
    say(f"{family.name} built in {time.monotonic() - started:.0f} s: {target}")


def command_build(names: Sequence[str]) -> int:
    for name in names or FAMILIES:
        build(FAMILIES[name])
    return 0


def command_path(name: str) -> int:
    folder = cache_folder(FAMILIES[name])
    if not folder.is_dir():
        say(f"{name} is not built: run `make engines`")
        return EXIT_FAILED
    print(folder)
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="engines.py", description="Build the real engines that the tests use.")
    commands = parser.add_subparsers(dest="command", required=True)
    known = ", ".join(FAMILIES)
    builder = commands.add_parser("build", help="build what is not in the cache yet")
    builder.add_argument("families", nargs="*", metavar="FAMILY", help=f"all by default: {known}")
    finder = commands.add_parser("path", help="print the folder with the binaries")
    finder.add_argument("family", choices=tuple(FAMILIES), metavar="FAMILY", help=known)
    parsed = parser.parse_args(arguments)
    # argparse would hold the empty list itself against `choices`.
    for name in getattr(parsed, "families", ()):
        if name not in FAMILIES:
            parser.error(f"unknown family {name!r} (known: {known})")
    return parsed


def stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End by an exception, so that the unfinished folder is removed on the way out."""
    raise BuildError(f"stopped by {signal.Signals(number).name}", 128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = parse_arguments(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        if parsed.command == "build":
            return command_build(parsed.families)
        return command_path(parsed.family)
    except BuildError as error:
        say(str(error))
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
