"""Packaging: from a flow's sources to what is stored, by digest, and back into a folder that a task can run.

In comes what :mod:`flowinfra.sources` found (the flow's own modules) and what the compiler made (graph and program).
Out go two things, each under the digest of its content:

* a **bundle** (:mod:`~flowinfra.packaging.bundle`): the code, as a tar that is the same bytes wherever it was made;
* a **release** (:mod:`~flowinfra.packaging.release`): graph, program, bundle and versions. It is what a run is pinned
  to and what promotion moves.

Both lie in a :class:`~flowinfra.packaging.store.Store`, the one way in which flowinfra reads and writes objects;
:class:`~flowinfra.packaging.home.Home` says where a project keeps what is local.

What may not happen here: a key that :mod:`flowinfra.wire` did not make; a digest that depends on the machine, the user
or the clock; code that runs or is unpacked before its digest was verified; a secret that is packed because it lay
beside the code. Importing this package imports nothing: a task loads only ``store``, ``unpack`` and ``release``.
"""
