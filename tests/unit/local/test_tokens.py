from __future__ import annotations

from flowinfra.orchestrators.tokens import hash_token, new_token


def test_a_token_fits_its_hash_and_no_other() -> None:
    """What is kept of a token recognises it, and nothing else."""
    token = new_token()
    kept = hash_token(token)
    assert kept.fits(token)
    assert not kept.fits(new_token())
    assert not kept.fits("")


def test_a_token_has_128_random_bits() -> None:
    """Tokens are 32 hex digits and differ."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)


def test_what_is_kept_does_not_tell_the_token_or_its_twin() -> None:
    """The same token kept twice looks different each time, and its public name is no part of the hash."""
    first, second = hash_token("secret"), hash_token("secret")
    assert first.digest != second.digest
    assert first.short not in first.digest + first.salt
    assert "secret" not in repr(first)
