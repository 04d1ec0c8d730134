"""A folder with flow files, and the commands that a user types in it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.example import Example

FLOWS = Path(__file__).resolve().parents[1] / "e2e" / "flows"

_RUN = re.compile(r"\b[0-9a-f]{8}-\d{8}-\d{6}-[0-9a-f]{10}\b")
_SECONDS = re.compile(r"\b\d+\.\d s\b")
_RELEASE = re.compile(r"\brelease( +)[0-9a-f]{12}\b")
_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b")

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Project(Example):
    """A folder of a test."""

    def add(self, *names: str) -> None:
        """Copy flow files of tests/e2e/flows."""
        for name in names:
            shutil.copy(FLOWS / name, self.folder / name)

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def flowinfra(self, *arguments: str, check: bool = True, timeout: float = 300) -> Done:
        """Run `flowinfra ARGUMENTS` in the folder, whose modules are not on the path, as for the console script."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "flowinfra.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def python(self, *arguments: str, check: bool = True) -> Done:
        """Run `python ARGUMENTS` in the folder; with *check* it has to succeed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `python ARGUMENTS` in a session of its own."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def newest(self, flow: str) -> str:
        """The pathspec of the newest run of a flow."""
        pathspec: str = self.document("runs", flow, "--limit", "1")[0]["pathspec"]
        return pathspec

    def findings(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command that fails says with --json."""
        done = self.flowinfra(*arguments, "--json", check=False)
        assert done.returncode != 0, done.stdout
        found: list[dict[str, Any]] = json.loads(done.stdout)["diagnostics"]
        return found

    def steady(self, text: str) -> str:
        """*text* without what is another one each time: run ids, durations, digests, times, this folder."""
        for pattern, word in ((_RUN, "RUN"), (_SECONDS, "N s"), (_RELEASE, r"release\1DIGEST"), (_MOMENT, "WHEN")):
            text = pattern.sub(word, text)
        return text.replace(str(self.folder.resolve()), "FOLDER").replace(str(self.folder), "FOLDER")


def interrupt(process: subprocess.Popen[str]) -> None:
    """What Ctrl-C does to the process."""
    process.send_signal(signal.SIGINT)
