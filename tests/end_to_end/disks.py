"""Disks that are full or cannot be written, for tests of what the platform says then.

As root a real file system of a few pages is mounted; others get the error that such a disk raises, put where the
platform writes.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from resources.warehouse import duckdb_engine
from resources.warehouse.duckdb_files import plain_error

Repair = Callable[[], None]


def _mount(folder: Path, options: str) -> bool:
    """Mount an empty file system in memory at ``folder``; whether this user may."""
    if os.geteuid() != 0:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _mounted(folder: Path, options: str, repaired: str) -> Iterator[Repair | None]:
    """A file system with ``options`` at ``folder``, and what gives it others; None where it cannot be mounted."""
    if not _mount(folder, options):
        yield None
        return

    def repair() -> None:
        subprocess.run(["mount", "-o", f"remount,{repaired}", str(folder)], check=True, capture_output=True)

    try:
        yield repair
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def full_lake(folder: Path) -> Iterator[Repair]:
    """A lake at ``folder`` whose disk has no room until it is repaired."""
    with _mounted(folder, "size=16k", "size=64m") as repair, pytest.MonkeyPatch.context() as patch:
        if repair is not None:
            yield repair
            return

        def write(*_arguments: Any, **_more: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

        patch.setattr(pq.ParquetWriter, "write_table", write)
        yield patch.undo


@contextmanager
def full_warehouse(folder: Path) -> Iterator[Repair]:
    """A folder for a DuckDB file whose disk fills up while rows are loaded, until it is repaired."""
    with _mounted(folder, "size=1400k", "size=256m") as repair, pytest.MonkeyPatch.context() as patch:
        if repair is not None:
            yield repair
            return

        def append(*_arguments: Any, **_more: Any) -> None:
            error = duckdb.IOException("IO Error: Could not write to file: No space left on device")
            raise plain_error(error, str(folder / "shop.duckdb"))

        patch.setattr(duckdb_engine.DuckDBTransaction, "append", append)
        yield patch.undo


@contextmanager
def read_only_folder(folder: Path) -> Iterator[Repair]:
    """A folder in which nothing can be written until it is repaired."""
    with _mounted(folder, "ro,size=256m", "rw,size=256m") as repair:
        if repair is not None:
            yield repair
            return
        folder.mkdir(parents=True)
        folder.chmod(0o555)
        try:
            yield lambda: folder.chmod(0o755)
        finally:
            folder.chmod(0o755)
