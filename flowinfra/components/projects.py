"""In which branch of its project a stack deploys a flow with ``@project``."""

from __future__ import annotations

import re

from flowinfra.authoring.flowspec import FlowSpec
from flowinfra.authoring.project import check_project, project_of_tags, resolve_project
from flowinfra.components.settings import NAMESPACE, Settings
from flowinfra.model.deployment import Deployment

__all__ = ["in_project"]


def in_project(deployment: Deployment, flow: type[FlowSpec], settings: Settings, user: str) -> Deployment:
    """*deployment* with the tags of the project that *flow* is in; one that has them already stays.

    Where neither the decorator nor a setting says it, the branch is that of the stack: a stack of the mode ``production``
    deploys the production, one of the mode ``development`` the branch of *user*, and every other the branch
    ``test.<stack>``, so that it is the same whoever deploys it.

    Raises:
        FlowinfraError: FI170 or FI171, see :func:`flowinfra.authoring.project.resolve_project`.
    """
    declared, _ = check_project(flow)
    if declared is None or project_of_tags(deployment.flow, deployment.tags) is not None:
        return deployment
    production = settings.project_production
    if production is None:
        production = settings.mode == "production" and declared.production is None
    branch = settings.project_branch
    if branch is None and declared.branch is None and not production and not declared.production:
        branch = None if settings.mode == "development" else re.sub(r"[^a-z0-9_]", "_", settings.stack.lower())[:128]
    project = resolve_project(
        flow,
        branch=branch,
        production=production,
        user=user,
        options=(f"{NAMESPACE}:project_branch", f"{NAMESPACE}:project_production"),
    )
    assert project is not None  # the flow is in one
    return deployment.model_copy(update={"tags": tuple(dict.fromkeys([*deployment.tags, *project.tags]))})
