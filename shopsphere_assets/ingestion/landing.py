"""Reads, judges and lands a batch beside its loading: a thread each for reading and for judging and writing.

What is landed is handed over file by file, so that a large batch is loaded while it is still being read. Only
whole chunks wait between the threads, and only few of them: memory does not grow with the batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Any, Self

import polars as pl

from resources.reading import Chunk, gathered
from shopsphere_assets.ingestion.coerce import coerce
from shopsphere_assets.ingestion.lake import BatchWriter
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.ingestion.validate import divide

_CHUNKS_AHEAD = 2
_SECONDS_BETWEEN_LOOKS = 0.1


class StartedAnew(Exception):
    """The source had to be read from the start again: what was handed over does not count."""


class _Stopped(Exception):
    """Nobody wants the batch any more."""


class Landing:
    """The landing of one batch; a context within which its threads live.

    After the last file ``bytes_read`` and ``watermark`` hold for the whole batch.
    """

    def __init__(
        self, table: RawTable, chunks: Iterable[Chunk], writer: BatchWriter, watermark: datetime | None
    ) -> None:
        self._table = table
        self._chunks = chunks
        self._writer = writer
        self._watermark_before = watermark
        self.watermark = watermark
        self.bytes_read = 0
        self._read: Queue[Chunk | BaseException | None] = Queue(_CHUNKS_AHEAD)
        self._landed: Queue[Path | BaseException | None] = Queue()
        self._next: list[Path | BaseException | None] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work, output), name=name, daemon=True)
            for name, work, output in (
                ("read", self._read_chunks, self._read),
                ("land", self._land_chunks, self._landed),
            )
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        # Does nothing to a batch that was committed: it has another name by now.
        self._writer.abort()

    def has_part(self) -> bool:
        """Whether a file of valid rows is there to be loaded; waits until that is known.

        Raises what reading or landing raised.
        """
        if not self._next:
            self._next.append(self._landed.get())
        found = self._next[0]
        if isinstance(found, StartedAnew):
            self._next.clear()
            return self.has_part()
        if isinstance(found, BaseException):
            raise found
        return found is not None

    def parts(self) -> Iterator[Path]:
        """The files of valid rows as they are completed.

        Raises :class:`StartedAnew` where the files given so far do not count any more, and what reading or
        landing raised.
        """
        while True:
            found = self._next.pop() if self._next else self._landed.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                # Whoever asks again gets the same answer.
                self._next.append(None)
                return
            yield found

    def _run(self, work: Any, output: Queue[Any]) -> None:
        try:
            work()
            self._put(output, None)
        except _Stopped:
            return
        except BaseException as error:
            # Raised in the thread that takes the results.
            with suppress(_Stopped):
                self._put(output, error)

    def _put(self, queue: Queue[Any], item: Any) -> None:
        while not self._stop.is_set():
            with suppress(Full):
                queue.put(item, timeout=_SECONDS_BETWEEN_LOOKS)
                return
        raise _Stopped

    def _read_chunks(self) -> None:
        for chunk in gathered(self._chunks):
            self._put(self._read, chunk)

    def _land_chunks(self) -> None:
        handed_over = 0
        while (chunk := self._next_chunk()) is not None:
            if chunk.restart:
                self._writer.restart()
                self.watermark, self.bytes_read = self._watermark_before, 0
                if handed_over:
                    self._put(self._landed, StartedAnew())
                    handed_over = 0
                continue
            self._land(chunk)
            for part in self._writer.parts[handed_over:]:
                self._put(self._landed, part)
                handed_over += 1
        self._writer.finish()
        for part in self._writer.parts[handed_over:]:
            self._put(self._landed, part)

    def _next_chunk(self) -> Chunk | None:
        while not self._stop.is_set():
            with suppress(Empty):
                found = self._read.get(timeout=_SECONDS_BETWEEN_LOOKS)
                if isinstance(found, BaseException):
                    raise found
                return found
        raise _Stopped

    def _land(self, chunk: Chunk) -> None:
        self.bytes_read += chunk.bytes_read
        if chunk.deleted is not None:
            self._writer.delete(self._keys(chunk.deleted))
        divided = divide(self._table, chunk)
        self._writer.write(divided)
        if divided.highest_cursor is not None:
            self.watermark = max(self.watermark or divided.highest_cursor, divided.highest_cursor)

    def _keys(self, deleted: pl.DataFrame) -> pl.DataFrame:
        types = self._table.column_types
        typed, _ = coerce(deleted, {name: types[name] for name in self._table.key})
        # A key that the contract cannot hold was never loaded.
        return typed.drop_nulls()
