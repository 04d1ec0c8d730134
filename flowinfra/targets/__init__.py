"""What a flow can be deployed to.

A target is a value that authors write (``Local(max_workers=4)``) and a table of what it can do, as data that checks
read. Compiling for a target is a pure function of graph, program and deployment. Targets do not import one another, and
none of them talks to anything: that is the business of ``orchestrators`` and ``components``.
"""
