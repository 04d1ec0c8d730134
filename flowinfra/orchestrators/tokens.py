"""Production tokens: random, shown by whoever changes what he does not own, kept only as a salted hash.

A token guards against mistakes (design, section 8); it is not the security boundary. It has 128 random bits, so one
round of SHA-256 over salt and token is as hard to invert as guessing the token itself.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from flowinfra.canonical import framed_digest

__all__ = ["TokenHash", "hash_token", "new_token"]


@dataclass(frozen=True, slots=True)
class TokenHash:
    """What is kept of a token.

    Attributes:
        salt: 32 hex digits, drawn anew for each token that is kept.
        digest: 64 hex digits: the hash of salt and token.
    """

    salt: str
    digest: str

    def fits(self, token: str) -> bool:
        """Whether *token* is the one that this was made of; takes the same time either way."""
        return hmac.compare_digest(self.digest, _digest(self.salt, token))

    @property
    def short(self) -> str:
        """Six hex digits that name the token in public, and say nothing about it."""
        return framed_digest("flowinfra token name", self.salt, self.digest)[:6]


def new_token() -> str:
    """A new production token: 32 hex digits, 128 random bits."""
    return secrets.token_hex(16)


def hash_token(token: str) -> TokenHash:
    """What to keep of *token*."""
    salt = secrets.token_hex(16)
    return TokenHash(salt, _digest(salt, token))


def _digest(salt: str, token: str) -> str:
    return framed_digest("flowinfra production token", salt, token)
