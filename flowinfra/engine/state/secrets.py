"""Pulumi's passphrase secrets: PBKDF2-SHA256 with 1,000,000 rounds, then AES-256-GCM.

A salt is written as ``v1:<salt>:<check>``, where *check* is the encrypted word ``pulumi``; a ciphertext as
``v1:<nonce>:<ciphertext and tag>``, all Base64; the plaintext in a checkpoint is the JSON of the value.

Deriving the key takes a third of a second. It happens only once something secret is really opened or sealed, once per
process, and can be started ahead in the background (:meth:`Vault.prepare`), since OpenSSL lets other threads run.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flowinfra.diagnostics import EngineError, error
from flowinfra.engine.state.resources import ResourceState
from flowinfra.engine.values import SECRET, SIGNATURE, Properties, has_ciphertext, has_secret, is_secret, plain

__all__ = ["Crypter", "Passphrase", "Vault"]

_ROUNDS: Final = 1_000_000
_CHECK: Final = "pulumi"
_VARIABLE: Final = "PULUMI_CONFIG_PASSPHRASE"


@functools.lru_cache(maxsize=32)
def _derive(passphrase: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, _ROUNDS, 32)


@dataclass(frozen=True)
class Passphrase:
    """Where the passphrase of a project comes from: the environment, as for the real CLI, else a file of the project.

    Attributes:
        file: the project's own passphrase file, made when one is needed; ``None`` allows the environment only.
        environment: the environment to look into; the process's own by default.
        prepare: called before the file is made, to make the folder that hides it from git.
    """

    file: Path | None = None
    environment: Mapping[str, str] | None = None
    prepare: Callable[[], object] | None = None

    def find(self) -> str | None:
        """The passphrase, if one is set or kept.

        Raises:
            EngineError: FI622, the file that is named cannot be read.
        """
        environment = os.environ if self.environment is None else self.environment
        if _VARIABLE in environment:
            return environment[_VARIABLE]
        named = environment.get(f"{_VARIABLE}_FILE")
        path = Path(named) if named else self.file
        if path is None or (not named and not path.exists()):
            return None
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise _missing(f"{path} cannot be read: {problem}") from problem

    def need(self) -> str:
        """The passphrase of secrets that exist already.

        Raises:
            EngineError: FI622, none is known.
        """
        found = self.find()
        if found is None:
            raise _missing(f"there is no {self.file}" if self.file else "")
        return found

    def need_or_make(self) -> str:
        """The passphrase for the first secret of a stack: the one that is set or kept, else a new one in the file.

        Raises:
            EngineError: FI622, none is known and there is no place for a new one.
        """
        found = self.find()
        if found is not None:
            return found
        if self.file is None:
            raise _missing("")
        try:
            if self.prepare is not None:
                self.prepare()
            return _make_file(self.file)
        except OSError as problem:
            raise _missing(f"{self.file} cannot be written: {problem.strerror}") from problem


def _missing(detail: str) -> EngineError:
    return EngineError(
        error(
            "FI622",
            "the passphrase of the stack's secrets is not known",
            detail=detail,
            hint=f"set {_VARIABLE} or {_VARIABLE}_FILE to the passphrase with which the stack was made",
        )
    )


def _make_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)  # a whole file or none, and never over the one of another process
    finally:
        os.unlink(name)
    return path.read_text(encoding="utf-8").strip()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _raw_salt(salt: str) -> bytes:
    try:
        version, raw, _ = salt.split(":", 2)
        if version == "v1":
            return base64.b64decode(raw, validate=True)
    except ValueError:
        pass
    raise EngineError(
        error(
            "FI623",
            "the salt of the stack's secrets is damaged",
            detail="a salt reads v1:<salt>:v1:<nonce>:<check>",
            hint="restore `encryptionsalt` in the stack's file, or the state from .pulumi/backups",
        )
    )


class Crypter:
    """Encrypts and decrypts texts with the key of one passphrase and salt."""

    def __init__(self, passphrase: str, salt: str | None = None) -> None:
        """Derive the key; without *salt*, for a new one.

        Raises:
            EngineError: FI621, the passphrase does not belong to the salt; FI623, the salt is damaged.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = _raw_salt(salt) if salt else os.urandom(8)
        self._cipher = AESGCM(_derive(passphrase, raw))
        self.salt: str = salt or f"v1:{_encode(raw)}:{self.encrypt(_CHECK)}"
        if salt and self._try(salt.split(":", 2)[2]) != _CHECK:
            raise EngineError(
                error(
                    "FI621",
                    "wrong passphrase: it does not open the secrets of this stack",
                    detail="the key made from it does not fit the salt in the state or in the stack's configuration",
                    hint=f"set {_VARIABLE} (or {_VARIABLE}_FILE) to the passphrase with which the stack was made",
                )
            )

    def encrypt(self, text: str) -> str:
        """*text* with a fresh nonce."""
        nonce = os.urandom(12)
        return f"v1:{_encode(nonce)}:{_encode(self._cipher.encrypt(nonce, text.encode(), None))}"

    def decrypt(self, ciphertext: str, where: str = "") -> str:
        """The text of *ciphertext*.

        Raises:
            EngineError: FI623, it was made with another key or is damaged.
        """
        text = self._try(ciphertext)
        if text is None:
            raise EngineError(
                error(
                    "FI623",
                    f"the secret at {where or 'an unknown place'} cannot be decrypted",
                    detail="it was encrypted with another passphrase or salt, or it is damaged",
                    hint="set it again, or restore the state from .pulumi/backups",
                )
            )
        return text

    def _try(self, ciphertext: str) -> str | None:
        from cryptography.exceptions import InvalidTag

        try:
            version, nonce, body = ciphertext.split(":")
            if version != "v1":
                return None
            return self._cipher.decrypt(base64.b64decode(nonce), base64.b64decode(body), None).decode()
        except (ValueError, InvalidTag):
            return None


class Vault:
    """Opens and seals the secrets of one stack; a value that is sealed again unchanged keeps its ciphertext.

    Safe for several threads.
    """

    def __init__(self, passphrase: Passphrase, salt: str | None) -> None:
        self._passphrase = passphrase
        self._salt = salt
        self._lock = threading.Lock()
        self._crypter: Crypter | None = None
        self._ahead: Future[Crypter] | None = None
        self._sealed: dict[tuple[str, str], str] = {}

    @property
    def salt(self) -> str | None:
        """The salt to write into the state; ``None`` as long as nothing was ever sealed."""
        return self._salt

    def prepare(self) -> None:
        """Begin to derive the key in the background, where it is likely to be needed soon."""
        with self._lock:
            if self._salt is None or self._crypter is not None or self._ahead is not None:
                return
            pool = ThreadPoolExecutor(1, thread_name_prefix="flowinfra-key")
            self._ahead = pool.submit(self._make)
            pool.shutdown(wait=False)

    def crypter(self) -> Crypter:
        """The crypter, made at the first call.

        Raises:
            EngineError: FI621 or FI622, wrong or no passphrase.
        """
        ahead = self._ahead
        if ahead is not None:
            return ahead.result()
        with self._lock:
            if self._crypter is None:
                self._crypter = self._make()
                self._salt = self._crypter.salt
            return self._crypter

    def _make(self) -> Crypter:
        if self._salt is None:
            return Crypter(self._passphrase.need_or_make())
        return Crypter(self._passphrase.need(), self._salt)

    def open_state(self, state: ResourceState) -> ResourceState:
        """*state* with its secrets open."""
        return _map_sections(state, has_ciphertext, self._open)

    def seal_state(self, state: ResourceState) -> ResourceState:
        """*state* with its secrets sealed, nested ones as part of the outer one."""
        return _map_sections(state, has_secret, self._seal)

    def _open(self, value: Any, where: str) -> Any:
        if isinstance(value, dict):
            if not is_secret(value):
                return {k: self._open(v, f"{where}.{k}") for k, v in value.items()}
            if "ciphertext" not in value:
                return value
            opened = json.loads(self.crypter().decrypt(value["ciphertext"], where))
            self._sealed[where, _canonical(opened)] = value["ciphertext"]
            return {SIGNATURE: SECRET, "value": opened}
        return [self._open(v, f"{where}[{i}]") for i, v in enumerate(value)] if isinstance(value, list) else value

    def _seal(self, value: Any, where: str) -> Any:
        if isinstance(value, dict):
            if not is_secret(value):
                return {k: self._seal(v, f"{where}.{k}") for k, v in value.items()}
            if "ciphertext" in value:
                return value
            text = _canonical(plain(value["value"]))
            known = self._sealed.get((where, text))
            if known is None:
                known = self._sealed[where, text] = self.crypter().encrypt(text)
            return {SIGNATURE: SECRET, "ciphertext": known}
        return [self._seal(v, f"{where}[{i}]") for i, v in enumerate(value)] if isinstance(value, list) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _map_sections(
    state: ResourceState, concerned: Callable[[Any], bool], function: Callable[[Any, str], Any]
) -> ResourceState:
    def section(properties: Properties, name: str) -> Properties:
        if not concerned(properties):
            return properties
        return {k: function(v, f"{state.urn} {name}.{k}") for k, v in properties.items()}

    inputs, outputs = section(state.inputs, "inputs"), section(state.outputs, "outputs")
    if inputs is state.inputs and outputs is state.outputs:
        return state
    return replace(state, inputs=inputs, outputs=outputs)
