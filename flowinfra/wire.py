"""The wire protocol of a run: every key, name and string that a run reads or writes.

This is the only module that knows a key, so that whoever takes part in a run (the task program in a container, the
orchestrator that started it, the client that reads it) agrees by construction. It imports nothing but the standard
library: it is the first thing that a task loads.

Ids
    A task's id is its path: ``0`` at the top; a foreach child appends ``.<index>``, a loop iteration ``-<n>``, a task
    started by a driver ``.<32 hex digits>``. Nothing is drawn at random, so the second attempt of a task finds what the
    first one left.
Commit
    ``artifacts.json`` is written create-only and is the one moment at which a task happened; ``control.json`` and
    ``last.json`` are copies out of it for those who do not read commits.
"""

from __future__ import annotations

import re
import secrets
import time
from hashlib import sha256
from typing import Final, NamedTuple

__all__ = [
    "ENV_ATTEMPT",
    "ENV_CODE",
    "ENV_LOGS",
    "ENV_NAMESPACE",
    "ENV_STORE",
    "FALLBACK",
    "TASK_PROGRAM",
    "WIRE_VERSION",
    "Attempt",
    "Commit",
    "End",
    "RunDocument",
    "Tags",
    "attempt_folder",
    "blob_key",
    "bundle_key",
    "child_id",
    "driven_id",
    "execution_name",
    "flow_key",
    "hook_folder",
    "index_key",
    "index_prefix",
    "iteration_id",
    "log_key",
    "parse_task_id",
    "release_key",
    "run_from_index",
    "run_id",
    "run_key",
    "run_prefix",
    "scope_digits",
    "step_prefix",
    "tags_key",
    "tags_prefix",
    "task_command",
    "task_key",
    "version_from_tags",
    "version_key",
]

#: Raised when a run of an older release could no longer be continued by a newer task program.
WIRE_VERSION: Final = 1

#: The task program; its arguments are ``CODE RUN STEP TASK ATTEMPT``.
TASK_PROGRAM: Final = "flowinfra-task"

#: The attempt of a step with ``catch`` whose real attempts have all failed.
FALLBACK: Final = "fallback"

#: Environment of a task: URL of the store; folder of the unpacked bundle, where the orchestrator has one ready; the
#: orchestrator's own unique name of this attempt; ``inherit`` where the orchestrator itself keeps the logs.
ENV_STORE: Final = "FLOWINFRA_STORE"
ENV_CODE: Final = "FLOWINFRA_CODE"
ENV_ATTEMPT: Final = "FLOWINFRA_ATTEMPT"
ENV_LOGS: Final = "FLOWINFRA_LOGS"

#: The tag that runs must have to be seen by the client, where a program does not say another; empty means all runs.
ENV_NAMESPACE: Final = "FLOWINFRA_NAMESPACE"

_PLAIN_FLOW = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TASK_ID = re.compile(r"0(?:[.-][0-9]+|\.[0-9a-f]{32})*\Z")
_VERSIONS_TOP = 10**10
_INDEX_TOP = 10**13  # milliseconds; beyond the year 2286 the index would no longer sort


# -- documents: the names of the fields, each where it is read and written ------------------------------------------


class RunDocument:
    """Fields of ``run.json`` (create-only, by whoever starts the run)."""

    WIRE: Final = "wire"
    RELEASE: Final = "release"
    FLOW: Final = "flow"
    DEPLOYMENT: Final = "deployment"
    TARGET: Final = "target"
    ADDRESS: Final = "address"
    STARTED: Final = "started"  # milliseconds since the epoch
    TAGS: Final = "tags"
    ORIGIN: Final = "origin"
    RERUN: Final = "rerun"  # of a resumed run: steps of which nothing was to be taken over
    USER: Final = "user"


class Commit:
    """Fields of ``artifacts.json``."""

    ARTIFACTS: Final = (
        "artifacts"  # name -> {"blob": sha256, "codec": word, "type": text, "size": bytes, "text": short form}
    )
    ITEMS: Final = (
        "items"  # of a foreach whose items are not simply those of a short list: {"each": n, "blobs": [refs]}
    )
    PARENTS: Final = "parents"  # [[step, task], ...]
    CONTROL: Final = "control"  # the value of control.json, absent for steps that decide nothing
    ATTEMPT: Final = "attempt"  # the name of the attempt's folder
    ORIGIN: Final = "origin"  # of a resumed task: the task whose commit this is a copy of
    FAILED: Final = "failed"  # true where a fallback stands in for the step


class Attempt:
    """Fields of ``begin.json``, ``end.json`` and ``error.json`` of an attempt."""

    TIME: Final = "time"  # milliseconds since the epoch
    HOST: Final = "host"
    PID: Final = "pid"
    OUTCOME: Final = "outcome"  # end.json: committed | superseded | failed
    TYPE: Final = "type"
    MESSAGE: Final = "message"
    TRACEBACK: Final = "traceback"
    CODE: Final = "code"  # of a diagnostic of ours, else absent
    STEP: Final = "step"
    TASK: Final = "task"


class End:
    """Fields of ``end.json`` of a run (create-only)."""

    STATE: Final = "state"
    TIME: Final = "time"
    ERROR: Final = "error"


class Tags:
    """Fields of a version of a run's tags (create-only): all tags of people, when they became these, and by whom."""

    TAGS: Final = "tags"
    TIME: Final = "time"
    USER: Final = "user"


# -- names ----------------------------------------------------------------------------------------------------------


def flow_key(name: str) -> str:
    """*name* as it stands in keys: itself if it is plain, else a slug and eight digits of its hash.

    The dot between them keeps it apart from every plain name.
    """
    if _PLAIN_FLOW.match(name):
        return name
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:48]
    return f"{slug or 'flow'}.{_digits(name)}"


def scope_digits(*parts: str) -> str:
    """The eight hex digits in front of a run id: of the deployment's full address, or of project and flow."""
    return _digits("\0".join(parts))


def execution_name(started_ms: int) -> str:
    """A new name for an execution that is ours to name: sorts by time, unique by 40 random bits (at most 80 characters)."""
    at = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started_ms / 1000))
    return f"{at}-{secrets.token_hex(5)}"


def run_id(scope: str, execution: str) -> str:
    """``<8 hex digits of the deployment>-<the execution's name>``, at most 89 characters."""
    return f"{scope}-{execution}"


def child_id(task: str, index: int) -> str:
    """The id of item *index* of a foreach that *task* decided."""
    return f"{task}.{index}"


def iteration_id(task: str, n: int) -> str:
    """The id of iteration *n* (from 0) of a loop that was entered with the id *task*."""
    return f"{task}-{n}"


def driven_id(task: str, identity: str) -> str:
    """The id of a task that the driver *task* starts; *identity* is hashed to 32 hex digits."""
    return f"{task}.{sha256(identity.encode()).hexdigest()[:32]}"


def parse_task_id(task: str) -> list[tuple[str, str]]:
    """The parts behind the leading ``0`` as ``(separator, text)``; ``.`` is an item or a driven task, ``-`` an iteration.

    Raises:
        ValueError: it is no task id.
    """
    if not _TASK_ID.match(task):
        raise ValueError(f"{task!r} is no task id")
    return [(part[0], part[1:]) for part in re.findall(r"[.-][0-9a-f]+", task)]


def task_command(code: str, run: str, step: str, task: str, attempt: str) -> list[str]:
    """The command of a task: five plain strings behind the name of the program."""
    return [TASK_PROGRAM, code, run, step, task, attempt]


# -- keys -----------------------------------------------------------------------------------------------------------


def bundle_key(digest: str) -> str:
    """The code of a flow."""
    return f"bundles/{digest}"


def release_key(digest: str) -> str:
    """A release as canonical JSON; its name is the SHA-256 of its bytes."""
    return f"releases/{digest}.json"


def version_key(domain: str, name: str, version: str) -> str:
    """A named version: the digest of its release."""
    return f"versions/{domain}/{name}/{version}"


def blob_key(flow: str, digest: str) -> str:
    """A value by content; *flow* is the flow's name."""
    return f"blobs/{flow_key(flow)}/{digest}"


def run_prefix(flow: str, run: str = "") -> str:
    """The folder of a run, or of all runs of a flow; ends with ``/``."""
    return f"runs/{flow_key(flow)}/{run}/" if run else f"runs/{flow_key(flow)}/"


def run_key(flow: str, run: str, document: str) -> str:
    """``input.json``, ``run.json`` or ``end.json`` of a run."""
    return f"{run_prefix(flow, run)}{document}"


def tags_prefix(flow: str, run: str) -> str:
    """The folder of the versions of a run's tags, of which the newest is listed first; empty while nobody changed them."""
    return f"{run_prefix(flow, run)}tags/"


def tags_key(flow: str, run: str, version: int) -> str:
    """Version *version*, from 1, of a run's tags. Whoever creates it has changed the version before; nobody else has."""
    return f"{tags_prefix(flow, run)}{_VERSIONS_TOP - version:010d}.json"


def version_from_tags(key: str) -> int:
    """The number of the version out of its key."""
    return _VERSIONS_TOP - int(key.rsplit("/", 1)[-1].removesuffix(".json"))


def step_prefix(flow: str, run: str, step: str = "") -> str:
    """The folder of a step's tasks, or of all steps; ends with ``/``."""
    return f"{run_prefix(flow, run)}steps/{step}/" if step else f"{run_prefix(flow, run)}steps/"


def task_key(flow: str, run: str, step: str, task: str, document: str = "") -> str:
    """``artifacts.json``, ``control.json`` or ``last.json`` of a task; the task's folder without a document."""
    return f"{step_prefix(flow, run, step)}{task}/{document}"


def attempt_folder(number: str, unique: str) -> str:
    """The name of an attempt's folder, under ``attempts/`` of its task."""
    return f"{number}-{unique}"


def hook_folder(flow: str, run: str) -> str:
    """The folder of what a run's exit hooks have printed, in chunks as :func:`log_key` names them; ends with ``/``."""
    return f"{run_prefix(flow, run)}hooks/"


def log_key(folder: str, stream: str, sequence: int) -> str:
    """A chunk of a log under an attempt's *folder*; *stream* is ``out`` or ``err``, chunks are counted from 0."""
    return f"{folder}{stream}.{sequence}"


def index_prefix(flow: str) -> str:
    """The folder whose listing is the runs of a flow, newest first."""
    return f"index/{flow_key(flow)}/"


def index_key(flow: str, started_ms: int, run: str) -> str:
    """The entry of a run in the index; made from ``started`` in run.json, so it is one entry however often it is written."""
    return f"{index_prefix(flow)}{_INDEX_TOP - started_ms:013d}-{run}"


class IndexEntry(NamedTuple):
    """What an index key says."""

    run: str
    started_ms: int


def run_from_index(key: str) -> IndexEntry:
    """The run and its start out of a key in the index."""
    inverted, _, run = key.rsplit("/", 1)[-1].partition("-")
    return IndexEntry(run, _INDEX_TOP - int(inverted))


def _digits(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
