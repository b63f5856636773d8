"""The legacy CRM's exports: contacts (CSV), loyalty accounts (fixed width), interactions, suppliers (XML).

Belongs here: these formats, with the encodings and the damage of real exports. Does not belong here:
which rows there are.
"""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import polars as pl

from simulator.files.writing import Planted, joined, json_lines
from simulator.sinks import Day

CONTACT_ENCODINGS = ("utf-8-sig", "cp1252", "utf-8", "latin-1")
"""The encodings of the contact exports, in turn by day."""

RAGGED_SHARE = 0.001
RAGGED_EVERY_DAYS = 3

# Name, first character (counted from 1) and width of every field; numbers are aligned to the right.
LOYALTY_LAYOUT = (
    ("loyalty_number", 1, 16),
    ("crm_contact_id", 17, 16),
    ("tier", 33, 16),
    ("points_balance", 49, 16),
    ("enrolled_on", 65, 16),
    ("modified_at", 81, 32),
)
RIGHT_ALIGNED = ("points_balance",)

SUPPLIER_NAMESPACES = {"crm": "urn:legacy-crm:export:2", "c": "urn:legacy-crm:contact:1"}

# What XML 1.0 cannot hold, not even as a character reference; exporters put the replacement character.
_NOT_IN_XML = dict.fromkeys((*range(0x20), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)), "\ufffd")
for _allowed in "\t\n\r":
    del _NOT_IN_XML[ord(_allowed)]


def contacts_file(day: Day, rows: pl.DataFrame) -> tuple[bytes, list[Planted]]:
    """The contact export, and the ragged lines planted in it.

    Every field is quoted; semicolons on even days, commas on odd ones; the encoding changes by day.
    """
    delimiter = ";" if day.number % 2 == 0 else ","
    ragged = _ragged_lines(day, rows, delimiter)
    middle = rows.height // 2
    header = _csv(rows.clear(), delimiter, with_header=True)
    text = header + _csv(rows[:middle], delimiter)
    text += "".join(f"{line}\r\n" for line in ragged.values()) + _csv(rows[middle:], delimiter)
    planted = [
        Planted("crm_files", "contacts", key, "ragged_row", "line.malformed", True, line)
        for key, line in ragged.items()
    ]
    return encoded(text, CONTACT_ENCODINGS[day.number % len(CONTACT_ENCODINGS)]), planted


def encoded(text: str, encoding: str) -> bytes:
    """The text in an encoding if a careful reader gets it back from the bytes alone, else in UTF-8.

    An 8-bit encoding is refused for text that it cannot hold, for control characters that tell Latin-1
    from Windows-1252, and for text whose bytes would pass as UTF-8.
    """
    if encoding.startswith("utf-8"):
        return text.encode(encoding)
    has_c1_controls = any("\x80" <= character <= "\x9f" for character in set(text))
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode("utf-8")
    if text.isascii() or not (has_c1_controls or _is_utf8(content)):
        return content
    return text.encode("utf-8")


def loyalty_file(rows: pl.DataFrame) -> bytes:
    """Loyalty accounts in fixed width (:data:`LOYALTY_LAYOUT`), one record a line, no header."""
    fields = []
    for name, _, width in LOYALTY_LAYOUT:
        # A record is one line, whatever was typed; what is too long is cut, as the CRM cuts it.
        text = pl.col(name).fill_null("").str.replace_all(r"[\r\n]", " ").str.slice(0, width)
        fields.append(text.str.pad_start(width) if name in RIGHT_ALIGNED else text.str.pad_end(width))
    lines = rows.select(pl.concat_str(fields).alias("line"))["line"]
    return (joined(lines, "\r\n") + "\r\n").encode("utf-8")


def interactions_file(day: Day, rows: pl.DataFrame) -> bytes:
    """Interactions as a JSON document: an envelope around a list, one interaction a line."""
    head = f'{{"exported_at":"{_exported_at(day)}","interactions":[\n'
    return (head + joined(json_lines(rows), ",\n") + "\n]}\n").encode("utf-8")


def suppliers_file(day: Day, rows: pl.DataFrame) -> bytes:
    """Suppliers as namespaced XML, in UTF-8 on even days and ISO 8859-1 with character references else."""
    encoding = "UTF-8" if day.number % 2 == 0 else "ISO-8859-1"
    namespaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SUPPLIER_NAMESPACES.items())
    parts = [
        f'<?xml version="1.0" encoding="{encoding}"?>\n',
        f'<crm:suppliers {namespaces} exported-at="{_exported_at(day)}">\n',
        *(_supplier(row) for row in rows.iter_rows(named=True)),
        "</crm:suppliers>\n",
    ]
    return "".join(parts).encode(encoding, "xmlcharrefreplace")


def _csv(rows: pl.DataFrame, delimiter: str, *, with_header: bool = False) -> str:
    return rows.write_csv(include_header=with_header, separator=delimiter, line_terminator="\r\n", quote_style="always")


def _ragged_lines(day: Day, rows: pl.DataFrame, delimiter: str) -> dict[str, str]:
    """Further lines with a field too many or too few, by the contact number that they begin with.

    They repeat the texts of other rows under numbers that no contact has.
    """
    if day.number % RAGGED_EVERY_DAYS:
        return {}
    lines = {}
    count = min(rows.height, max(2, math.ceil(rows.height * RAGGED_SHARE)))
    for index in range(count):
        source = rows.row(index * rows.height // count)
        key = f"C99{day.number:04d}{index:04d}"
        fields = [key, *(text or "" for text in source[1:])]
        fields = fields[:-1] if index % 2 else [*fields, ""]
        # No line ends inside: a reader could not tell where the record stops.
        texts = (" ".join(field.split()).replace('"', '""') for field in fields)
        lines[key] = delimiter.join(f'"{text}"' for text in texts)
    return lines


def _supplier(row: dict[str, Any]) -> str:
    def attribute(name: str, value: str | None) -> str:
        return "" if value is None else f" {name}={quoteattr(_xml_text(value))}"

    def element(name: str, value: str | None, attributes: str = "") -> str:
        if value is None:
            return ""
        text = escape(_xml_text(value), {"\r": "&#13;"})
        return f"    <{name}{attributes}>{text}</{name}>\n"

    attributes = attribute("id", row["supplier_id"]) + attribute("modified-at", row["modified_at"])
    parts = [
        f"  <crm:supplier{attributes}>\n",
        element("crm:name", row["name"]),
        element("c:email", row["contact_email"]),
        element("c:phone", row["phone"]),
        f"    <crm:country{attribute('code', row['country_code'])}/>\n",
        element("crm:brand", row["brand"]),
        element("crm:lead-time", row["lead_time_days"], ' unit="days"'),
        "  </crm:supplier>\n",
    ]
    return "".join(parts)


def _xml_text(text: str) -> str:
    return text.translate(_NOT_IN_XML)


def _exported_at(day: Day) -> str:
    return f"{day.moment.isoformat()}T23:55:00.000Z"


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
