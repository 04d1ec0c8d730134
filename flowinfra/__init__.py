"""flowinfra: infrastructure as code for data and ML flows.

Write a flow once as Python, preview what changes in it, deploy it as Pulumi resources, run it and read its results::

    from flowinfra import FlowSpec, Parameter, step


    class Hello(FlowSpec):
        name = Parameter(default="world")

        @step
        def start(self):
            self.text = f"hello {self.name}"
            self.next(self.end)

        @step
        def end(self):
            print(self.text)

Names are imported when they are first used (PEP 562), so ``import flowinfra`` costs next to nothing and never imports
Pulumi, pydantic or a cloud's SDK. The Pulumi side is in :mod:`flowinfra.components`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flowinfra._version import __version__

if TYPE_CHECKING:
    from flowinfra.authoring.configs import Config
    from flowinfra.authoring.decorators import catch, environment, resources, retry, timeout
    from flowinfra.authoring.environment import TaskEnvironment, step
    from flowinfra.authoring.expressions import config_expr
    from flowinfra.authoring.flowspec import FlowSpec
    from flowinfra.authoring.hooks import exit_hook
    from flowinfra.authoring.parameters import IncludeFile, JSONType, Parameter
    from flowinfra.authoring.project import project
    from flowinfra.authoring.secrets import Secret, secrets
    from flowinfra.authoring.spec import DeploymentSpec
    from flowinfra.authoring.values import Resources
    from flowinfra.control.client import Artifact, DataArtifact, Flow, Flows, Run, Step, Task
    from flowinfra.control.deployer.deployed import DeployedFlow
    from flowinfra.control.deployer.facade import Deployer
    from flowinfra.control.deployer.triggered import TriggeredRun
    from flowinfra.control.namespaces import default_namespace, get_namespace, namespace
    from flowinfra.control.notebook import NBDeployer, NBRunner
    from flowinfra.control.runner.executing import ExecutingRun, ExecutingTask
    from flowinfra.control.runner.runner import Runner
    from flowinfra.diagnostics import Diagnostic, FlowinfraError
    from flowinfra.runtime.current import current
    from flowinfra.targets.local import Local

__all__ = [
    "Artifact",
    "Config",
    "DataArtifact",
    "DeployedFlow",
    "Deployer",
    "DeploymentSpec",
    "Diagnostic",
    "ExecutingRun",
    "ExecutingTask",
    "Flow",
    "FlowSpec",
    "FlowinfraError",
    "Flows",
    "IncludeFile",
    "JSONType",
    "Local",
    "NBDeployer",
    "NBRunner",
    "Parameter",
    "Resources",
    "Run",
    "Runner",
    "Secret",
    "Step",
    "Task",
    "TaskEnvironment",
    "TriggeredRun",
    "__version__",
    "catch",
    "config_expr",
    "current",
    "default_namespace",
    "environment",
    "exit_hook",
    "get_namespace",
    "namespace",
    "project",
    "resources",
    "retry",
    "secrets",
    "step",
    "timeout",
]

_HOMES = {
    "flowinfra.authoring.configs": ("Config",),
    "flowinfra.authoring.decorators": ("catch", "environment", "resources", "retry", "timeout"),
    "flowinfra.authoring.environment": ("TaskEnvironment", "step"),
    "flowinfra.authoring.expressions": ("config_expr",),
    "flowinfra.authoring.flowspec": ("FlowSpec",),
    "flowinfra.authoring.hooks": ("exit_hook",),
    "flowinfra.authoring.parameters": ("IncludeFile", "JSONType", "Parameter"),
    "flowinfra.authoring.project": ("project",),
    "flowinfra.authoring.secrets": ("Secret", "secrets"),
    "flowinfra.authoring.spec": ("DeploymentSpec",),
    "flowinfra.authoring.values": ("Resources",),
    "flowinfra.control.client": ("Artifact", "DataArtifact", "Flow", "Flows", "Run", "Step", "Task"),
    "flowinfra.control.namespaces": ("default_namespace", "get_namespace", "namespace"),
    "flowinfra.control.deployer.deployed": ("DeployedFlow",),
    "flowinfra.control.deployer.facade": ("Deployer",),
    "flowinfra.control.deployer.triggered": ("TriggeredRun",),
    "flowinfra.control.notebook": ("NBDeployer", "NBRunner"),
    "flowinfra.control.runner.executing": ("ExecutingRun", "ExecutingTask"),
    "flowinfra.control.runner.runner": ("Runner",),
    "flowinfra.diagnostics": ("Diagnostic", "FlowinfraError"),
    "flowinfra.runtime.current": ("current",),
    "flowinfra.targets.local": ("Local",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'flowinfra' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
