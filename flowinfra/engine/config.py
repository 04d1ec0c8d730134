"""``Pulumi.yaml`` and ``Pulumi.<stack>.yaml``: what a stack program is given, in Pulumi's own files.

Reading is typed and says what is wrong with file and line. Writing changes one entry and leaves the rest of the file,
comments and order included, as it is. Nothing here imports pulumi.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import yaml

from flowinfra.diagnostics import ConfigurationError, Source, error, nearest
from flowinfra.engine.state.secrets import Crypter

__all__ = ["Project", "ResolvedConfig", "StackConfig"]

_STACK_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")
_PROJECT_FILES: Final = ("Pulumi.yaml", "Pulumi.yml")


def _load(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(
            error("FI902", f"{path.name} cannot be read", detail=str(problem), source=Source(str(path)))
        ) from problem
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        raise ConfigurationError(
            error(
                "FI903",
                f"{path.name} is not valid YAML",
                detail=str(getattr(problem, "problem", None) or problem),
                hint="mind indentation and quotes at this place",
                source=Source(str(path), mark.line + 1 if mark else 0),
            )
        ) from problem
    if document is None:
        return {}, text
    if not isinstance(document, dict):
        raise _malformed(path, f"it holds a {type(document).__name__}, not a mapping")
    return document, text


def _malformed(path: Path, why: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(
        error("FI904", f"{path.name} does not fit Pulumi's format", detail=why, hint=hint, source=Source(str(path)))
    )


@dataclass(frozen=True, slots=True)
class Project:
    """What ``Pulumi.yaml`` says."""

    name: str
    file: Path
    main: Path
    """The folder or file of the stack program."""
    runtime: str
    config_dir: Path
    """Where the configurations of the stacks lie."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values for stacks that do not set them, by qualified key."""
    backend: str = ""
    """URL of the place where states are kept, if it names one."""

    @property
    def folder(self) -> Path:
        """The folder with ``Pulumi.yaml``."""
        return self.file.parent

    @classmethod
    def find(cls, start: Path) -> Self:
        """The project of *start*: the nearest ``Pulumi.yaml`` in it or above it.

        Raises:
            ConfigurationError: FI901, there is none; FI902 to FI904, it cannot be read.
        """
        for folder in (start.absolute(), *start.absolute().parents):
            for name in _PROJECT_FILES:
                if (folder / name).is_file():
                    return cls.load(folder / name)
        raise ConfigurationError(
            error(
                "FI901",
                f"no Pulumi.yaml in {start.absolute()} or above it",
                detail="it names the project and its stack program",
                hint="run `flowinfra init`, or name the folder of the project with --cwd",
            )
        )

    @classmethod
    def load(cls, file: Path) -> Self:
        """The project in the file *file*.

        Raises:
            ConfigurationError: FI902 to FI904, it cannot be read.
        """
        document, _ = _load(file)
        name = document.get("name")
        if not isinstance(name, str) or not _STACK_NAME.match(name):
            raise _malformed(file, "it has no valid `name`", "write `name: <letters, digits, - and _>`")
        runtime = document.get("runtime")
        kind = runtime.get("name") if isinstance(runtime, dict) else runtime
        if not isinstance(kind, str):
            raise _malformed(file, "it has no `runtime`", "write `runtime: python`")
        main = document.get("main") or "."
        return cls(
            name=name,
            file=file,
            main=(file.parent / str(main)).absolute(),
            runtime=kind,
            config_dir=(file.parent / str(document.get("stackConfigDir") or ".")).absolute(),
            defaults=_defaults(file, name, document.get("config") or {}),
            backend=_backend(file, document.get("backend")),
        )

    def config(self, stack: str) -> StackConfig:
        """The configuration of the stack *stack*, empty if it has no file.

        Raises:
            ConfigurationError: FI902 to FI905, the file or the name of the stack is not valid.
        """
        if not _STACK_NAME.match(stack):
            raise ConfigurationError(
                error(
                    "FI905",
                    f"{stack!r} is no name for a stack",
                    hint="use up to 100 letters, digits, '-', '_' and '.'",
                )
            )
        path = self.config_dir / f"Pulumi.{stack}.yaml"
        document, text = _load(path) if path.exists() else ({}, "")
        values = document.get("config") or {}
        if not isinstance(values, dict):
            raise _malformed(path, "`config` is not a mapping")
        return StackConfig(
            project=self.name,
            path=path,
            values={_qualified(self.name, str(k)): v for k, v in values.items()},
            defaults=self.defaults,
            salt=document.get("encryptionsalt"),
            secrets_provider=document.get("secretsprovider") or "",
            text=text,
        )


def _backend(file: Path, given: Any) -> str:
    url = given.get("url") if isinstance(given, dict) else given
    if url is None or isinstance(url, str):
        return url or ""
    raise _malformed(file, "its `backend` is not a URL", "write `backend: {url: file://~}` or leave it out")


def _defaults(file: Path, project: str, config: Any) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise _malformed(file, "`config` is not a mapping")
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value.keys() & {"type", "default", "value", "description", "secret", "items"}:
            if "default" not in value and "value" not in value:
                continue
            value = value.get("value", value.get("default"))
        out[_qualified(project, str(key))] = value
    return out


def _qualified(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """Configuration as the SDK takes it: texts by qualified key, objects as JSON."""

    values: Mapping[str, str]
    secret_keys: tuple[str, ...]


def _is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _holds_sealed(value: Any) -> bool:
    if _is_sealed(value):
        return True
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds_sealed(v) for v in items)


def _map_sealed(value: Any, function: Callable[[str], str]) -> Any:
    if _is_sealed(value):
        return function(str(value["secure"]))
    if isinstance(value, dict):
        return {k: _map_sealed(v, function) for k, v in value.items()}
    return [_map_sealed(v, function) for v in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class StackConfig:
    """What ``Pulumi.<stack>.yaml`` says; :meth:`set` and :meth:`remove` rewrite the file and return what it says then."""

    project: str
    path: Path
    values: Mapping[str, Any]
    """The stack's own values by qualified key; secret ones sealed."""
    defaults: Mapping[str, Any]
    salt: str | None
    secrets_provider: str
    text: str

    @property
    def all_values(self) -> dict[str, Any]:
        """The values that hold for the stack, with the project's defaults."""
        return {**self.defaults, **self.values}

    @property
    def has_secrets(self) -> bool:
        """Whether any value can be read with the passphrase only."""
        return _holds_sealed(self.all_values)

    def resolve(self, decrypt: Callable[[str, str], str]) -> ResolvedConfig:
        """All values in the form of the SDK; *decrypt* opens a ciphertext, given the place for its error."""
        self.refuse_other_providers()
        out: dict[str, str] = {}
        hidden: list[str] = []
        for key, value in self.all_values.items():
            if _holds_sealed(value):
                hidden.append(key)
                value = _map_sealed(value, lambda c, key=key: decrypt(c, f"{self.path.name}: {key}"))  # type: ignore[misc]
            out[key] = _text(value)
        return ResolvedConfig(out, tuple(hidden))

    def refuse_other_providers(self) -> None:
        """Refuse secrets that are not encrypted with a passphrase.

        Raises:
            ConfigurationError: FI907.
        """
        if self.secrets_provider not in ("", "passphrase", "default"):
            raise ConfigurationError(
                error(
                    "FI907",
                    f"the secrets of this stack are kept by '{self.secrets_provider}'",
                    detail="the embedded engine knows passphrases only",
                    hint="use the Pulumi CLI as engine: `flowinfra config set flowinfra:engine pulumi`",
                    source=Source(str(self.path)),
                )
            )

    def key(self, key: str) -> str:
        """*key* with its namespace, which is the project if none is given.

        Raises:
            ConfigurationError: FI906, it is no key.
        """
        namespace, _, name = _qualified(self.project, key).partition(":")
        if not namespace or not name or ":" in name or any(c.isspace() for c in key):
            raise ConfigurationError(
                error("FI906", f"{key!r} is no key of a configuration", hint="write `key` or `namespace:key`")
            )
        return f"{namespace}:{name}"

    def get(self, key: str) -> Any:
        """The value of *key*, sealed if it is secret.

        Raises:
            ConfigurationError: FI908, it is not set.
        """
        qualified = self.key(key)
        values = self.all_values
        if qualified not in values:
            raise self._not_set(qualified)
        return values[qualified]

    def is_secret(self, key: str) -> bool:
        """Whether the value of *key* is sealed or holds something that is."""
        return _holds_sealed(self.get(key))

    def reveal(self, key: str, decrypt: Callable[[str, str], str]) -> Any:
        """The value of *key* with everything secret open."""
        return _map_sealed(self.get(key), lambda c: decrypt(c, f"{self.path.name}: {key}"))

    def set(self, key: str, value: Any, *, crypter: Crypter | None = None) -> StackConfig:
        """Set *key*; with a *crypter* as a secret, which also records its salt in the file, as the real CLI does.

        Raises:
            ConfigurationError: FI906, it is no key; FI909, the file cannot be written.
        """
        qualified = self.key(key)
        text = self.text
        if crypter is not None:
            self.refuse_other_providers()
            value = {"secure": crypter.encrypt(_text(value))}
            if self.salt is None:
                text = _edit(text, ("encryptionsalt",), crypter.salt)
        text = _edit(text, ("config", _spelling(self, qualified)), value)
        return self._written(text)

    def remove(self, key: str) -> StackConfig:
        """Remove *key* from the file.

        Raises:
            ConfigurationError: FI908, the stack does not set it; FI909, the file cannot be written.
        """
        qualified = self.key(key)
        if qualified not in self.values:
            raise self._not_set(qualified)
        return self._written(_edit(self.text, ("config", _spelling(self, qualified)), _REMOVE))

    def _not_set(self, key: str) -> ConfigurationError:
        return ConfigurationError(
            error(
                "FI908",
                f"'{key}' is not set for this stack{nearest(key, self.all_values)}",
                hint=f"set it with `flowinfra config set {key} VALUE`",
                source=Source(str(self.path)),
            )
        )

    def _written(self, text: str) -> StackConfig:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o644
            handle, draft = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(draft, mode)
                os.replace(draft, self.path)
            except BaseException:
                os.unlink(draft)
                raise
        except OSError as problem:
            raise ConfigurationError(
                error(
                    "FI909",
                    f"{self.path.name} cannot be written",
                    detail=str(problem.strerror or problem),
                    hint="look at free space and permissions there",
                    source=Source(str(self.path)),
                )
            ) from problem
        document = yaml.safe_load(text) or {}
        return StackConfig(
            project=self.project,
            path=self.path,
            values={_qualified(self.project, str(k)): v for k, v in (document.get("config") or {}).items()},
            defaults=self.defaults,
            salt=document.get("encryptionsalt"),
            secrets_provider=self.secrets_provider,
            text=text,
        )


def _spelling(config: StackConfig, qualified: str) -> str:
    """The key as the file spells it already: with or without the project's name."""
    document = yaml.safe_load(config.text) or {}
    short = qualified.removeprefix(f"{config.project}:")
    return short if short in (document.get("config") or {}) else qualified


# -- changing one entry of a YAML file --------------------------------------------------------------------------------

_REMOVE: Final = object()


def _edit(text: str, path: tuple[str, ...], value: Any) -> str:
    """*text* with the entry at *path* (one or two keys) set to *value*, or removed."""
    wanted = yaml.safe_load(text) or {}
    _assign(wanted, path, value)
    edited = _edit_in_place(text, path, value)
    try:
        if edited is not None and (yaml.safe_load(edited) or {}) == wanted:
            return edited
    except yaml.YAMLError:
        pass
    return _dump(wanted) if wanted else ""


def _assign(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(document.get(key), dict):
            document[key] = {}
        document = document[key]
    if value is _REMOVE:
        document.pop(path[-1], None)
    else:
        document[path[-1]] = value


def _dump(value: Any, *, flow: bool = False) -> str:
    """*value* as YAML that means it: some rare characters do not survive being written as they are."""

    def written(*, as_they_are: bool) -> str:
        text: str = yaml.safe_dump(
            value, sort_keys=False, default_flow_style=flow, allow_unicode=as_they_are, width=1_000_000
        )
        return text

    text = written(as_they_are=True)
    return text if yaml.safe_load(text) == value else written(as_they_are=False)


def _flow(value: Any) -> str:
    return _dump(value, flow=True).removesuffix("\n").removesuffix("...").rstrip("\n")


def _block(key: str, value: Any, indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in _dump({key: value}).splitlines())


def _edit_in_place(text: str, path: tuple[str, ...], value: Any) -> str | None:
    """The edit on the text itself; ``None`` where the file is not written in a way that this can do."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if text and not text.endswith("\n"):
        text += "\n"
    if root is None:
        return text + _nested(path, value)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return None
    node: yaml.MappingNode = root
    for key in path[:-1]:
        child = _child(node, key)
        if child is None:
            return text + _nested(path, value)
        if not isinstance(child[1], yaml.MappingNode) or child[1].flow_style or not child[1].value:
            return None
        node = child[1]
    found = _child(node, path[-1])
    indent = " " * node.start_mark.column
    if found is None:
        last = node.value[-1][1]
        at = _line_end(text, last.end_mark.index, last)
        return text[:at] + _block(path[-1], value, indent) + text[at:]
    start = text.rfind("\n", 0, found[0].start_mark.index) + 1
    end = _line_end(text, found[1].end_mark.index, found[1])
    if value is _REMOVE:
        return None if len(node.value) == 1 else text[:start] + text[end:]
    if (
        isinstance(found[1], yaml.ScalarNode)
        and found[1].style not in ("|", ">")
        and not isinstance(value, (dict, list))
    ):
        return text[: found[1].start_mark.index] + _flow(value) + text[found[1].end_mark.index :]
    return text[:start] + _block(path[-1], value, indent) + text[end:]


def _nested(path: tuple[str, ...], value: Any) -> str:
    if value is _REMOVE:
        return ""
    for key in reversed(path[1:]):
        value = {key: value}
    return _block(path[0], value, "")


def _child(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.value == key), None)


def _line_end(text: str, index: int, node: yaml.Node) -> int:
    """The place behind the line in which *node* ends; a block ends at the start of the next line already."""
    if index > 0 and text[index - 1 : index] == "\n" and not isinstance(node, yaml.ScalarNode):
        return index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return index
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1
