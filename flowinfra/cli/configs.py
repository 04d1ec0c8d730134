"""Options that say how a flow is loaded and where it belongs: its configs, and the branch of its project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from flowinfra.authoring.configs import ConfigSources, configs_of
from flowinfra.cli.options import Function
from flowinfra.diagnostics import ParameterError, error

__all__ = ["config_options", "described_configs", "project_options", "sources_of", "take_configs"]

_PAIRS: Final = ("--config", "--config-value")


def config_options(function: Function) -> Function:
    """Adds ``--config`` and ``--config-value``; :func:`sources_of` reads what was given."""
    value = click.option(
        "--config-value",
        "config_values",
        nargs=2,
        multiple=True,
        metavar="NAME JSON",
        help="The value of a config; may be repeated.",
    )
    file = click.option(
        "--config",
        "config_files",
        nargs=2,
        multiple=True,
        metavar="NAME FILE",
        help="The file of a config; may be repeated.",
    )
    return file(value(function))


def project_options(function: Function) -> Function:
    """Adds ``--branch`` and ``--production``."""
    production = click.option("--production", is_flag=True, help="It belongs to the production of its @project.")
    branch = click.option("--branch", metavar="NAME", help="The branch of its @project (default: the user's own).")
    return branch(production(function))


def sources_of(given: Mapping[str, Any]) -> ConfigSources:
    """Where configs come from, out of the arguments of a command with :func:`config_options`.

    Raises:
        AuthoringError: FI169, one config is given twice.
    """
    return ConfigSources.given(given.get("config_files", ()), given.get("config_values", ()))


def take_configs(arguments: Sequence[str]) -> tuple[ConfigSources, list[str]]:
    """The configs that the command line of a flow file gives, and its other arguments.

    The file has to be loaded before the rest can be read: what its parameters are may depend on its configs. So they are
    taken out first, on whichever side of the command they stand.

    Raises:
        AuthoringError: FI169, one config is given twice.
        ParameterError: FI945, a name or a value is missing.
    """
    given: dict[str, list[tuple[str, str]]] = {option: [] for option in _PAIRS}
    rest: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            rest += [argument, *left]
            break
        if argument not in given:
            rest.append(argument)
            continue
        if len(left) < 2:
            form = "NAME FILE" if argument == "--config" else "NAME JSON"
            raise ParameterError(
                error("FI945", f"{argument} has no {'value' if left else 'name'}", hint=f"write {argument} {form}")
            )
        given[argument].append((left.pop(0), left.pop(0)))
    return ConfigSources.given(given["--config"], given["--config-value"]), rest


def described_configs(flow: type) -> list[tuple[str, str]]:
    """The configs of *flow* for a help text: how each is given, and what it is."""
    states = [config._state for config in configs_of(flow).values()]
    return [
        (
            f"--config {state.name} FILE",
            "  ".join(part for part in (state.help, f"[default: {state.default}]" if state.default else "") if part),
        )
        for state in states
    ]
