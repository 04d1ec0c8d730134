"""Engines: what turns a stack program into a plan, and a plan into what exists.

A stack program registers resources with Pulumi's Python SDK. The embedded engine and the recorder run it in process
under a resource monitor of their own and differ only in who answers the calls to providers::

    program.py     runs the user's program: own thread, own loop, empty context
      │  RegisterResource, ReadResource, Invoke, ...
    monitor.py     the duck-typed monitor that the SDK talks to
      │  goals
    steps.py       same, create, update, replace, delete?          deletion.py   what goes, in which order
      │  check, diff, create, ...
    interpreter.py the questions to providers; packages.py answers them for real or as a preview, recorder.py from records
      │
    ledger.py      the last state and what this operation made of it ──journal──▶ state/  (Pulumi's own files)
      │
    planning.py    every decision becomes a Change of the Plan

A preview is the same code with another interpreter and without a journal. State, locks and secrets are Pulumi's own
forms, so that the real CLI reads, changes and destroys what these engines made, and the other way round. What is not
supported is refused by name (:func:`flowinfra.engine.base.unsupported`).

Nothing outside this package, the components and the providers imports pulumi. Importing an engine does not import it
either; running an operation does.
"""
