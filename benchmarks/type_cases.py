"""Values that break loaders: one small table per type, what is in it, and what counts as kept.

Belongs here: the cases, as SQL at the source and as a contract of ours. Does not belong here: who loads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Annotated, Any, Literal

import polars as pl

from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment
from shopsphere_assets.ingestion.raw_table import RawTable, database_table

KEY, VALUE, CURSOR = "row_id", "cell", "updated_at"

Source = Literal["mysql", "postgresql"]


@dataclass(frozen=True)
class Value:
    """One value: the SQL literal that puts it into the source, and the text that stands for it faithfully."""

    literal: str
    text: str


@dataclass(frozen=True)
class Case:
    """A column of one type. ``contract_type``: what a contract of ours says of such a column.

    ``reading``: gives two texts that mean the same value the same form; raises ValueError where a text means no
    value of the type.
    """

    name: str
    title: str
    source: Source
    sql_type: str
    values: tuple[Value, ...]
    contract_type: Any
    reading: Callable[[str], Any] = str

    def statements(self) -> list[str]:
        """SQL that makes the table at the source."""
        stamp = "DATETIME(6)" if self.source == "mysql" else "timestamptz"
        rows = ", ".join(
            f"({number}, {value.literal}, '2025-06-01 12:00:00')" for number, value in enumerate(self.values, 1)
        )
        return [
            f"CREATE TABLE {self.name} ({KEY} BIGINT PRIMARY KEY, {VALUE} {self.sql_type}, {CURSOR} {stamp})",
            f"INSERT INTO {self.name} ({KEY}, {VALUE}, {CURSOR}) VALUES {rows}",
        ]

    def raw_table(self) -> RawTable:
        """The case as a raw table of the platform."""
        return database_table("shop_db", self.name, self._contract, KEY)

    @cached_property
    def _contract(self) -> type[Contract]:
        cell = moment("The cell.", required=False) if self.contract_type is Timestamp else column("", required=False)
        return type(
            f"Case_{self.name}",
            (Contract,),
            {
                "__annotations__": {KEY: pl.Int64, VALUE: self.contract_type, CURSOR: Timestamp},
                "__module__": __name__,
                KEY: column("The row."),
                VALUE: cell,
                CURSOR: moment("When the row last changed."),
            },
        )

    def is_kept(self, loaded: str, value: Value) -> bool:
        """Whether the text of a loaded cell means the source's value."""
        try:
            return bool(self.reading(loaded) == self.reading(value.text))
        except (ValueError, InvalidOperation):
            return False


def _number(text: str) -> Decimal:
    """Exactly; a flag is 1 or 0."""
    named = {"true": "1", "t": "1", "false": "0", "f": "0"}.get(text.lower(), text)
    if named.startswith(("\\x", "0x")):
        return Decimal(int(named[2:].replace("\\x", ""), 16))
    return Decimal(named)


def _bits(text: str) -> Decimal:
    """As a number, as binary digits or as bytes; a control character is the byte that it is."""
    if text in ("\\x30", "\\x31"):
        return Decimal(text[-1])  # the digit as bytes
    if len(text) == 1 and not text.isdigit():
        return Decimal(ord(text))
    if len(text) == 8 and set(text) <= {"0", "1"}:
        return Decimal(int(text, 2))
    return _number(text)


def _json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _seconds(text: str) -> Decimal:
    """A time of day or a span, to the microsecond, however it is written."""
    sign = -1 if text.startswith("-") else 1
    days, _, clock = text.lstrip("-").rpartition(" ")
    parts = clock.split(":")
    if len(parts) != 3:
        raise ValueError(text)
    hours, minutes, seconds = (Decimal(part) for part in parts)
    whole = Decimal(days.split()[0]) if days else Decimal(0)
    return sign * (((whole * 24 + hours) * 60 + minutes) * 60 + seconds)


def _moment(text: str) -> str:
    return text.replace("T", " ").removesuffix("+00").removesuffix("+00:00").removesuffix("Z").removesuffix(".000000")


def _day(text: str) -> str:
    return _moment(text).removesuffix(" 00:00:00")


def _bytes(text: str) -> bytes:
    """Bytes written as PostgreSQL (``\\xff61``) or as DuckDB does (``\\xFFa``), or as the text that they are."""
    if text.startswith("\\x") and "\\x" not in text[2:] and len(text) % 2 == 0:
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            pass
    whole = bytearray()
    rest = text
    while rest:
        if rest.startswith("\\x"):
            whole += bytes.fromhex(rest[2:4])
            rest = rest[4:]
        else:
            whole += rest[0].encode()
            rest = rest[1:]
    return bytes(whole)


_LONG_DECIMAL = "1234567890123456789012345678.0123456789"

_ALL = (
    Case(
        "utf8mb4", "utf8mb4 emoji", "mysql", "VARCHAR(50) CHARACTER SET utf8mb4",
        (Value("'👩🏽‍🚀 ok'", "👩🏽‍🚀 ok"), Value("'𝒳 and ✅'", "𝒳 and ✅")), str,
    ),
    Case(
        "zero_date", "zero DATE", "mysql", "DATE",
        (Value("'2024-02-29'", "2024-02-29"), Value("'0000-00-00'", "0000-00-00")), pl.Date, _day,
    ),
    Case(
        "half_date", "DATE without a day", "mysql", "DATE",
        (Value("'2024-02-29'", "2024-02-29"), Value("'2024-02-00'", "2024-02-00")), pl.Date, _day,
    ),
    Case(
        "zero_datetime", "zero DATETIME", "mysql", "DATETIME",
        (Value("'2024-02-29 10:00:00'", "2024-02-29 10:00:00"), Value("'0000-00-00 00:00:00'", "0000-00-00 00:00:00")),
        Timestamp, _moment,
    ),
    Case(
        "unsigned_bigint", "BIGINT UNSIGNED above 2⁶³", "mysql", "BIGINT UNSIGNED",
        tuple(Value(n, n) for n in ("1", "9223372036854775807", "9223372036854775808", "18446744073709551615")),
        pl.Int64, _number,
    ),
    Case(
        "unsigned_bigint_text", "the same, in a text column of ours", "mysql", "BIGINT UNSIGNED",
        tuple(Value(n, n) for n in ("1", "9223372036854775808", "18446744073709551615")), str, _number,
    ),
    Case(
        "decimal38", "DECIMAL(38,10)", "mysql", "DECIMAL(38,10)",
        tuple(Value(n, n) for n in ("0.1", _LONG_DECIMAL, "-9999999999999999999999999999.9999999999")),
        str, _number,
    ),
    Case(
        "decimal38_30", "DECIMAL(38,30)", "mysql", "DECIMAL(38,30)",
        tuple(Value(n, n) for n in ("0.1", "12345678.012345678901234567890123456789")), str, _number,
    ),
    Case(
        "decimal_money", "DECIMAL(38,10) as money", "mysql", "DECIMAL(38,10)",
        tuple(Value(n, n) for n in ("0.1", "19.999", _LONG_DECIMAL)),
        Annotated[pl.Decimal, 18, 2], _number,
    ),
    Case(
        "json_cells", "JSON", "mysql", "JSON",
        (
            Value("""'{"a": 1.10, "n": 12345678901234567890123}'""", '{"a": 1.10, "n": 12345678901234567890123}'),
            Value("""'"text"'""", '"text"'), Value("'null'", "null"),
        ), str, _json,
    ),
    Case(
        "enum_cells", "ENUM", "mysql", "ENUM('new', 'größer', '')",
        (Value("'new'", "new"), Value("'größer'", "größer"), Value("''", "")), str,
    ),
    Case(
        "tinyint1", "TINYINT(1)", "mysql", "TINYINT(1)",
        tuple(Value(n, n) for n in ("0", "1", "2", "-1", "127")), pl.Int64, _number,
    ),
    Case(
        "tinyint1_flag", "TINYINT(1) as a flag of ours", "mysql", "TINYINT(1)",
        tuple(Value(n, n) for n in ("0", "1", "2", "-1")), pl.Boolean, _number,
    ),
    Case("bit1", "BIT(1)", "mysql", "BIT(1)", (Value("b'0'", "0"), Value("b'1'", "1")), pl.Int64, _bits),
    Case(
        "bit64", "BIT(64)", "mysql", "BIT(64)",
        (Value("b'101'", "5"), Value("18446744073709551615", "18446744073709551615")), str, _bits,
    ),
    Case(
        "time_cells", "TIME over 24 h, below 0", "mysql", "TIME(6)",
        (
            Value("'23:59:59.5'", "23:59:59.500000"), Value("'30:15:00'", "30:15:00"),
            Value("'838:59:59'", "838:59:59"), Value("'-12:30:00'", "-12:30:00"),
        ), str, _seconds,
    ),
    Case("year_cells", "YEAR", "mysql", "YEAR", (Value("1999", "1999"), Value("0", "0")), pl.Int64, _number),
    Case(
        "double_cells", "DOUBLE", "mysql", "DOUBLE",
        (Value("0.1", "0.1"), Value("1.7976931348623157e308", "1.7976931348623157e308"),
         Value("123456789012345.67", "123456789012345.67")), str, float,
    ),
    Case(
        "float_cells", "FLOAT", "mysql", "FLOAT", tuple(Value(n, n) for n in ("0.1", "-16.99", "12345.6")),
        str, float,
    ),
    Case(
        "float_money", "FLOAT as money", "mysql", "FLOAT", tuple(Value(n, n) for n in ("0.1", "-16.99")),
        Annotated[pl.Decimal, 18, 2], _number,
    ),
    Case(
        "microseconds", "DATETIME(6)", "mysql", "DATETIME(6)",
        (Value("'2024-02-29 10:00:00.000001'", "2024-02-29 10:00:00.000001"),
         Value("'1999-12-31 23:59:59.999999'", "1999-12-31 23:59:59.999999")), Timestamp, _moment,
    ),
    Case(
        "latin1", "text in latin1", "mysql", "VARCHAR(20) CHARACTER SET latin1",
        (Value("'größer €'", "größer €"),), str,
    ),
    Case("set_cells", "SET", "mysql", "SET('a', 'b', 'ç')", (Value("'a,ç'", "a,ç"), Value("''", "")), str),
    Case(
        "null_text", "the text NULL, empty text, NULL", "mysql", "VARCHAR(20)",
        (Value("'NULL'", "NULL"), Value("''", ""), Value("'\\\\N'", "\\N")), str,
    ),
    Case(
        "odd_text", "tab, line end, quote, backslash in text", "mysql", "VARCHAR(50)",
        (Value("'a\\tb'", "a\tb"), Value("'a\\nb'", "a\nb"), Value("'a\\r\\nb'", "a\r\nb"),
         Value("'say \"hi\", it''s'", "say \"hi\", it's"), Value("'c:\\\\new\\\\table'", "c:\\new\\table"),
         Value("' padded '", " padded ")), str,
    ),
    Case(
        "nul_cells", "NUL in text", "mysql", "VARCHAR(20)",
        (Value("'plain'", "plain"), Value("CONCAT('a', CHAR(0 USING utf8mb4), 'b')", "a\0b")), str,
    ),
    Case(
        "invalid_utf8", "invalid UTF-8 (VARBINARY)", "mysql", "VARBINARY(20)",
        (Value("'plain'", "plain"), Value("X'61FF62'", "a\\xFFb")), str, _bytes,
    ),
    Case(
        "infinity_cells", "infinity (timestamptz)", "postgresql", "timestamptz",
        (Value("'2024-02-29 10:00:00+00'", "2024-02-29 10:00:00"), Value("'infinity'", "infinity"),
         Value("'-infinity'", "-infinity")), Timestamp, _moment,
    ),
    Case(
        "far_moment", "years 4713 BC, 12024 (timestamptz)", "postgresql", "timestamptz",
        (Value("'4713-01-01 00:00:00+00 BC'", "4713-01-01 00:00:00+00 BC"),
         Value("'12024-01-01 00:00:00+00'", "12024-01-01 00:00:00")), Timestamp, _moment,
    ),
    Case(
        "infinite_date", "infinity (date)", "postgresql", "date",
        (Value("'2024-02-29'", "2024-02-29"), Value("'infinity'", "infinity")), pl.Date, _day,
    ),
    Case(
        "numeric_cells", "numeric: 38 digits, NaN", "postgresql", "numeric",
        (Value("0.1", "0.1"), Value(_LONG_DECIMAL, _LONG_DECIMAL), Value("'NaN'", "NaN")),
        str, lambda text: "NaN" if text.lower() == "nan" else _number(text),
    ),
    Case(
        "float4", "real", "postgresql", "real", tuple(Value(n, n) for n in ("0.1", "-16.99")),
        Annotated[pl.Decimal, 18, 2], _number,
    ),
    Case(
        "bytea", "bytea, not UTF-8", "postgresql", "bytea",
        (Value("'\\x706c61696e'", "plain"), Value("'\\x61ff62'", "a\\xFFb")), str, _bytes,
    ),
    Case(
        "jsonb_cells", "jsonb", "postgresql", "jsonb",
        (Value("""'{"a": 1.10, "n": 12345678901234567890123}'""", '{"a": 1.10, "n": 12345678901234567890123}'),
         Value("""'"text"'""", '"text"'), Value("'null'", "null")), str, _json,
    ),
    Case(
        "array_cells", "text[]", "postgresql", "text[]",
        (Value("array['a', 'b,c', null]", '{a,"b,c",NULL}'),), str,
        lambda text: text.replace("[", "{").replace("]", "}").replace(", ", ",").replace('"', "").replace("'", ""),
    ),
    Case(
        "interval_cells", "interval", "postgresql", "interval",
        (Value("interval '1 day 02:03:04'", "1 day 02:03:04"),), str, _seconds,
    ),
)  # fmt: skip

CASES = {case.name: case for case in _ALL}
