"""Deployments and the run queue on one SQLite file: all the SQL of flowinfra.

``connection``   one connection per object, thread and process; transactions; what goes wrong, in the user's words
``schema``       the tables, and how a file of an older flowinfra gets them
``deployments``  :class:`~flowinfra.orchestrators.local.records.Deployments`
``queue``        :class:`~flowinfra.orchestrators.local.records.RunQueue`

The file is in WAL mode with ``synchronous=NORMAL``: readers never wait for a writer, and a crash of the machine may lose
the last transactions but never the file. Every write is one ``BEGIN IMMEDIATE`` transaction, so a writer waits for its
turn at the beginning and cannot fail in the middle because another was faster.
"""

from flowinfra.orchestrators.local.sqlite.connection import Database
from flowinfra.orchestrators.local.sqlite.deployments import SqliteDeployments
from flowinfra.orchestrators.local.sqlite.queue import SqliteRunQueue

__all__ = ["Database", "SqliteDeployments", "SqliteRunQueue"]
