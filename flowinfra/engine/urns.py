"""Names of resources: ``urn:pulumi:<stack>::<project>::<parent types>$<type>::<name>``."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "PROVIDER_PREFIX",
    "STACK_TYPE",
    "default_provider_name",
    "is_default_provider",
    "is_provider",
    "make_urn",
    "package_of",
    "provider_reference",
    "split_reference",
    "urn_name",
    "urn_type",
]

STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDER_PREFIX: Final = "pulumi:providers:"

_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Za-z]")
_NOT_NAME = re.compile(r"[^0-9A-Za-z_.-]")


def make_urn(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource; the type of the stack is no part of the chain of types."""
    chain = parent.split("::", 3)[2] if parent else ""
    prefix = f"{chain}$" if chain and chain != STACK_TYPE else ""
    return f"urn:pulumi:{stack}::{project}::{prefix}{type_}::{name}"


def urn_type(urn: str) -> str:
    """The type of the resource itself, without those of its parents."""
    return urn.split("::", 3)[2].rpartition("$")[2]


def urn_name(urn: str) -> str:
    """The name that the program gave."""
    return urn.split("::", 3)[3]


def package_of(token: str) -> str:
    """The package that serves a type or function: ``aws`` of ``aws:s3:Bucket``, ``toy`` of ``pulumi:providers:toy``."""
    return token.removeprefix(PROVIDER_PREFIX) if is_provider(token) else token.split(":", 1)[0]


def is_provider(type_: str) -> bool:
    """Whether resources of this type are configured providers."""
    return type_.startswith(PROVIDER_PREFIX)


def default_provider_name(version: str, url: str = "") -> str:
    """The name that Pulumi gives a package's default provider of *version*, its plugin from *url*; both may be empty."""
    name = f"default_{_NOT_ALPHANUMERIC.sub('_', version)}" if version else "default"
    # The rule for names (tokens.IntoQName): of each part between slashes, whatever no name may have becomes a _.
    parts = [_NOT_NAME.sub("_", part) for part in url.split("/") if part]
    return f"{name}_{'/'.join(parts)}" if parts else name


def is_default_provider(urn: str) -> bool:
    """Whether the engine made this provider because the program named none."""
    name = urn_name(urn)
    return is_provider(urn_type(urn)) and (name == "default" or name.startswith("default_"))


def provider_reference(urn: str, id_: str) -> str:
    """How a resource names its provider: the provider's URN and id."""
    return f"{urn}::{id_}"


def split_reference(reference: str) -> tuple[str, str]:
    """The URN and the id out of a provider reference."""
    urn, _, id_ = reference.rpartition("::")
    return urn, id_
