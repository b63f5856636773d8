"""The points at which a run that is killed has done part of its work for good, each with its name.

Belongs here: the names and the place where tests listen. What is done at a point, and what the next run makes of
a death there, belongs to the code that calls :func:`reached`. In operation nobody listens, and a point costs the
call of an empty function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class CommitPoint(StrEnum):
    """A point in the course of a run. Between two of them nothing lasting happens."""

    READ = "read"
    """The first rows have come from the source; nothing is written."""
    LANDED = "landed"
    """A file of the batch is complete in the lake, in a folder under a temporary name."""
    MANIFEST = "manifest"
    """All files and the manifest are on disk, still under the temporary name."""
    RENAMED = "renamed"
    """The batch has its name in the lake; the ledger does not know it."""
    MERGED = "merged"
    """The rows are in the raw table, not committed."""
    MARKED = "marked"
    """Rows that are gone at the source are marked, not committed."""
    QUARANTINED = "quarantined"
    """The rows set aside are in the quarantine, not committed."""
    ENTERED = "entered"
    """The ledger entry is written, not committed."""
    SETTLED = "settled"
    """Entries of the quarantine that are no longer open are settled, not committed."""
    DECIDED = "decided"
    """Decisions of a person on quarantined rows are recorded, not committed."""
    COMMITTING = "committing"
    """A transaction of the warehouse is complete and not committed."""
    COMMITTED = "committed"
    """A transaction of the warehouse is committed."""
    LOG_APPLIED = "log applied"
    """A stretch of the change log is in raw; the source was not told."""
    LOG_CONFIRMED = "log confirmed"
    """The source was told that it may forget that stretch of its log."""
    COMPARED = "compared"
    """Both sides of a reconciliation are compared; no difference is settled."""
    RECONCILED = "reconciled"
    """Some of the differences are settled and committed, others may be left."""
    BUILD_BEGUN = "build begun"
    """The build has the warehouse for itself and its begin is recorded; dbt was not started."""
    BUILD_ENDED = "build ended"
    """dbt has ended; its results are not recorded."""
    PUBLICATION_WRITTEN = "publication written"
    """All marts of the next version are written; readers have the former one."""
    PUBLICATION_SWITCHED = "publication switched"
    """The names lead to the next version: on DuckDB for readers, on PostgreSQL in the open transaction."""
    PUBLICATION_RECORDED = "publication recorded"
    """The next version is in the ledger, on either engine committed and what readers get."""
    PUBLICATIONS_DROPPED = "publications dropped"
    """Versions beyond those to keep are dropped."""


Listener = Callable[[CommitPoint], None]

_listeners: list[Listener] = []


def reached(point: CommitPoint) -> None:
    """Tell who listens that the run is at ``point``."""
    for listener in _listeners:
        listener(point)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have ``listener`` told of every point, in the thread that reaches it."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
