"""Readers of text in which every line is a row of its own: fixed width and web server logs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from resources.file_source.formats import CombinedLog, FixedWidth
from resources.file_source.pieces import (
    TRUNCATED,
    Reading,
    Rejection,
    empty_to_null,
    line_numbers,
    without_undecodable,
)
from resources.reading import Chunk

LOG_COLUMNS = (
    "log_line_id",
    "remote_host",
    "remote_user",
    "requested_at",
    "method",
    "path",
    "protocol",
    "status_code",
    "response_bytes",
    "referrer",
    "user_agent",
)

_QUOTED_TEXT = r'(?:[^"\\]|\\.)*'
_LOG_LINE = (
    r"^(?P<remote_host>\S+) (?P<ident>\S+) (?P<remote_user>.+?) \[(?P<requested_at>.*?)\] "
    rf'"(?P<request>{_QUOTED_TEXT})" (?P<status_code>\S+) (?P<response_bytes>\S+)'
    rf'(?: "(?P<referrer>{_QUOTED_TEXT})" "(?P<user_agent>{_QUOTED_TEXT})")?\s*$'
)
_REQUEST = r"^(?P<method>\S+) (?P<path>.*?)(?: (?P<protocol>[A-Z]+/[0-9.]+))?$"
_ESCAPE = re.compile(r"(?:\\x[0-9a-fA-F]{2})+|\\.")
_CONTROL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}

_Split = Callable[[pl.Series, pl.Series], tuple[pl.DataFrame, list[Rejection]]]


def read_fixed_width(reading: Reading, file_format: FixedWidth) -> Iterator[Chunk]:
    """Chunks of the wanted fields, or of all."""
    fields = {name: (start - 1, width) for name, start, width in file_format.fields}
    record_length = max(start + width for start, width in fields.values())
    wanted = {name: fields[name] for name in reading.columns or fields}

    def split(lines: pl.Series, numbers: pl.Series) -> tuple[pl.DataFrame, list[Rejection]]:
        lengths = lines.str.len_chars()
        # Blanks behind the layout say nothing.
        misfit = (lengths > record_length) & (lines.str.slice(record_length).str.strip_chars(" ") != "")
        if not file_format.blanks_trimmed:
            misfit |= lengths < record_length
        rejections = [
            Rejection(number, line, f"{length} characters, the layout has {record_length}")
            for number, line, length in zip(
                numbers.filter(misfit), lines.filter(misfit), lengths.filter(misfit), strict=True
            )
        ]
        kept = lines.filter(~misfit)
        frame = pl.DataFrame(
            [kept.str.slice(start, width).str.strip_chars(" ").alias(name) for name, (start, width) in wanted.items()]
            + [line_numbers(numbers.filter(~misfit))]
        )
        return frame.with_columns(empty_to_null(wanted)), rejections

    yield from _read_lines(reading, split, skipped=file_format.header_lines)


def read_combined_log(reading: Reading, _: CombinedLog) -> Iterator[Chunk]:
    """Chunks of the wanted columns of :data:`LOG_COLUMNS`, or of all."""
    wanted = list(reading.columns or LOG_COLUMNS)

    def split(lines: pl.Series, numbers: pl.Series) -> tuple[pl.DataFrame, list[Rejection]]:
        parts = lines.str.extract_groups(_LOG_LINE).struct.unnest()
        matches = parts["remote_host"].is_not_null()
        rejections = [
            Rejection(number, line, "not a line of the combined log format")
            for number, line in zip(numbers.filter(~matches), lines.filter(~matches), strict=True)
        ]
        return _log_rows(parts, numbers, reading.content_hash).filter(matches).select(*wanted, "_line"), rejections

    yield from _read_lines(reading, split)


def _log_rows(parts: pl.DataFrame, numbers: pl.Series, content_hash: str) -> pl.DataFrame:
    request = pl.col("request").str.extract_groups(_REQUEST)
    time = pl.col("requested_at")
    moment = time.str.to_datetime("%d/%b/%Y:%H:%M:%S %z", strict=False, exact=True).dt.convert_time_zone("UTC")
    # A request line that cannot be split (a scan by a machine, say) stands whole as the path.
    is_split = request.struct.field("method").is_not_null()
    rows = parts.with_columns(line_numbers(numbers)).with_columns(
        (pl.lit(f"{content_hash[:16]}:") + pl.col("_line").cast(pl.String)).alias("log_line_id"),
        pl.coalesce(moment.dt.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"), time).alias("requested_at"),
        request.struct.field("method").alias("method"),
        pl.when(is_split).then(request.struct.field("path")).otherwise(pl.col("request")).alias("path"),
        request.struct.field("protocol").alias("protocol"),
    )
    nullable = (
        "remote_user",
        "requested_at",
        "path",
        "status_code",
        "response_bytes",
        "referrer",
        "user_agent",
    )
    rows = rows.with_columns(
        pl.when(~pl.col(name).is_in(["-", ""])).then(pl.col(name)).alias(name) for name in nullable
    )
    quoted = ("method", "path", "referrer", "user_agent")
    return rows.with_columns(_unescaped(rows[name]) for name in quoted)


def _unescaped(values: pl.Series) -> pl.Series:
    r"""Texts without the escapes that servers write in quoted fields (``\"``, ``\\``, ``\n``, ``\xc3``)."""
    escaped = values.str.contains("\\", literal=True).fill_null(False)
    if not escaped.any():
        return values
    return values.scatter(escaped.arg_true(), [_unescape(text) for text in values.filter(escaped)])


def _unescape(text: str) -> str:
    try:
        return _ESCAPE.sub(_escaped_text, text)
    except UnicodeDecodeError:
        return text  # bytes that are no text stay in their escaped form


def _escaped_text(match: re.Match[str]) -> str:
    escape = match[0]
    if escape.startswith("\\x") and len(escape) > 2:
        return bytes.fromhex(escape.replace("\\x", "")).decode()
    return _CONTROL_ESCAPES.get(escape[1], escape[1])


def _read_lines(reading: Reading, split: _Split, *, skipped: int = 0) -> Iterator[Chunk]:
    rows_found = False
    for block in reading.content.lines():
        data, rejections = without_undecodable(block.data, block.first_line)
        lines = pl.read_lines(io.BytesIO(data)).to_series() if data else pl.Series([], dtype=pl.String)
        numbers = pl.int_range(block.first_line, block.first_line + len(lines), eager=True)
        last_line = block.first_line + len(lines) - 1
        is_row = (numbers > skipped) & (lines.str.strip_chars() != "")
        rejections = [item for item in rejections if item.line > skipped]
        frame, malformed = split(lines.filter(is_row), numbers.filter(is_row))
        rejections += malformed
        if block.is_last and block.is_cut:
            rejections = _with_truncated(reading, rejections, last_line)
        if block.is_last:
            rejections += reading.severed(last_line + 1)
        rows_found = rows_found or frame.height > 0
        if block.is_last and rejections and not rows_found and reading.status == "read":
            reading.is_refused("no line of the file fits its format")
        if (chunk := reading.chunk([frame], rejections)) is not None:
            yield chunk


def _with_truncated(reading: Reading, rejections: Sequence[Rejection], last_line: int) -> list[Rejection]:
    """Call the malformed last line, which has no line end, truncated."""
    if any(item.line == last_line for item in rejections):
        reading.broke_off("the last line is cut off")
    return [
        Rejection(item.line, item.raw, item.detail, TRUNCATED) if item.line == last_line else item
        for item in rejections
    ]
