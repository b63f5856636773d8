"""A lock between processes and threads, on a file: one writer or several readers, in fair order.

It is an agreement among those who use it; DuckDB's own lock on its file stays in force for everyone else.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.errors import PermanentError, TransientError

_POLL_SECONDS = 0.02


@contextmanager
def file_lock(path: Path, *, exclusive: bool, timeout: float) -> Iterator[None]:
    """Hold the lock at ``path``; raises :class:`TransientError` when it is not free within ``timeout``.

    The kernel frees the lock of a process that dies. Who waits holds the turnstile, a second file, so that
    neither a stream of readers nor a writer that comes again at once can overtake the one who waits.
    """
    deadline = time.monotonic() + timeout
    with _opened(path.with_name(path.name + ".queue")) as turnstile, _opened(path) as lock:
        _acquire(turnstile, fcntl.LOCK_EX, deadline, path)
        _acquire(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, deadline, path)
        fcntl.flock(turnstile, fcntl.LOCK_UN)
        if exclusive:
            # Only for the message to those who wait.
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise PermanentError(
            f"the lock file cannot be opened: {error.strerror}",
            where=str(path),
            remedy="give the platform's user the right to write in this folder, or choose another one",
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which also frees the lock


def _acquire(descriptor: int, mode: int, deadline: float, path: Path) -> None:
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = path.read_text(errors="replace").strip() or "unknown"
                raise TransientError(
                    f"the warehouse is still in use by another writer (last writer: process {holder})",
                    where=str(path),
                    remedy="wait until that run ends, or end it; then run again",
                ) from None
            time.sleep(_POLL_SECONDS * (0.5 + random.random()))
