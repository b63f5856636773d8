"""What every reader of a source gives: chunks of rows, each row with its position in the source."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

POSITION = "_position"
"""Text column of every chunk: where the row stands in its source (``file:line``, ``page 3, item 7``)."""

REJECTED_SCHEMA = {POSITION: pl.String, "_raw": pl.String, "_rule": pl.String, "_detail": pl.String}


@dataclass(frozen=True)
class Chunk:
    """Some rows of one source table, in source order.

    ``rows``: one column per source field, of the source's own type or text, and ``_position``.
    ``rejected``: pieces that could not be split into fields (:data:`REJECTED_SCHEMA`): where, the text as
    it stands, the rule it broke (``line.malformed`` or ``line.truncated``) and in which way.
    ``bytes_read``: what was read from the source for this chunk, in bytes.
    ``restart``: the reader had to begin anew; what it gave before counts as not given.
    """

    rows: pl.DataFrame
    bytes_read: int
    rejected: pl.DataFrame | None = None
    restart: bool = False
