"""The code of a run, out of the bundle that its release names."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowinfra.wire import bundle_key

if TYPE_CHECKING:
    from flowinfra.control.place import Address

__all__ = ["Code"]


class Code:
    """The code that a run was started with, whatever has become of the files since.

    Reading any of it verifies all of it: a bundle is named by the digest of its files.
    """

    def __init__(self, run: Address, release: str) -> None:
        self._run = run
        self._release = release

    @property
    def info(self) -> Mapping[str, Any]:
        """The digest of its bundle, the file with the flow, and the flowinfra that packed it."""
        plan = self._plan
        return {"digest": self.digest, "script": self.script_name, "flowinfra": plan["flowinfra"]}

    @property
    def digest(self) -> str:
        """The digest of its bundle: over the paths and contents of its files."""
        return str(self._plan["bundle"])

    @property
    def path(self) -> str:
        """Where its bundle lies, as a URL."""
        return f"{self._run.place.store.url}/{bundle_key(self.digest)}"

    @property
    def script_name(self) -> str:
        """The file with the flow's class, relative to the folder that was packed."""
        steps = self._plan["graph"]["steps"]
        module = str(steps[0]["entrypoint"]).partition(":")[0].replace(".", "/")
        return f"{module}.py" if f"{module}.py" in self._files else f"{module}/__init__.py"

    @property
    def flowspec(self) -> str:
        """The source text of the file with the flow's class.

        Raises:
            KeyMissing: FI401, the bundle is not in the store; PackagingError: FI420, it is damaged.
        """
        return self._files[self.script_name].decode()

    def extract(self) -> tempfile.TemporaryDirectory[str]:
        """A temporary folder with the files, removed with the object that is returned: ``with run.code.extract() as path``.

        Raises:
            KeyMissing: FI401, the bundle is not in the store; PackagingError: FI420, it is damaged; OSError: it cannot be written.
        """
        folder: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory(prefix="flowinfra-code-")
        try:
            for name, content in self._files.items():
                file = Path(folder.name) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        except BaseException:
            folder.cleanup()
            raise
        return folder

    def __str__(self) -> str:
        return self.digest

    def __repr__(self) -> str:
        return f"<code of {self._run.pathspec}: {self.digest[:12]}>"

    @property
    def _plan(self) -> dict[str, Any]:
        return self._run.place.release(self._release)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        import tarfile

        from flowinfra.packaging.unpack import verified

        data = self._run.place.store.get(bundle_key(self.digest))
        names = [member.name for member in verified(data, self.digest)]
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            return {name: content.read() for name in names if (content := tar.extractfile(name)) is not None}
