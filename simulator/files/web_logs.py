"""The web server's files: tracked events as JSON lines, requests in Apache's combined format.

Belongs here: these two formats. Does not belong here: which rows there are.
"""

from __future__ import annotations

import polars as pl

from simulator.files.writing import gzipped, joined, json_lines
from simulator.sinks import Day

EVENT_NUMBERS = ("customer_id", "product_id", "order_id", "quantity")
ROTATION_HOURS = (0, 6, 12, 18)
"""The collector begins a new file at these hours; the night's file is compressed by then."""

ISO_FORMAT = "%Y-%m-%dT%H:%M:%S%.fZ"
APACHE_FORMAT = "[%d/%b/%Y:%H:%M:%S +0000]"


def event_files(day: Day, rows: pl.DataFrame) -> dict[str, bytes]:
    """The day's event files, by name; an event stands in the file of the hour at which it was received."""
    received = pl.col("received_at").str.to_datetime(ISO_FORMAT, time_zone="UTC", strict=False)
    # An event whose time cannot be read, or lies on another day, came at noon for all we know.
    hour = pl.when(received.dt.date() == day.moment).then(received.dt.hour()).otherwise(12)
    lines = json_lines(rows, numbers=EVENT_NUMBERS)
    slots = rows.select((hour // 6 * 6).alias("slot"))["slot"]
    files: dict[str, bytes] = {}
    for begins in ROTATION_HOURS:
        if (chosen := lines.filter(slots == begins)).len():
            name = f"events-{day.moment.isoformat()}-{begins:02d}.jsonl"
            content = (joined(chosen) + "\n").encode("utf-8")
            files |= {f"{name}.gz": gzipped(content)} if begins == 0 else {name: content}
    return files


def access_file(rows: pl.DataFrame) -> bytes:
    """Requests in combined format, one line each in the given order.

    What is missing is a hyphen; a moment that cannot be read stands in the brackets as it is.
    """
    given = pl.col("requested_at")
    moment = given.str.to_datetime(ISO_FORMAT, time_unit="ms", time_zone="UTC", strict=False)
    as_given = pl.format("[{}]", given.fill_null("-").str.replace_all("\n", " ", literal=True))
    line = pl.format(
        '{} - {} {} "{} {} {}" {} {} "{}" "{}"',
        _bare("remote_host"),
        _bare("remote_user"),
        pl.coalesce(moment.dt.strftime(APACHE_FORMAT), as_given),
        _word("method"),
        _quoted("path"),
        _word("protocol"),
        _bare("status_code"),
        _bare("response_bytes"),
        _quoted("referrer"),
        _quoted("user_agent"),
    )
    lines = rows.select(line.alias("line"))["line"]
    return (joined(lines) + "\n").encode("utf-8")


def _bare(column: str, text: pl.Expr | None = None) -> pl.Expr:
    """Text between spaces: a hyphen where there is none, spaces within escaped."""
    shown = pl.col(column).fill_null("") if text is None else text
    shown = shown.str.replace_all(r"\s", "\\x20")
    return pl.when(shown == "").then(pl.lit("-")).otherwise(shown)


def _word(column: str) -> pl.Expr:
    """A part of the request between quotes that spaces must not split further."""
    return _bare(column, _quoted(column))


def _quoted(column: str) -> pl.Expr:
    """Text between quotes, escaped as Apache escapes it."""
    text = pl.col(column).fill_null("-").str.replace_all("\\", "\\\\", literal=True)
    for character, escape in (('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.str.replace_all(character, escape, literal=True)
    for code in (*range(0x20), 0x7F):
        if chr(code) not in "\n\r\t":
            text = text.str.replace_all(chr(code), f"\\x{code:02x}", literal=True)
    return text
