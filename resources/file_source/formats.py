"""The file formats that can be declared for a raw table: what a file looks like, not how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Csv:
    """Delimited text with a header line.

    ``delimiter`` and ``encoding`` may be ``auto``: the delimiter by the header, the encoding by a byte order
    mark, else UTF-8, else Windows-1252, decided for the whole file. ``columns`` maps a column to its name in
    the header where the two differ; names are compared trimmed and without regard to case.
    """

    delimiter: str = "auto"
    encoding: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FixedWidth:
    """Text whose fields stand at fixed places.

    ``fields``: name, first character (counted from 1) and width in characters. Padding blanks are removed.
    A line shorter than the layout is malformed unless ``blanks_trimmed`` says that the writer cuts the
    blanks at the end of a line.
    """

    fields: tuple[tuple[str, int, int], ...]
    header_lines: int = 0
    encoding: str = "auto"
    blanks_trimmed: bool = False


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line. ``fields`` maps a column to its path where that is not the column's name."""

    fields: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "auto"


@dataclass(frozen=True)
class JsonRecords:
    """One JSON document with a list of objects.

    ``record_path`` leads to the list (``data.tickets``); without it the document is the list itself or,
    where the file begins with an object, one object a line. ``fields`` as in :class:`JsonLines`.
    """

    record_path: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "auto"


@dataclass(frozen=True)
class Xml:
    """An XML document in which every ``record_tag`` element is a row.

    ``fields`` maps a column to a path below the record: ``name``, ``country/@code``, ``@id``; a column that
    is not mapped is the child element, else the attribute, of its own name. Namespaces are left out of account.
    """

    record_tag: str
    fields: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "auto"


@dataclass(frozen=True)
class CombinedLog:
    """A web server's access log in the common or combined format of Apache and nginx.

    Columns: log_line_id, remote_host, remote_user, requested_at (ISO 8601, UTC; text that is no time stays as
    it is), method, path, protocol, status_code, response_bytes, referrer, user_agent; ``-`` is null. The id
    is made of the file's content hash and the line number.
    """

    encoding: str = "auto"


FileFormat = Csv | FixedWidth | JsonLines | JsonRecords | Xml | CombinedLog
