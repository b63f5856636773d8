"""What every reader of a source gives: chunks of rows, each row with its position in the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

POSITION = "_position"
"""Text column of a chunk: where the row stands in its source (``file:line``, ``page 3, item 7``)."""

REJECTED_SCHEMA = {POSITION: pl.String, "_raw": pl.String, "_rule": pl.String, "_detail": pl.String}


@dataclass(frozen=True)
class Chunk:
    """Some rows of one source table, in source order.

    ``rows``: one column per source field, of the source's own type or text, and ``_position`` unless ``key``
    names the columns that say where a row stands (see :meth:`positions`).
    ``rejected``: pieces that could not be split into fields (:data:`REJECTED_SCHEMA`): where, the text as
    it stands, the rule it broke (``line.malformed`` or ``line.truncated``) and in which way.
    ``bytes_read``: what was read from the source for this chunk, in bytes.
    ``restart``: the reader had to begin anew; what it gave before counts as not given.
    ``deleted``: the key columns of rows that are gone from the source. A key that any chunk of the same read
    gives as deleted is not among its rows.
    """

    rows: pl.DataFrame
    bytes_read: int
    rejected: pl.DataFrame | None = None
    restart: bool = False
    deleted: pl.DataFrame | None = None
    key: tuple[str, ...] = ()

    def positions(self, rows: pl.DataFrame) -> pl.Series:
        """Where each of some ``rows`` of this chunk stands in its source."""
        if not self.key:
            return rows.get_column(POSITION) if rows.width else pl.Series(POSITION, [], dtype=pl.String)
        parts = []
        for column in self.key:
            value = pl.col(column)
            text = value.bin.encode("hex") if rows.schema[column] == pl.Binary else value.cast(pl.String)
            parts.append(pl.format(f"{column}={{}}", text.fill_null("null")))
        return rows.select(pl.concat_str(parts, separator=",").alias(POSITION)).to_series()


def gathered(chunks: Iterable[Chunk], rows: int = 25_000) -> Iterator[Chunk]:
    """``chunks`` put together to at least ``rows`` rows each, in the same order, the last one perhaps fewer.

    Whatever is done per chunk has a cost of its own, and sources of many small files or pages give small ones.
    """
    waiting: list[Chunk] = []
    count = 0
    for chunk in chunks:
        if chunk.restart:
            waiting, count = [], 0
            yield chunk
            continue
        if waiting and chunk.rows.schema != waiting[0].rows.schema:
            yield _together(waiting)
            waiting, count = [], 0
        waiting.append(chunk)
        count += chunk.rows.height
        if count >= rows:
            yield _together(waiting)
            waiting, count = [], 0
    if waiting:
        yield _together(waiting)


def _together(chunks: list[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    rejected = [chunk.rejected for chunk in chunks if chunk.rejected is not None]
    deleted = [chunk.deleted for chunk in chunks if chunk.deleted is not None]
    return Chunk(
        rows=pl.concat([chunk.rows for chunk in chunks]),
        bytes_read=sum(chunk.bytes_read for chunk in chunks),
        rejected=pl.concat(rejected) if rejected else None,
        deleted=pl.concat(deleted) if deleted else None,
        key=chunks[0].key,
    )
