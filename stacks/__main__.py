"""The stack program: which flows are deployed. `flowinfra up` and `pulumi up` run it as it is."""

from census import stdlib

import flowinfra.components as fic

fic.export(fic.FlowDeployment("census", stdlib))
