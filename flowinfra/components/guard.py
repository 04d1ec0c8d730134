"""What a component asks of the stack's mode before it registers anything.

``flowinfra up`` previews, asks and refuses by itself (:mod:`flowinfra.control.modes`) and listens to what is registered;
whoever runs the program otherwise, such as the plain Pulumi CLI, is told and refused here.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from typing import Final

import pulumi

from flowinfra.components.checkout import Checkout, checkout_findings, read_checkout
from flowinfra.components.modes import Mode
from flowinfra.components.observe import FORCED, OBSERVED
from flowinfra.diagnostics import ConfigurationError, Diagnostic, error
from flowinfra.model.plan import AppliedDefault
from flowinfra.packaging.home import Home

__all__ = ["ENV_FORCE", "guard", "plan_finding"]

#: Environment variable that goes on where the stack's mode refuses to: ``--force`` for the plain Pulumi CLI.
ENV_FORCE: Final = "FLOWINFRA_FORCE"

#: The checkout, as the run of the program in this context has seen it: git is asked once and not per deployment.
_SEEN: Final[ContextVar[Checkout | None]] = ContextVar("flowinfra_checkout", default=None)
#: What was said in this context already.
_SAID: Final[ContextVar[frozenset[str]]] = ContextVar("flowinfra_said", default=frozenset())


def guard(mode: Mode, defaults: Iterable[AppliedDefault], packed: Collection[str]) -> None:
    """Tell what *mode* changes, and refuse what it does not allow.

    Args:
        mode: what holds for the stack.
        defaults: what it has changed in the deployment that is being made.
        packed: the paths in the deployment's bundle.

    Raises:
        ConfigurationError: FI670 to FI673, where this is no preview, nobody forces it and nobody has asked before.
    """
    checkout = _checkout() if mode.require_clean or mode.branch != "" else Checkout()
    stack_wide = mode.stack_defaults(checkout.default_branch)
    listener = OBSERVED.get()
    if listener is not None:
        listener.tell(stack_wide)
        return
    if mode.name:
        effects = (*stack_wide, *defaults)
        words = "".join(f"\n  {d.effect} ({d.setting})" for d in effects)
        _say_once(mode.name, f"the stack's mode is {mode.name}{words}")
    found = [*checkout_findings(checkout, mode, packed), *plan_finding(mode, saved_plan=False)]
    if not found:
        return
    if pulumi.runtime.is_dry_run() or FORCED.get() or os.environ.get(ENV_FORCE) == "1":
        forced = not pulumi.runtime.is_dry_run()
        for diagnostic in found:
            _say_once(str(diagnostic), f"{'forced' if forced else '`up` would refuse'}: {diagnostic}", warns=True)
        return
    raise ConfigurationError(found)


def plan_finding(mode: Mode, *, saved_plan: bool) -> list[Diagnostic]:
    """Why *mode* refuses to apply what was not saved and looked at before."""
    if not mode.require_plan or saved_plan:
        return []
    return [
        error(
            "FI673",
            "this stack applies saved plans only",
            detail="flowinfra:require_plan is true: what is applied is what somebody has looked at.",
            hint="flowinfra preview --save-plan FILE, then flowinfra up --plan FILE; --force (FLOWINFRA_FORCE=1 for the "
            "Pulumi CLI) goes on once",
        )
    ]


def _checkout() -> Checkout:
    seen = _SEEN.get()
    if seen is None:
        seen = read_checkout(Home.find().project_dir)
        _SEEN.set(seen)
    return seen


def _say_once(key: str, text: str, *, warns: bool = False) -> None:
    if key in _SAID.get():
        return
    _SAID.set(_SAID.get() | {key})
    (pulumi.log.warn if warns else pulumi.log.info)(text)
