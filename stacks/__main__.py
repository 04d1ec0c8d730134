"""The stack program: which flows are deployed. `flowinfra up` and `pulumi up` run it as it is."""

import flowinfra.components as fic
from census import stdlib

fic.export(fic.FlowDeployment("census", stdlib))
