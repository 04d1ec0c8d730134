"""Property values as Pulumi's engine keeps them: plain JSON types with a few signed dictionaries among them.

A secret is ``{SIGNATURE: SECRET, "value": ...}`` while it is open and ``{SIGNATURE: SECRET, "ciphertext": ...}`` while
it is sealed; a value that is not known yet is the text :data:`UNKNOWN`. These forms and their numbers are Pulumi's own
(``sdk/go/common/resource/sig``), so that what is kept here can be written to a checkpoint as it is.

Pure functions on such values; nothing here imports pulumi.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

__all__ = [
    "ARCHIVE",
    "ASSET",
    "COMPUTED_TEXT",
    "RESOURCE",
    "SECRET",
    "SECRET_TEXT",
    "SIGNATURE",
    "UNKNOWN",
    "Properties",
    "as_secret_as",
    "changed_paths",
    "contains",
    "covers",
    "equal",
    "has_ciphertext",
    "has_secret",
    "has_unknown",
    "is_secret",
    "join_path",
    "keep_old",
    "may_equal",
    "paths_where",
    "plain",
    "redact",
    "secret",
    "value_at",
]

#: Inputs or outputs of a resource by their names.
Properties: TypeAlias = dict[str, Any]

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"

#: What stands where a value is not known before it is applied.
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

#: How plans show a secret, and a value that is not known yet.
SECRET_TEXT: Final = "<secret>"
COMPUTED_TEXT: Final = "<computed>"

_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*\Z")
_PATH_PART = re.compile(r"([^.\[\]\"]+)|\[\"((?:[^\"\\]|\\.)*)\"\]|\[(\d+|\*)\]")


def is_secret(value: Any) -> bool:
    """Whether *value* itself is a secret, open or sealed."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def secret(value: Any) -> Any:
    """*value* as an open secret; what is one already stays as it is."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def plain(value: Any) -> Any:
    """*value* with every open secret replaced by what it holds."""
    if isinstance(value, dict):
        if is_secret(value):
            return plain(value["value"])
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def as_secret_as(new: Properties, old: Properties) -> Properties:
    """*new* with everything secret that is in *old*: a provider that reads does not know what is."""
    return {k: _hidden(v, old.get(k)) for k, v in new.items()}


def _hidden(new: Any, old: Any) -> Any:
    if is_secret(old):
        return secret(plain(new))
    if isinstance(old, dict) and isinstance(new, dict) and not is_secret(new):
        return {k: _hidden(v, old.get(k)) for k, v in new.items()}
    if isinstance(old, list) and has_secret(old) and not has_secret(new):
        same = isinstance(new, list) and len(new) == len(old)
        return [_hidden(n, o) for n, o in zip(new, old, strict=True)] if same else secret(plain(new))
    return new


def contains(value: Any, predicate: Callable[[Any], bool]) -> bool:
    """Whether *predicate* holds for *value* or for anything inside it."""
    if predicate(value):
        return True
    if isinstance(value, dict):
        return any(contains(v, predicate) for v in value.values())
    return isinstance(value, list) and any(contains(v, predicate) for v in value)


def has_unknown(value: Any) -> bool:
    """Whether *value* is or holds something that is known only once it is applied."""
    return contains(value, lambda v: v == UNKNOWN)


def has_secret(value: Any) -> bool:
    """Whether *value* is or holds a secret."""
    return contains(value, is_secret)


def has_ciphertext(value: Any) -> bool:
    """Whether *value* is or holds a sealed secret."""
    return contains(value, lambda v: is_secret(v) and "ciphertext" in v)


def redact(value: Any) -> Any:
    """*value* as plans show it: nothing secret in it, unknown parts and references by name."""
    if isinstance(value, dict):
        if is_secret(value):
            return SECRET_TEXT
        if value.get(SIGNATURE) == RESOURCE:
            return value.get("urn", COMPUTED_TEXT)
        return {k: redact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redact(v) for v in value]
    return COMPUTED_TEXT if value == UNKNOWN else value


def equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: a boolean never equals a number, an integer equals the same float."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def may_equal(value: Any, other: Any) -> bool:
    """Whether the two are equal as far as *other* is known."""
    if other == UNKNOWN:
        return True
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(may_equal(v, other[k]) for k, v in value.items())
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(may_equal, value, other))
    return equal(value, other)


def join_path(path: str, key: str) -> str:
    """The property path of *key* inside of what is at *path*; an empty path is the whole."""
    if not _PLAIN_KEY.match(key):
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{path}["{quoted}"]'
    return f"{path}.{key}" if path else key


def changed_paths(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The innermost paths at which two values differ, in the order of *before*, then what is only in *after*.

    A path stops at a secret (what is inside is nobody's business) and at a list whose length changed.
    """
    if equal(before, after):
        return
    nested = isinstance(before, dict) and isinstance(after, dict) and SIGNATURE not in before and SIGNATURE not in after
    if nested:
        for key in [*before, *(k for k in after if k not in before)]:
            if key in before and key in after:
                yield from changed_paths(before[key], after[key], join_path(path, key))
            else:
                yield join_path(path, key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from changed_paths(old, new, f"{path}[{index}]")
    else:
        yield path


def paths_where(value: Any, predicate: Callable[[Any], bool], path: str = "") -> Iterator[str]:
    """The outermost paths inside *value* at which *predicate* holds."""
    if predicate(value):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from paths_where(item, predicate, join_path(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths_where(item, predicate, f"{path}[{index}]")


def parse_path(path: str) -> tuple[str | int, ...]:
    """A property path such as ``a.b[0]["c.d"]`` as keys; ``"*"`` and ``[*]`` are the text ``*``."""
    parts: list[str | int] = []
    for name, quoted, index in _PATH_PART.findall(path):
        if index:
            parts.append(index if index == "*" else int(index))
        else:
            parts.append(name or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(parts)


def value_at(value: Any, path: str) -> Any:
    """What is in *value* at the property path *path*; ``None`` where there is nothing."""
    for key in parse_path(path):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def covers(pattern: str, path: str) -> bool:
    """Whether the property path *pattern* (with ``*`` for any key) is *path* or one of its parents."""
    wanted, given = parse_path(pattern), parse_path(path)
    return len(wanted) <= len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=False))


def keep_old(new: Properties, old: Mapping[str, Any], paths: Iterable[str]) -> Properties:
    """The inputs *new* with the values of *old* at each of *paths* (the option ``ignoreChanges``).

    What one of the two lacks on the way to a path is left as it is: Pulumi cannot ignore changes there either.
    """
    out: Properties = dict(new)
    for path in paths:
        out = _reset(out, old, parse_path(path))
    return out


def _reset(new: Any, old: Any, keys: tuple[str | int, ...]) -> Any:
    if not keys:
        return old
    key, rest = keys[0], keys[1:]
    if isinstance(new, dict) and isinstance(old, Mapping):
        if key != "*":
            return _reset_key(new, old, str(key), rest)
        for name in [k for k in new if k in old] if rest else [*new, *(k for k in old if k not in new)]:
            new = _reset_key(new, old, name, rest)
        return new
    if isinstance(new, list) and isinstance(old, list):
        if key == "*":
            return [_reset(n, o, rest) for n, o in zip(new, old, strict=False)] + new[len(old) :]
        if isinstance(key, int) and key < min(len(new), len(old)):
            return [*new[:key], _reset(new[key], old[key], rest), *new[key + 1 :]]
    return new


def _reset_key(new: dict[str, Any], old: Mapping[str, Any], key: str, rest: tuple[str | int, ...]) -> dict[str, Any]:
    if key in old and (key in new or not rest):
        return {**new, key: _reset(new.get(key), old[key], rest)}
    return new if rest else {k: v for k, v in new.items() if k != key}
