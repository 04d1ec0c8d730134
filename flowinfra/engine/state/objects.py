"""A backend in a bucket, with the URLs and the layout of the real CLI (Go's ``s3blob``).

Retries are few and short: whoever waits at a terminal wants to hear within seconds that a bucket does not answer.
"""

from __future__ import annotations

import configparser
import os
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import parse_qsl, urlsplit

from flowinfra.engine.state.storage import Log, Overtaken, Stored

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

__all__ = ["Bucket", "parse_url"]

_RETRIES: Final = 3
_RETRY_S: Final = 10
_TIMEOUT_S: Final = 15
_CONNECT_S: Final = 4

#: Parameters of URLs that other parts of Go's library understand and that change nothing here.
_IGNORED: Final = frozenset({"awssdk", "hostname_immutable", "rate_limiter_capacity", "request_checksum_calculation",
                             "response_checksum_validation"})  # fmt: skip


def parse_url(url: str, environ: Mapping[str, str] | None = None) -> tuple[str, str, dict[str, Any]]:
    """Bucket, prefix and configuration that *url* means.

    Understands ``region``, ``endpoint``, ``s3ForcePathStyle``/``use_path_style``, ``disableSSL``/``disable_https``,
    ``profile``, ``anonymous``; credentials come from the environment, else from the profile in the shared files.

    Raises:
        ValueError: it names no bucket, or has a parameter that is not understood.
    """
    environment = os.environ if environ is None else environ
    parts = urlsplit(url)
    if not parts.netloc:
        raise ValueError("it names no bucket")
    options = {k: v for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in _IGNORED}
    known = {"region", "endpoint", "s3ForcePathStyle", "use_path_style", "disableSSL", "disable_https", "profile",
             "anonymous"}  # fmt: skip
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"its parameter {', '.join(unknown)} is not understood")
    profile = _profile(options.get("profile") or environment.get("AWS_PROFILE", "default"), environment)
    config: dict[str, Any] = {
        "region": options.get("region")
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or "us-east-1"
    }
    plain = _true(options, "disableSSL") or _true(options, "disable_https")
    endpoint = (
        options.get("endpoint") or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
    )
    if endpoint:
        config["endpoint"] = endpoint if "://" in endpoint else f"{'http' if plain else 'https'}://{endpoint}"
    path_style = _true(options, "s3ForcePathStyle") or _true(options, "use_path_style")
    config["virtual_hosted_style_request"] = not (path_style or endpoint)
    if _true(options, "anonymous"):
        config["skip_signature"] = True
    elif not environment.get("AWS_ACCESS_KEY_ID") or "profile" in options:
        for theirs, ours in (
            ("aws_access_key_id", "access_key_id"),
            ("aws_secret_access_key", "secret_access_key"),
            ("aws_session_token", "session_token"),
        ):
            if profile.get(theirs):
                config[ours] = profile[theirs]
    return parts.netloc, parts.path.strip("/"), config


def _true(options: Mapping[str, str], name: str) -> bool:
    return options.get(name, "").lower() in ("true", "1", "t")


def _profile(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    home = Path(environment.get("HOME") or "~").expanduser() / ".aws"
    credentials = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials")
    config = Path(environment.get("AWS_CONFIG_FILE") or home / "config")
    out: dict[str, str] = {}
    for path, section in ((config, name if name == "default" else f"profile {name}"), (credentials, name)):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, UnicodeDecodeError, configparser.Error) as problem:
            raise ValueError(f"{path} cannot be read: {problem}") from problem
        if parser.has_section(section):
            out.update(parser.items(section))
    return out


class Bucket:
    """A bucket of S3, or of anything that speaks its protocol."""

    __slots__ = ("_bucket", "_prefix", "_store")

    def __init__(self, url: str, folder: str) -> None:
        """The files below *folder* of the bucket that *url* means.

        Raises:
            ValueError: the URL is not understood.
            OSError: the credentials are not complete.
        """
        from obstore.store import S3Store

        self._bucket, prefix, config = parse_url(url)
        self._prefix = f"{prefix}/{folder}" if prefix else folder
        client: ClientConfig = {
            "timeout": timedelta(seconds=_TIMEOUT_S),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "allow_http": str(config.get("endpoint", "")).startswith("http://"),
        }
        try:
            self._store: S3Store = S3Store(
                self._bucket,
                prefix=self._prefix,
                config=config,  # type: ignore[arg-type]
                client_options=client,
                retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)},
            )
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, f"s3://{self._bucket}/{self._prefix}")

    @property
    def root(self) -> Path | None:
        return None

    def where(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}/{key}"

    def read(self, key: str) -> Stored | None:
        import obstore

        try:
            found = obstore.get(self._store, key)
            data = found.bytes().to_bytes()
        except FileNotFoundError as problem:
            self._absent(problem, key)
            return None
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(key))
        return Stored(data, found.meta["e_tag"] or "", found.meta["last_modified"].timestamp())

    def exists(self, key: str) -> bool:
        import obstore

        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            self.names(key.rpartition("/")[0])  # the answer has no body: whether the bucket is there must be asked
            return False
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(key))
        return True

    def _absent(self, problem: BaseException, key: str) -> None:
        # A bucket that does not exist is no empty bucket: taking it for one would deploy everything again.
        if "NoSuchBucket" in str(problem):
            _raise(problem, self.where(key))

    def write(self, key: str, data: bytes, *, over: str | None = None, backup: str = "") -> str:
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        if backup and over:
            self.copy(key, backup)
        try:
            if over is None:
                result = obstore.put(self._store, key, data, use_multipart=False)
            elif not over:
                result = obstore.put(self._store, key, data, mode="create", use_multipart=False)
            else:
                result = obstore.put(self._store, key, data, mode={"e_tag": over}, use_multipart=False)
        except (AlreadyExistsError, PreconditionError) as problem:
            now = self.read(key)
            if now is not None and now.data == data:  # a first try was answered too late, and has written it
                return now.version
            raise Overtaken(self.where(key)) from problem
        except NotSupportedError:  # a server without conditions: look, then write
            if self._version(key) != (over or ""):
                raise Overtaken(self.where(key)) from None
            return self.write(key, data)
        except FileNotFoundError as problem:
            if over and "NoSuchKey" in str(problem):
                raise Overtaken(self.where(key)) from problem
            _raise(problem, self.where(key))
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(key))
        return result["e_tag"] or ""

    def _version(self, key: str) -> str:
        import obstore

        try:
            return obstore.head(self._store, key)["e_tag"] or ""
        except FileNotFoundError:
            return ""
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(key))

    def create(self, key: str, data: bytes) -> bool:
        # Whoever finds the very same bytes there has written them himself, by a try that was answered too late.
        try:
            self.write(key, data, over="")
        except Overtaken:
            return False
        return True

    def copy(self, key: str, to: str) -> None:
        import obstore

        try:
            obstore.copy(self._store, key, to)
        except FileNotFoundError:
            return
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(key))

    def delete(self, key: str) -> None:
        import obstore

        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(key))

    def names(self, folder: str) -> list[str]:
        import obstore

        try:
            found = obstore.list_with_delimiter(self._store, f"{folder}/")
        except Exception as problem:  # noqa: BLE001 - told again as what callers know
            _raise(problem, self.where(folder))
        return sorted(m["path"].rsplit("/", 1)[-1] for m in found["objects"])

    def remove(self, folder: str) -> None:
        for name in self.names(folder):
            self.delete(f"{folder}/{name}")

    def prune(self, folder: str, levels: int) -> None:
        """A bucket has no folders."""

    def log(self, key: str) -> Log:
        self.delete_log(key)
        return _ObjectLog(self, key)

    def read_log(self, key: str) -> bytes | None:
        names = self.names(key)
        # Logs are removed from their beginning: the rest of one says nothing any more.
        if not names or not names[0].startswith(_number(0)):
            return None
        writer = names[0].removeprefix(_number(0))
        parts: list[bytes] = []
        for name in (n for n in names if n.endswith(writer)):
            if name != _number(len(parts)) + writer:
                break
            stored = self.read(f"{key}/{name}")
            if stored is None:  # it is being removed
                break
            parts.append(stored.data)
        return b"".join(parts) if parts else None

    def delete_log(self, key: str) -> None:
        for name in self.names(key):
            self.delete(f"{key}/{name}")


class _ObjectLog:
    """Objects with growing numbers: each is what was appended at once.

    Their names also say who has written them: one whose lock was taken from him may go on for a while, and must not
    write into the log of the next one.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._next = 0
        self._writer = f"-{uuid.uuid4().hex}.jsonl"

    def append(self, data: bytes) -> None:
        # What failed may have been written all the same; the second try writes the same number again.
        self._bucket.write(f"{self._key}/{_number(self._next)}{self._writer}", data)
        self._next += 1

    def close(self) -> None:
        """Nothing is held."""


def _number(number: int) -> str:
    return f"{number:08d}"


#: Words of what obstore and servers say -> what that means to people.
_MEANINGS: Final = (
    ("NoSuchBucket", "there is no such bucket"),
    ("169.254.169.254", "no credentials were found (AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws/credentials)"),
    ("MissingAccessKeyId", "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not"),
    ("MissingSecretAccessKey", "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"),
    ("InvalidAccessKeyId", "the server does not know the access key"),
    ("SignatureDoesNotMatch", "the secret access key does not belong to the access key"),
    ("ExpiredToken", "the credentials have expired"),
    ("AccessDenied", "the credentials do not allow it"),
    ("dns error", "the name of the server cannot be resolved"),
    ("Connection refused", "nobody listens at the endpoint"),
    ("timed out", "the server did not answer in time"),
)


def _raise(problem: BaseException, where: str) -> NoReturn:
    """Tell *problem* as the OSError that callers know.

    Raises:
        OSError: always.
    """
    from obstore.exceptions import BaseError

    if not isinstance(problem, BaseError | OSError | ValueError):
        raise problem
    text = f"{problem} {problem.__cause__ or ''}"
    first = str(problem).partition("\n")[0].strip() or type(problem).__name__
    meaning = next((m for word, m in _MEANINGS if word.lower() in text.lower()), first)
    raise OSError(0, meaning, where) from problem
