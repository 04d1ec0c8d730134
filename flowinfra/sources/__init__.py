"""Sources: which modules are the flow's own, and the digest of what they say.

In comes a flow file and the folder that its imports start from. Out go :class:`~flowinfra.sources.walk.Modules`, the
flow's own modules with what each of them imports (:mod:`~flowinfra.sources.walk`), and digests of code that do not
depend on positions, comments, docstrings, formatting or the version of Python (:mod:`~flowinfra.sources.digest`).

Everything is read from syntax trees. What may not happen here: importing or running the user's code, asking the
interpreter's import path (two machines have two), or following a link out of the flow's folder. Each file is read once,
so that the digest and the bundle are of the same bytes. Nothing in here needs more than the standard library.
"""
