"""A folder in which other systems drop files: what is there, and the rows of one file.

Formats are declared in :mod:`resources.file_source.formats`; each is read by a module beside this one.
What has been read already is the ledger's business, not this module's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from resources.errors import PermanentError, PlatformError, TransientError
from resources.file_source.content import Content
from resources.file_source.delimited import read_csv
from resources.file_source.formats import (
    CombinedLog,
    Csv,
    FileFormat,
    FixedWidth,
    JsonLines,
    JsonRecords,
    Xml,
)
from resources.file_source.json_lines import read_json_lines
from resources.file_source.json_records import read_json_records
from resources.file_source.pieces import Reading, Status
from resources.file_source.text_lines import read_combined_log, read_fixed_width
from resources.file_source.xml_records import read_xml
from resources.reading import Chunk

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
"""Endings of names that writers give to files before they are complete."""

_ROWS_A_CHUNK = 50_000


@dataclass(frozen=True)
class FileVersion:
    """A file as it was found: path relative to the root, with ``/``; SHA-256 of its content in hex."""

    path: str
    size_bytes: int
    modified_at: datetime
    content_hash: str


@dataclass(frozen=True)
class FileOutcome:
    """What became of a file: ``truncated`` means that a part is missing, ``rejected`` that nothing fits.

    ``rows_read`` counts the rows delivered and the pieces rejected.
    """

    status: Status
    note: str | None
    rows_read: int
    rows_rejected: int
    bytes_read: int


class FileReader(Iterator[Chunk]):
    """The chunks of one file; afterwards ``outcome`` says what became of it."""

    def __init__(self, reading: Reading, chunks: Iterator[Chunk]) -> None:
        self._reading = reading
        self._chunks = chunks
        self._rows = self._rejected = 0
        self._is_finished = False

    def __next__(self) -> Chunk:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._is_finished = True
            raise
        self._rows += chunk.rows.height
        self._rejected += 0 if chunk.rejected is None else chunk.rejected.height
        return chunk

    @property
    def header(self) -> tuple[str, ...]:
        """The columns that the file itself names, known from the first chunk on; empty where it names none."""
        return self._reading.header

    @property
    def outcome(self) -> FileOutcome:
        """What became of the file; only after the last chunk."""
        if not self._is_finished:
            raise RuntimeError("the outcome of a file is known after its last chunk")
        return FileOutcome(
            status=self._reading.status,
            note="; ".join(self._reading.notes) or None,
            rows_read=self._rows + self._rejected,
            rows_rejected=self._rejected,
            bytes_read=self._reading.content.bytes_read,
        )


# By folder and state of a file: who asks a folder again in the same process opens only what is new in it.
_known_hashes: dict[Path, dict[tuple[str | int, ...], str]] = {}


class FileSource:
    """A folder given as a path or a ``file://`` URL. ``block_bytes``: text held in memory at a time."""

    def __init__(self, root: str | Path, *, block_bytes: int = 1 << 24) -> None:
        self.root = _folder(root)
        self._block_bytes = block_bytes
        self._hashes = _known_hashes.setdefault(self.root, {})
        self._real_paths: dict[str, Path] = {}

    def __repr__(self) -> str:
        return f"FileSource({str(self.root)!r})"

    def list_files(self, pattern: str = "**/*") -> list[FileVersion]:
        """The complete, visible files whose relative path matches a glob pattern, sorted by path.

        Raises :class:`PermanentError` where the folder is not there or cannot be listed.
        """
        return [
            FileVersion(
                path=path,
                size_bytes=stat.st_size,
                modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
                content_hash=self._content_hash(path, stat),
            )
            for path, stat in self._stats(pattern)
        ]

    def fingerprint(self, pattern: str = "**/*") -> str:
        """A text that changes whenever a matching file comes, goes or changes; no file is opened for it."""
        digest = hashlib.sha256()
        for path, stat in self._stats(pattern):
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def read(
        self, file: FileVersion, file_format: FileFormat, required_columns: Sequence[str] | None = None
    ) -> FileReader:
        """The rows of a file, every value text, in chunks, with their positions ``path:line``.

        ``required_columns``: the columns to deliver, all of which a format with a header must have; without
        them all that the format declares or the header names. What cannot be split into columns is in the
        chunks' ``rejected``. Raises (while iterating) :class:`PermanentError` for a missing column and
        :class:`TransientError` for a file that changed since it was listed.
        """
        columns = tuple(required_columns) if required_columns is not None else None
        content = Content(
            self._real_path(file.path),
            file.size_bytes,
            encoding=file_format.encoding,
            block_bytes=self._block_bytes,
        )
        reading = Reading(file.path, content, file.content_hash, columns)
        return FileReader(reading, self._read(file, file_format, reading))

    def _read(self, file: FileVersion, file_format: FileFormat, reading: Reading) -> Iterator[Chunk]:
        try:
            yield from _chunks(reading, file_format)
            self._check_unchanged(file)
        except FileNotFoundError as error:
            raise self._changed(file, "is gone") from error
        except OSError as error:
            raise self._unreadable(file.path, error) from error

    def _check_unchanged(self, file: FileVersion) -> None:
        stat = self._real_path(file.path).stat()
        if self._content_hash(file.path, stat, file.size_bytes) != file.content_hash:
            raise self._changed(file, "changed while it was read")

    @staticmethod
    def _changed(file: FileVersion, what: str) -> TransientError:
        return TransientError(
            f"the file {what}",
            where=file.path,
            remedy="nothing, unless it goes on: the next run lists the folder anew",
        )

    def _stats(self, pattern: str) -> list[tuple[str, os.stat_result]]:
        try:
            with os.scandir(self.root) as entries:
                next(entries, None)
        except OSError as error:
            raise PermanentError(
                f"the folder cannot be listed: {error.strerror or error}",
                where=str(self.root),
                remedy="check the configured path, whether the drive is mounted, and the permissions",
            ) from error
        found = []
        for real in self.root.glob(pattern):
            relative = real.relative_to(self.root)
            if any(part.startswith(".") for part in relative.parts) or real.name.endswith(_UNFINISHED):
                continue
            try:
                stat = real.stat()
            except FileNotFoundError:  # gone since the folder was listed
                continue
            if real.is_file():
                # A name that is not valid text is escaped, so that it can be stored.
                path = relative.as_posix().encode("utf-8", "backslashreplace").decode()
                self._real_paths[path] = real
                found.append((path, stat))
        return sorted(found, key=lambda item: item[0])

    def _real_path(self, path: str) -> Path:
        return self._real_paths.get(path, self.root / path)

    def _content_hash(self, path: str, stat: os.stat_result, size_bytes: int | None = None) -> str:
        """SHA-256 of the first ``size_bytes`` (default: all) bytes, remembered as long as the file stays the same."""
        size = stat.st_size if size_bytes is None else size_bytes
        key = (path, size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        if key not in self._hashes:
            digest = hashlib.sha256()
            try:
                with self._real_path(path).open("rb") as file:
                    while size > 0 and (piece := file.read(min(size, 1 << 20))):
                        digest.update(piece)
                        size -= len(piece)
            except OSError as error:
                raise self._unreadable(path, error) from error
            self._hashes[key] = digest.hexdigest()
        return self._hashes[key]

    def _unreadable(self, path: str, error: OSError) -> PlatformError:
        if isinstance(error, PermissionError):
            return PermanentError(
                "the file may not be read",
                where=f"{self.root}/{path}",
                remedy="give this user the right to read it",
            )
        return TransientError(
            f"the file cannot be read: {error.strerror or error}",
            where=f"{self.root}/{path}",
            remedy="check the drive if it goes on",
        )


def _chunks(reading: Reading, file_format: FileFormat) -> Iterator[Chunk]:
    match file_format:
        case Csv():
            return read_csv(reading, file_format)
        case FixedWidth():
            return read_fixed_width(reading, file_format)
        case JsonLines(fields=fields):
            return read_json_lines(reading, _paths(reading, fields))
        case JsonRecords(record_path=record_path, fields=fields):
            return read_json_records(reading, record_path, _paths(reading, fields), rows_a_chunk=_ROWS_A_CHUNK)
        case Xml():
            return read_xml(reading, file_format, rows_a_chunk=_ROWS_A_CHUNK)
        case CombinedLog():
            return read_combined_log(reading, file_format)


def _paths(reading: Reading, fields: Mapping[str, str]) -> dict[str, str]:
    """Each wanted column and its path; JSON has no header that could name the columns."""
    columns = reading.columns or tuple(fields)
    if not columns:
        raise ValueError("a JSON format needs the columns to read: declare fields or required_columns")
    return {column: fields.get(column, column) for column in columns}


def _folder(root: str | Path) -> Path:
    if isinstance(root, str) and root.startswith("file:"):
        return Path(unquote(urlsplit(root).path))
    return Path(root).expanduser()
