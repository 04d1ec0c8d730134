"""What the Pulumi CLI says in words, as diagnostics. Pure.

Most of what goes wrong comes as text of the engine, with the URN that it concerns. The kinds that have a code of their
own are recognised by Pulumi's wording (``pkg/resource/deploy``, ``pkg/backend/diy``); what is not recognised is passed
on in its own words.
"""

from __future__ import annotations

import re
import signal
from typing import Final

from flowinfra.diagnostics import Diagnostic, error
from flowinfra.engine.urns import urn_name

__all__ = ["command_failure", "ended_by_signal", "failure", "is_noise", "no_stack", "pending", "plain_text"]

_COLOUR: Final = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")
_CHECK: Final = re.compile(
    r"resource '[^']*'(?:: property (?P<name>.+?) value .*?)? has a problem: (?P<why>.*)", re.DOTALL
)
_PENDING: Final = re.compile(r"^\s*\* (?P<urn>urn:pulumi:\S+), interrupted while (?P<doing>\w+)", re.MULTILINE)
_PLUGIN: Final = re.compile(r"(?:no resource plugin 'pulumi-resource-|no resource plugin ')(?P<name>[\w-]+)")
_DUPLICATE: Final = re.compile(r"[Dd]uplicate resource URN '(?P<urn>[^']+)'")
_TARGET: Final = re.compile(
    r"Target '(?P<name>.+)' could not be found in the stack|no resource named '(?P<named>.+)' found"
)
_CAUSE: Final = re.compile(r"^(?:Error:\s+|panic: )(?P<what>.+)$", re.MULTILINE)
_HOOK: Final = re.compile(r'hook "(?P<name>[^"]+)" was not registered')
_PROTECTED: Final = re.compile(r"marked for protection|because it is protected")
_WHERE_RAISED: Final = re.compile(r"Unexpected <class '[^']*'>: (?P<what>.*?):\n\s+File \"", re.DOTALL)


#: What a provider is doing, by Pulumi's words of operations.
_DOING: Final = {
    "create": "creating",
    "create-replacement": "creating",
    "import": "importing",
    "import-replacement": "importing",
    "update": "updating",
    "delete": "deleting",
    "delete-replaced": "deleting",
    "read": "reading",
    "refresh": "reading",
}
#: Our own plugin lies in the folder that was put on PATH for it.
_OWN_PLUGIN: Final = re.compile(r"using pulumi-resource-flowinfra from \$PATH")


def plain_text(message: str) -> str:
    """*message* without marks of colour."""
    return _COLOUR.sub("", message).strip()


def is_noise(message: str) -> bool:
    """Whether it only says that there were errors, or that our own plugin was found where we had put it."""
    return bool(_OWN_PLUGIN.match(message)) or message in (
        "update failed",
        "preview failed",
        "destroy failed",
        "refresh failed",
        "resource monitor shut down",
    )


def failure(message: str, urn: str, op: str = "") -> Diagnostic:
    """The diagnostic of an error that the engine tells.

    Args:
        message: its words.
        urn: the resource that it concerns, if there is one.
        op: what was being done to that.
    """
    name = f"'{urn_name(urn)}'" if urn else "the operation"
    place = f"{urn}: " if urn else ""
    check = _CHECK.search(message)
    if check and urn:
        what = ": ".join(part for part in (check["name"], check["why"].strip()) if part)
        return error(
            "FI605",
            f"{name} has an input that its provider does not accept: {what}",
            detail=urn,
            hint="correct the input where the resource is registered",
        )
    if _PROTECTED.search(message):
        doing = "replaced" if "replace" in message else "deleted"
        return error(
            "FI606",
            f"{name} is protected and would have to be {doing}",
            detail=urn or message,
            hint=("take back the change" if doing == "replaced" else "register it again")
            + ", or remove `protect` from the resource and run `flowinfra up` first",
        )
    duplicate = _DUPLICATE.search(message)
    if duplicate:
        return error(
            "FI607",
            f"two resources are registered as {duplicate['urn']}",
            detail="a URN is made of type, name and parents",
            hint="give one of them another name",
        )
    plugin = _PLUGIN.search(message)
    if plugin:
        return missing_plugin(plugin["name"], f"{place}{message}")
    target = _TARGET.search(message)
    if target:
        return unknown_target(target)
    hook = _HOOK.search(message)
    if hook:
        return error(
            "FI609",
            f"the hook '{hook['name']}' of {name} is not registered",
            detail=f"{urn} was deployed with it, and the program does not register it now",
            hint="register the hook again in the stack program; to destroy the stack, use `pulumi destroy --run-program`",
        )
    doing = f"{_DOING[op]} {name}" if op in _DOING and urn else name
    raised = _WHERE_RAISED.search(message)
    said = (raised["what"] if raised else message).strip()
    return error(
        "FI604",
        f"{doing} failed: {said.splitlines()[0]}",
        detail="\n".join([urn, *said.splitlines()[1:]]).strip(),
        hint="nothing of it is recorded as done; correct the cause, then run the operation again",
    )


def unknown_target(match: re.Match[str]) -> Diagnostic:
    """What `--target` names is no resource of the stack."""
    return error(
        "FI651",
        f"the target {match['name'] or match['named']} is no resource of the stack",
        detail="neither the state nor the program has it",
        hint="name a URN as `flowinfra preview --json` lists them, in quotes: a shell replaces $; or a pattern, such as "
        "'**::name'",
    )


def ended_by_signal(doing: str, number: int) -> Diagnostic:
    """The CLI was killed in the middle.

    Args:
        doing: the words of the command.
        number: the signal.
    """
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return error(
        "FI628",
        f"the Pulumi CLI was ended by {name} while it ran `pulumi {doing}`",
        detail="what it had done until then is in the state; what it was doing is recorded there as begun",
        hint="if it was not you, see whether the machine ran out of memory; its lock is removed by `flowinfra cancel`; "
        "then run the command again",
    )


def missing_plugin(name: str, detail: str) -> Diagnostic:
    """The CLI finds no plugin for a package."""
    name = name.removeprefix("pulumi-resource-")
    return error(
        "FI646",
        f"the Pulumi CLI finds no plugin for package '{name}'",
        detail=detail,
        hint=f"put `pulumi-resource-{name}` on PATH, name its folder under `plugins` in Pulumi.yaml, or run "
        f"`pulumi plugin install resource {name} VERSION`",
    )


def pending(message: str) -> list[tuple[str, str]]:
    """What was being done, and to which URN, in the warning that lists what an interrupted operation has left."""
    return [(match["doing"], match["urn"]) for match in _PENDING.finditer(message)]


def no_stack(stderr: str) -> bool:
    """Whether the CLI says that there is no such stack."""
    return bool(re.search(r"no stack named .* found", stderr))


def command_failure(doing: str, code: int, stderr: str) -> Diagnostic:
    """The diagnostic of a command that failed without any event that says why.

    Args:
        doing: the words of the command.
        code: its exit code.
        stderr: what it said.
    """
    said = plain_text(stderr).removeprefix("error: ")
    if "the stack is currently locked by" in said or "Another update is currently in progress" in said:
        return error(
            "FI620",
            "the stack is locked by another operation",
            detail=said,
            hint="wait until the other operation has ended; if it never will, `flowinfra cancel` removes its lock",
        )
    if "incorrect passphrase" in said:
        return error(
            "FI621",
            "wrong passphrase: it does not open the secrets of this stack",
            detail="the key made from it does not fit the salt in the state or in the stack's configuration",
            hint="set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the passphrase with which the stack "
            "was made",
        )
    if "passphrase must be set" in said:
        return error(
            "FI622",
            "the passphrase of the stack's secrets is not known",
            detail=said.splitlines()[0],
            hint="set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the passphrase with which the stack "
            "was made",
        )
    plugin = _PLUGIN.search(said)
    if plugin:
        return missing_plugin(plugin["name"], said)
    target = _TARGET.search(said)
    if target:
        return unknown_target(target)
    cause = _CAUSE.search(said)
    if cause and "snapshot integrity" in said:
        return error(
            "FI625",
            f"the state does not fit together: {cause['what'].rpartition('refusing to use it: ')[2]}",
            detail="the Pulumi CLI refuses to work with it",
            hint="run `flowinfra state repair`",
        )
    if cause and "goroutine " in said:  # its stack says nothing to anybody but its authors
        said = f"{cause['what']}\nit has failed in itself, which is not how it should fail"
    lines = said.splitlines() or [f"it ended with exit code {code} and said nothing"]
    return error(
        "FI647",
        f"`pulumi {doing}` failed: {lines[0]}",
        detail="\n".join(lines[1:]),
        hint="correct the cause; `pulumi` itself, run in the same folder, says more with `--verbose 3 --logtostderr`",
    )
