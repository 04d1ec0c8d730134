"""Canonical JSON and digests: the one way in which flowinfra turns a value into bytes and bytes into a name.

Two rules make digests equal for every user, machine, hash seed and supported Python:

* *Canonical JSON* has sorted keys, no white space, UTF-8 text, and refuses NaN and infinities (RFC 8259 has none).
* *Framed digests* put the length of each part before the part, so that no two lists of parts share a byte string
  (``["ab", "c"]`` and ``["a", "bc"]`` differ).

No third-party import here: the task program reads its release with these functions.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["canonical_json", "framed_digest", "json_digest", "sha256_hex"]


def canonical_json(value: Any) -> bytes:
    """The canonical JSON of *value* as UTF-8.

    Raises:
        ValueError: the value holds NaN or an infinity.
        TypeError: the value is not made of JSON types.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of *data* as 64 hex digits: the name of a blob, a bundle or a release."""
    return hashlib.sha256(data).hexdigest()


def framed_digest(*parts: bytes | str) -> str:
    """SHA-256 over *parts*, each behind its length as eight big-endian bytes."""
    digest = hashlib.sha256()
    for part in parts:
        # names of files may hold what is no text; they get a digest like any other
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def json_digest(value: Any) -> str:
    """The SHA-256 of the canonical JSON of *value*."""
    return sha256_hex(canonical_json(value))
