"""Reads, judges and lands a batch beside its loading: a thread each for reading and for judging and writing.

A large batch is loaded while it is still being read. Only few chunks wait between the threads: memory does not
grow with the batch.
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
import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.reading import Chunk, gathered
from resources.warehouse import ParquetRows, Rows
from shopsphere_assets.ingestion.coerce import coerce
from shopsphere_assets.ingestion.lake import BatchWriter
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.ingestion.validate import Judge, divide
from shopsphere_assets.quality.profiles import Profile

_CHUNKS_AHEAD = 1
_SECONDS_BETWEEN_LOOKS = 0.1

# Arrow's own allocator keeps what was freed: more memory for the same batch at the same speed.
pa.set_memory_pool(pa.system_memory_pool())


class StartedAnew(Exception):
    """The source had to be read from the start again: what was handed over does not count."""


class _Stopped(Exception):
    """Nobody wants the batch any more."""


class Landing(Rows):
    """The landing of one batch; a context within which its threads live.

    Its rows are handed over as files until somebody begins to load them, and from then on as they come: who waits
    for the warehouse does not keep the source waiting. After the last row ``bytes_read`` and ``watermark`` hold
    for the whole batch.
    """

    def __init__(
        self,
        table: RawTable,
        chunks: Iterable[Chunk],
        writer: BatchWriter,
        watermark: datetime | None,
        profile: Profile | None = None,
        judge: Judge = divide,
    ) -> None:
        self.columns = table.landed_columns
        self.name = table.label
        self._table = table
        self._chunks = chunks
        self._writer = writer
        self._profile = profile
        self._judge = judge
        self._watermark_before = watermark
        self.watermark = watermark
        self.bytes_read = 0
        self._read: Queue[Chunk | BaseException | None] = Queue(_CHUNKS_AHEAD)
        self._landed: Queue[Path | pa.Table | BaseException | None] = Queue()
        self._next: list[Path | pa.Table | BaseException | None] = []
        self._room = threading.Semaphore(_CHUNKS_AHEAD)
        self._is_loading = threading.Event()
        self._is_complete = False
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

    def has_rows(self) -> bool:
        """Whether there are valid rows to be loaded; waits until that is known.

        Raises what reading or landing raised.
        """
        if not self._next:
            self._next.append(self._landed.get())
        found = self._next[0]
        if isinstance(found, StartedAnew):
            self._next.clear()
            return self.has_rows()
        if isinstance(found, BaseException):
            raise found
        return found is not None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The valid rows, the first time while they are still being read; see :meth:`Rows.batches`.

        Raises :class:`StartedAnew` where the rows given so far do not count any more, and what reading or
        landing raised.
        """
        if self._is_complete:
            yield from ParquetRows(self._writer.parts).batches()
            return
        self._is_loading.set()
        while (found := self._next.pop() if self._next else self._landed.get()) is not None:
            if isinstance(found, StartedAnew):
                self._is_loading.clear()
            if isinstance(found, BaseException):
                raise found
            if isinstance(found, Path):
                yield from ParquetRows([found]).batches()
            else:
                self._room.release()
                yield from found.to_batches()
        self._is_complete = True
        # Whoever asks again gets the same answer.
        self._next.append(None)

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
            reached(CommitPoint.READ)
            self._put(self._read, chunk)

    def _land_chunks(self) -> None:
        handed_over, is_live = 0, False
        while (chunk := self._next_chunk()) is not None:
            if chunk.restart:
                self._writer.restart()
                if self._profile is not None:
                    self._profile.restart()
                self.watermark, self.bytes_read = self._watermark_before, 0
                if handed_over or is_live:
                    self._put(self._landed, StartedAnew())
                handed_over, is_live = 0, False
                continue
            if not is_live and self._is_loading.is_set():
                self._writer.finish_part()
                is_live = True
                handed_over = self._hand_over(handed_over)
            rows = self._land(chunk)
            if is_live and rows.num_rows:
                self._wait_for_room()
                self._put(self._landed, rows)
            elif not is_live:
                handed_over = self._hand_over(handed_over)
        self._writer.finish()
        if not is_live:
            self._hand_over(handed_over)

    def _hand_over(self, before: int) -> int:
        """Hand over the files completed since there were ``before`` of them; how many there are now."""
        for part in self._writer.parts[before:]:
            self._put(self._landed, part)
        return len(self._writer.parts)

    def _wait_for_room(self) -> None:
        while not self._room.acquire(timeout=_SECONDS_BETWEEN_LOOKS):
            if self._stop.is_set():
                raise _Stopped

    def _next_chunk(self) -> Chunk | None:
        while not self._stop.is_set():
            with suppress(Empty):
                found = self._read.get(timeout=_SECONDS_BETWEEN_LOOKS)
                if isinstance(found, BaseException):
                    raise found
                return found
        raise _Stopped

    def _land(self, chunk: Chunk) -> pa.Table:
        self.bytes_read += chunk.bytes_read
        if chunk.deleted is not None:
            self._writer.delete(self._keys(chunk.deleted))
        divided = self._judge(self._table, chunk)
        rows = self._writer.write(divided)
        if self._profile is not None:
            self._profile.add(divided.valid)
        if divided.highest_cursor is not None:
            self.watermark = max(self.watermark or divided.highest_cursor, divided.highest_cursor)
        return rows

    def _keys(self, deleted: pl.DataFrame) -> pl.DataFrame:
        types = self._table.column_types
        typed, _ = coerce(deleted, {name: types[name] for name in self._table.key})
        # A key that the contract cannot hold was never loaded.
        return typed.drop_nulls()
