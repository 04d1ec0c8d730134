"""The command line: thin commands over ``control``, and the views that render what they return.

A command does four things: it reads its arguments, calls one function of a lower layer, hands the result to a view, and
ends with an exit code of :class:`~flowinfra.cli.exits.Exit`. stdout is for data, stderr for progress; ``--json`` never
asks anything. Commands are imported when they are called, so that each pays for its own imports only.
"""
