"""Files dropped into a folder: listing them and reading CSV, fixed width, JSON, XML and access logs."""

from __future__ import annotations

from resources.file_source.formats import (
    CombinedLog,
    Csv,
    FileFormat,
    FixedWidth,
    JsonLines,
    JsonRecords,
    Xml,
)
from resources.file_source.source import FileOutcome, FileReader, FileSource, FileVersion

__all__ = [
    "CombinedLog",
    "Csv",
    "FileFormat",
    "FileOutcome",
    "FileReader",
    "FileSource",
    "FileVersion",
    "FixedWidth",
    "JsonLines",
    "JsonRecords",
    "Xml",
]
