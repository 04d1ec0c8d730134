"""Deploying from Python: ``Deployer`` → ``DeployedFlow`` → ``TriggeredRun``, the same on every target.

====================  ===========================================================================================
``facade``            :class:`~.facade.Deployer`, whose ``create()`` has a process of its own deploy
``ownstack``          what that process does: it applies a stack with this one deployment
``options``           what ``create()`` is told, checked before anything starts
``deployed``          :class:`~.deployed.DeployedFlow`: what is deployed, found without its source code
``triggered``         :class:`~.triggered.TriggeredRun`: one of its runs
``values``            Python values for the parameters of what is deployed
``caller``            who asks, and what he may do without showing a production token
``tokens``            the production tokens that a user knows
``targets``           what can be deployed to
====================  ===========================================================================================

There is one way to deploy underneath: a stack program (design, section 4). What a target adds is its component and an
:class:`~flowinfra.orchestrators.base.Adapter`. What may not happen here: the flow that is imported by the caller's
process, a deployment that another one's deletion takes with it, a word for a state that is not in ``model.states``.
"""
