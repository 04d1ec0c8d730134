"""``Deployer``: deploying a flow from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Unpack

from flowinfra.control.child import call
from flowinfra.control.deployer.caller import Caller
from flowinfra.control.deployer.deployed import DeployedFlow
from flowinfra.control.deployer.options import Create, CreateOptions
from flowinfra.control.deployer.ownstack import gone
from flowinfra.control.deployer.targets import TargetKind, target_kind
from flowinfra.control.invocation import Invocation, wrong_type
from flowinfra.diagnostics import ConfigurationError, ControlError, error
from flowinfra.orchestrators.base import Adapter, DeploymentInfo
from flowinfra.orchestrators.tokens import TokenHash
from flowinfra.packaging.home import ENV_HOME, Home
from flowinfra.wire import ENV_STORE

__all__ = ["PROGRAM", "Deployer", "TargetDeployer", "destroy"]

#: The program that does it; named, because it is of a layer above.
PROGRAM: Final = "flowinfra.cli.programs.deploy"


class Deployer:
    """Deploys a flow: ``Deployer("flow.py").local().create()``.

    The flow is imported by a process of its own, never by this one; an edited file is read anew each time.

    Args:
        flow: a file, ``file.py:Name``, or a class that is written in a file.
        show_output: print what the deploying process prints.
        profile: the name of a set of ``FLOWINFRA_*`` variables among the user's settings.
        env: further environment variables for the deploying process.
        cwd: the folder whose project it is deployed in (default: the current one).
        file_read_timeout: how long deploying may take, in seconds.
        options: what stands before the command on a command line: ``decospecs=["retry"]``, ``config=...``,
            ``branch=...``, ``production=True``, ``quiet=True``.

    Raises:
        ConfigurationError: an option is unknown or of the wrong type, or there is no such profile; all at once.
        AuthoringError: FI101, there is no such file.
    """

    def __init__(
        self,
        flow: str | os.PathLike[str] | type,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **options: Any,
    ) -> None:
        self._invocation = Invocation.of(flow, options, profile=profile, env=env, cwd=cwd)
        self._show = bool(show_output)
        self._timeout = file_read_timeout

    def local(self, name: str | None = None) -> TargetDeployer:
        """Deploy to this machine: the project's own queue and workers.

        Args:
            name: the deployment's name; by default ``default``, or what the flow's ``@project`` says.
        """
        return self._for("local", name)

    def step_functions(self, name: str | None = None) -> TargetDeployer:
        """Deploy to AWS Step Functions.

        Raises:
            ConfigurationError: FI890, this version of flowinfra cannot.
        """
        return self._for("step_functions", name)

    def argo_workflows(self, name: str | None = None) -> TargetDeployer:
        """Deploy to Argo Workflows.

        Raises:
            ConfigurationError: FI890, this version of flowinfra cannot.
        """
        return self._for("argo_workflows", name)

    def _for(self, target: str, name: str | None) -> TargetDeployer:
        kind = target_kind(target)
        if name is not None and (not isinstance(name, str) or not name.strip() or "/" in name):
            raise ConfigurationError(wrong_type("name", "a text without '/'", name))
        return TargetDeployer(self._invocation, kind, name, show=self._show, timeout=self._timeout)

    def __repr__(self) -> str:
        return f"Deployer({self._invocation.flow.text!r})"


class TargetDeployer:
    """Deploys a flow to one target; made by a method of :class:`Deployer`."""

    def __init__(
        self, invocation: Invocation, kind: TargetKind, name: str | None, *, show: bool, timeout: float
    ) -> None:
        """See :class:`Deployer`."""
        self._invocation = invocation
        self._kind = kind
        self._name = name
        self._show = show
        self._timeout = timeout

    def create(self, **options: Unpack[CreateOptions]) -> DeployedFlow:
        """Deploy the flow, or change what is deployed under its name; nothing else that is deployed is touched.

        It is applied through a stack of its own, with its own lock. The first time a random production token is made; it
        stays until another one is asked for, and is kept among the user's settings.

        Args:
            options: see :class:`~flowinfra.control.deployer.options.CreateOptions`.

        Raises:
            ConfigurationError: an option is unknown, of the wrong type, or excludes another one; all at once.
            ControlError: FI820 or FI821, another stack or user owns a deployment of this name, and its production token
                was not shown (``authorize=``), or a wrong one.
            FlowinfraError: the flow breaks rules, or cannot be deployed; as the deploying process found it.
        """
        given = Create.of(options, self._kind.name)
        asked = self._invocation
        answer = call(
            PROGRAM,
            {
                **asked.to_json(),
                "do": "create",
                "target": self._kind.name,
                "name": self._name,
                "create": given.to_json(),
            },
            doing=f"deploy {asked.flow.text}",
            env=asked.env,
            cwd=asked.cwd,
            show=self._show,
            timeout=self._timeout,
        )
        home = Home(Path(answer["home"]), Path(answer["project_dir"]), answer["store"])
        adapter = self._kind.adapter(home)
        caller = Caller.of(home, asked.env)
        if answer["document"] is not None:
            return DeployedFlow(adapter, caller, _described(answer["document"]), document=answer["document"])
        found = adapter.find(answer["address"])
        if found is None:
            raise ControlError(gone(answer["address"]))
        made = DeployedFlow(adapter, caller, found)
        if given.deployer_attribute_file is not None:
            _write_attributes(Path(given.deployer_attribute_file), made)
        return made

    def __repr__(self) -> str:
        return f"Deployer({self._invocation.flow.text!r}).{self._kind.name}({self._name or ''!r})"


def destroy(adapter: Adapter, caller: Caller, found: DeploymentInfo) -> None:
    """Delete a deployment with the caller's own stack, in a process of its own.

    Raises:
        FlowinfraError: as that process found it.
    """
    home = adapter.home
    call(
        PROGRAM,
        {"do": "destroy", "target": adapter.target, "domain": found.domain, "full_name": found.full_name},
        doing=f"delete {found.full_name}",
        env={**caller.environ, ENV_HOME: str(home.path), ENV_STORE: home.store_url},
        cwd=home.project_dir,
    )


def _described(document: Mapping[str, Any]) -> DeploymentInfo:
    """What is not deployed, as far as its document says it."""
    deployment = document["deployment"]
    return DeploymentInfo(
        flow=deployment["flow"],
        name=deployment["name"],
        address=document["address"],
        domain="",
        owner="",
        release=document["release"]["digest"],
        namespace="",
        generation=0,
        token=TokenHash("", ""),
        parameters=deployment.get("parameters", {}),
    )


def _write_attributes(file: Path, made: DeployedFlow) -> None:
    text = json.dumps({"name": made.name, "flow_name": made.flow_name, "metadata": made.metadata})
    try:
        file.write_text(f"{text}\n", encoding="utf-8")
    except OSError as why:
        raise ConfigurationError(
            error(
                "FI899",
                f"{file} cannot be written: {why.strerror or why}",
                detail=f"{made.name} is deployed; only what was asked for with deployer_attribute_file= is missing",
                hint="give a path in a folder that is there and can be written",
            )
        ) from why
