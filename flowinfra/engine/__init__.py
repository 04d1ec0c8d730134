"""Engines: what turns a stack program into a plan, and a plan into what exists.

A stack program registers resources with Pulumi's Python SDK. The embedded engine and the recorder run it in process
under a resource monitor of their own and differ only in who answers the calls to providers::

    program.py       runs the user's program: own thread, own loop, empty context
      │  RegisterResource, ReadResource, Invoke, ...
    monitor.py       the duck-typed monitor that the SDK talks to; registration.py, transforms.py, callbacks.py read
      │  goals       what a registration asks for
    steps.py         same, create, update, replace, delete?       deletion.py   what goes, in which order
      │              targeting.py   which of it was asked for     adopting.py   what an interrupted operation has made
      │              reading.py, reverting.py   refreshes
      │  check, diff, create, ...
    interpreter.py   the questions to providers; packages.py answers them for real or as a preview (calls.py makes the
      │              calls, answers.py looks at what comes back), recorder.py and offline.py from records
    ledger.py        the last state and what this operation made of it
      │  records
    saving.py        the journal of each change, and the checkpoint now and then ──▶ state/  (Pulumi's own files, in a
      │              folder or a bucket, with locks, secrets, and what a killed operation has left)
    planning.py      every decision becomes a Change of the Plan

deployment.py is what the parts of one operation share, session.py its life, embedded.py the engine. A preview is the
same code with another interpreter and a journal that keeps nothing. State, locks and secrets are Pulumi's own forms, so
that the real CLI reads, changes and destroys what these engines made, and the other way round. What is not supported is
refused by name (:func:`flowinfra.engine.base.unsupported`).

The engine of the package pulumi/ leaves all of it to the Pulumi CLI, and makes our Plan of its events.

Nothing outside this package, the components and the providers imports pulumi. Importing an engine does not import it
either; running an operation does.
"""
