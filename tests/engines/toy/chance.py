"""Random programs of toy resources, and random changes to them."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from engines.toy.described import Described

#: Options that name another entry, and those that name several.
_ONE = ("parent", "provider", "deleted_with", "ref", "payload")
_MANY = ("after",)


def program(rng: Random, size: int = 7) -> Described:
    """A program of up to *size* resources."""
    described: Described = []
    for number in range(rng.randint(3, size)):
        described.append(_entry(rng, f"r{number}", described))
    return described


def changed(rng: Random, described: Described, fresh: str) -> Described:
    """*described* after one to three random changes; new resources are called *fresh* and a number."""
    out = copy.deepcopy(described)
    for number in range(rng.randint(1, 3)):
        kind = rng.choice(["input", "input", "input", "option", "option", "remove", "add", "rename", "move", "order"])
        if not out or kind == "add":
            place = rng.randint(0, len(out))
            out.insert(place, _entry(rng, f"{fresh}{number}", out[:place]))
        elif kind == "remove" and len(out) > 1:  # a program of nothing is refused
            _remove(out, rng.randrange(len(out)))
        elif kind == "rename":
            _rename(rng, out, f"{fresh}n{number}")
        elif kind == "move":
            _move(rng, out)
        elif kind == "order":
            _reorder(rng, out)
        else:
            index = rng.randrange(len(out))
            _alter(rng, out[index], out[:index], kind)
    return out


def unprotected(described: Described) -> Described:
    """*described* with nothing protected."""
    return [{k: v for k, v in entry.items() if k != "protect"} for entry in described]


def _entry(rng: Random, name: str, earlier: Described) -> dict[str, Any]:
    things = [e["name"] for e in earlier if e["what"] == "thing"]
    entry: dict[str, Any] = {"name": name, "what": rng.choices(["thing", "box", "provider"], [8, 2, 1])[0]}
    if entry["what"] == "provider":
        entry["prefix"] = rng.choice(["toy", "other"])
        return entry
    entry["size"] = rng.randint(1, 3)
    for option in ("parent", "protect"):
        if rng.random() < (0.3 if option == "parent" else 0.04):
            _set(rng, entry, earlier, option)
    if entry["what"] == "box":
        return entry
    if rng.random() < 0.4:
        entry["kind"] = rng.choice(["k1", "k2"])
    if rng.random() < 0.3:
        entry["tags"] = {"x": rng.choice("12"), "y": rng.choice("12")}
    if rng.random() < 0.15:
        entry["fixed"] = True
    for option, chance in (("ref", 0.35), ("payload", 0.2), ("after", 0.2), ("provider", 0.25), ("dbr", 0.2),
                           ("retain", 0.08), ("deleted_with", 0.12), ("ignore", 0.15), ("replace_on", 0.15),
                           ("secret_outputs", 0.1)):  # fmt: skip
        if rng.random() < chance and (things or option not in ("ref", "payload", "after", "deleted_with")):
            _set(rng, entry, earlier, option)
    return entry


def _set(rng: Random, entry: dict[str, Any], earlier: Described, option: str) -> None:
    def named(*kinds: str) -> list[str]:
        return [e["name"] for e in earlier if e["what"] in kinds]

    if option in ("protect", "retain", "fixed"):
        entry[option] = True
    elif option == "dbr":
        entry[option] = rng.random() < 0.6
    elif option == "ignore":
        entry[option] = rng.choice([["size"], ["tags.x"], ["tags"], ["*"], ["kind"]])
    elif option == "replace_on":
        entry[option] = rng.choice([["size"], ["tags"], ["tags.x"], ["*"]])
    elif option == "secret_outputs":
        entry[option] = ["arn"]
    else:
        kinds = {"parent": ("box", "thing"), "provider": ("provider",), "after": ("thing", "box")}.get(
            option, ("thing",)
        )
        if found := named(*kinds):
            entry[option] = [rng.choice(found)] if option == "after" else rng.choice(found)


def _alter(rng: Random, entry: dict[str, Any], earlier: Described, kind: str) -> None:
    if entry["what"] == "provider":
        entry["prefix"] = rng.choice(["toy", "other", "third"])
    elif kind == "input" or entry["what"] == "box":
        name = rng.choice(["size", "size", "kind", "tags", "fixed"]) if entry["what"] == "thing" else "size"
        if name == "size":
            entry["size"] = entry.get("size", 1) + 1
        elif name == "kind":
            entry["kind"] = rng.choice(["k1", "k2", "k3"])
        elif name == "tags":
            entry["tags"] = {"x": rng.choice("123"), "y": rng.choice("123")}
        else:
            entry["fixed"] = not entry.get("fixed", False)
    else:
        option = rng.choice(["protect", "retain", "dbr", "ignore", "replace_on", "secret_outputs", "deleted_with",
                             "after", "ref", "payload", "provider"])  # fmt: skip
        if option in entry:
            del entry[option]
        else:
            _set(rng, entry, earlier, option)


def _remove(described: Described, index: int) -> None:
    name = described.pop(index)["name"]
    for entry in described:
        for option in _ONE:
            if entry.get(option) == name:
                del entry[option]
        for option in _MANY:
            if name in entry.get(option, ()):
                entry[option] = [n for n in entry[option] if n != name]
        entry["aliases"] = [a for a in entry.get("aliases", []) if a.get("parent") != name]


def _rename(rng: Random, described: Described, name: str) -> None:
    entry = rng.choice(described)
    old = entry["name"]
    entry["name"] = name
    if rng.random() < 0.7:
        entry["aliases"] = [{"name": old}, *entry.get("aliases", [])]
    for other in described:
        for option in _ONE:
            if other.get(option) == old:
                other[option] = name
        for option in _MANY:
            if old in other.get(option, ()):
                other[option] = [name if n == old else n for n in other[option]]
        for alias in other.get("aliases", ()):
            if alias.get("parent") == old:
                alias["parent"] = name


def _move(rng: Random, described: Described) -> None:
    """Another parent, with or without an alias."""
    index = rng.randrange(len(described))
    entry, earlier = described[index], described[:index]
    if entry["what"] == "provider":
        return
    was = entry.pop("parent", None)
    _set(rng, entry, earlier, "parent") if rng.random() < 0.7 else None
    if rng.random() < 0.6 and entry.get("parent") != was:
        entry["aliases"] = [{"parent": was}, *entry.get("aliases", [])]


def _reorder(rng: Random, described: Described) -> None:
    """Two neighbours that do not know one another change places."""
    if len(described) < 2:
        return
    index = rng.randrange(len(described) - 1)
    first, second = described[index : index + 2]
    names = {second.get(o) for o in _ONE} | {n for o in _MANY for n in second.get(o, ())}
    names |= {a.get("parent") for a in second.get("aliases", ())}
    if first["name"] not in names:
        described[index : index + 2] = [second, first]
