"""Decodes the row images of MySQL's and MariaDB's binlog.

The library that reads the stream can decode rows too. It is not used for that: it turns zero dates and dates
with zero parts into nulls, sets into unordered ones, and stops at text that is no UTF-8; and decoding only
wanted columns, and converting them a column at a time, is about three times as fast.

Formats: https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Rows__event.html and
the comments in MySQL's ``sql-common/my_time.cc`` and ``strings/decimal.cc``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl
from pymysqlreplication.column import Column
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.json_binary import parse_json

from resources.change_log.base import LoggedTable
from resources.change_log.collecting import MISSING, Convert, Layout
from resources.change_log.values import MOST_DECIMAL_DIGITS, of_type, parsed, raw_bytes, text_from_bytes, text_in
from resources.change_log.values import decimals as parse_decimals

Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value that begins at a position; gives it and the position behind it."""

_UTF8 = {"utf8", "utf8mb3", "utf8mb4", "ascii"}
_DIGITS_TO_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_GIVEN_AS_BYTES = {"uuid", "inet4", "inet6", "vector"}
_MICROSECONDS = 1_000_000


class MySqlLayout:
    """A table's columns as a table map of the binlog describes them, ready to decode rows.

    ``foreign``: names of columns whose type the table map does not tell, by what the catalogue says of them.
    """

    def __init__(self, table: LoggedTable, columns: Sequence[Column], foreign: dict[str, str]) -> None:
        by_fold = {name.lower(): name for name in table.columns}
        readers: list[Read] = []
        wanted: list[int] = []
        names: list[str] = []
        converters: list[Convert] = []
        for number, column in enumerate(columns):
            name = by_fold.get((column.name or "").lower())
            reader = _reader(column)
            readers.append(reader)
            if name is None:
                continue
            convert = None if foreign.get(name) in _GIVEN_AS_BYTES else _converter(column)
            wanted.append(number)
            names.append(name)
            converters.append(convert or _unreadable)
        self._readers = tuple(readers)
        self._places = tuple(wanted.index(n) if n in wanted else -1 for n in range(len(readers)))
        self._width = len(wanted)
        missing = [name for name in table.key if name not in names]
        self.problem = f"the log does not give the key column {', '.join(missing)}" if missing else ""
        self._lost = tuple(n for n, convert in enumerate(converters) if convert is _unreadable)
        key = () if missing else tuple(names.index(name) for name in table.key)
        self.layout = Layout(tuple(names), tuple(converters), key)
        if set(key) & set(self._lost):
            self.problem = "the key is of a type that the log gives in another form"

    def rows(self, data: bytes, present: bytes, present_after: bytes | None) -> Iterator[tuple[list[Any], list[Any]]]:
        """The row images in an event's body, of changed rows before and after, of others the same one twice.

        ``present``: bitmap of the columns that the images have; ``present_after``: of those after a change.
        """
        first = self._plan(present)
        second = first if present_after == present else self._plan(present_after) if present_after else None
        position, end = 0, len(data)
        while position < end:
            before, position = self._image(data, position, first)
            if second is None:
                yield before, before
            else:
                after, position = self._image(data, position, second)
                yield before, after

    def _plan(self, present: bytes) -> list[tuple[Read, int]]:
        return [
            (reader, place)
            for number, (reader, place) in enumerate(zip(self._readers, self._places, strict=True))
            if present[number >> 3] & (1 << (number & 7))
        ]

    def _image(self, data: bytes, position: int, plan: list[tuple[Read, int]]) -> tuple[list[Any], int]:
        values: list[Any] = [MISSING] * self._width
        size = (len(plan) + 7) >> 3
        nulls = int.from_bytes(data[position : position + size], "little")
        position += size
        for reader, place in plan:
            if nulls & 1:
                if place >= 0:
                    values[place] = None
            else:
                value, position = reader(data, position)
                if place >= 0:
                    values[place] = value
            nulls >>= 1
        for place in self._lost:
            if values[place] is not None:
                values[place] = MISSING
        return values, position


def _unreadable(values: list[Any]) -> pl.Series:
    """Of a column that the log cannot give: rows where it is not null are read from the table."""
    return pl.Series(values, dtype=pl.String)


def _reader(column: Column) -> Read:
    """How a value of the column is read; raises NotImplementedError for a type that nobody knows."""
    unsigned = bool(column.unsigned)
    match column.type:
        case FIELD_TYPE.TINY:
            return _integer(1, unsigned)
        case FIELD_TYPE.SHORT:
            return _integer(2, unsigned)
        case FIELD_TYPE.INT24:
            return _integer(3, unsigned)
        case FIELD_TYPE.LONG:
            return _integer(4, unsigned)
        case FIELD_TYPE.LONGLONG:
            return _integer(8, unsigned)
        case FIELD_TYPE.YEAR:
            return _year
        case FIELD_TYPE.FLOAT:
            return _floating("<f")
        case FIELD_TYPE.DOUBLE:
            return _floating("<d")
        case FIELD_TYPE.NEWDECIMAL:
            return _decimal(column.precision, column.decimals)
        case FIELD_TYPE.DATE | FIELD_TYPE.NEWDATE:
            return _integer(3, unsigned=True)
        case FIELD_TYPE.TIME2:
            return _packed_time(column.fsp)
        case FIELD_TYPE.DATETIME2:
            return _packed_moment(5, 1 << 39, column.fsp)
        case FIELD_TYPE.TIMESTAMP2:
            return _packed_moment(4, 0, column.fsp)
        case FIELD_TYPE.TIMESTAMP:
            return _old_timestamp
        case FIELD_TYPE.DATETIME:
            return _integer(8, unsigned=True)
        case FIELD_TYPE.TIME:
            return _integer(3, unsigned=False)
        case FIELD_TYPE.VARCHAR | FIELD_TYPE.VAR_STRING | FIELD_TYPE.STRING:
            return _sized(2 if column.max_length > 255 else 1)
        case FIELD_TYPE.BLOB | FIELD_TYPE.GEOMETRY | FIELD_TYPE.JSON:
            return _sized(column.length_size)
        case FIELD_TYPE.ENUM | FIELD_TYPE.SET:
            return _integer(column.size, unsigned=True)
        case FIELD_TYPE.BIT:
            return _bits(column.bytes)
    raise NotImplementedError(f"column {column.name} is of type {column.type}")


def _converter(column: Column) -> Convert | None:
    """How a column's values become what a read of the table gives; None where the log does not tell enough."""
    match column.type:
        case FIELD_TYPE.LONGLONG | FIELD_TYPE.BIT:
            return of_type(pl.UInt64 if column.unsigned or column.type == FIELD_TYPE.BIT else pl.Int64)
        case FIELD_TYPE.TINY | FIELD_TYPE.SHORT | FIELD_TYPE.INT24 | FIELD_TYPE.LONG | FIELD_TYPE.YEAR:
            return of_type(pl.Int64)
        case FIELD_TYPE.FLOAT:
            return of_type(pl.Float32)
        case FIELD_TYPE.DOUBLE:
            return of_type(pl.Float64)
        case FIELD_TYPE.NEWDECIMAL:
            if column.precision > MOST_DECIMAL_DIGITS:
                return text_from_bytes
            return parsed(parse_decimals(column.decimals))
        case FIELD_TYPE.DATE | FIELD_TYPE.NEWDATE:
            return _dates
        case FIELD_TYPE.TIME2:
            return _texts(lambda value: _time_text(value, column.fsp))
        case FIELD_TYPE.TIME:
            return _texts(_old_time_text)
        case FIELD_TYPE.DATETIME2:
            return lambda values: _moments(values, column.fsp)
        case FIELD_TYPE.DATETIME:
            return lambda values: _moments([None if v is None else _repacked(v) for v in values], 0)
        case FIELD_TYPE.TIMESTAMP2 | FIELD_TYPE.TIMESTAMP:
            return lambda values: _timestamps(values, getattr(column, "fsp", 0))
        case FIELD_TYPE.VARCHAR | FIELD_TYPE.VAR_STRING | FIELD_TYPE.STRING | FIELD_TYPE.BLOB:
            return _text(column)
        case FIELD_TYPE.ENUM:
            return _labels(column.enum_values, _one_label)
        case FIELD_TYPE.SET:
            return _labels(column.set_values, _joined_labels)
        case FIELD_TYPE.JSON:
            return _texts(_json_text)
    return None


# -- values -------------------------------------------------------------------------------------------------


def _integer(size: int, unsigned: bool) -> Read:
    form = {(1, True): "<B", (1, False): "<b", (2, True): "<H", (2, False): "<h", (4, True): "<I", (4, False): "<i"}
    form |= {(8, True): "<Q", (8, False): "<q"}
    if (size, unsigned) not in form:
        return lambda data, at: (int.from_bytes(data[at : at + size], "little", signed=not unsigned), at + size)
    unpack = struct.Struct(form[size, unsigned]).unpack_from
    return lambda data, at: (unpack(data, at)[0], at + size)


def _floating(form: str) -> Read:
    compiled = struct.Struct(form)
    return lambda data, at: (compiled.unpack_from(data, at)[0], at + compiled.size)


def _year(data: bytes, at: int) -> tuple[int, int]:
    return data[at] + 1900 if data[at] else 0, at + 1


def _bits(size: int) -> Read:
    return lambda data, at: (int.from_bytes(data[at : at + size], "big"), at + size)


def _sized(size: int) -> Read:
    """Bytes behind their length, which takes ``size`` bytes."""
    if size == 1:

        def read_short(data: bytes, at: int) -> tuple[bytes, int]:
            end = at + 1 + data[at]
            return data[at + 1 : end], end

        return read_short

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        begin = at + size
        end = begin + int.from_bytes(data[at:begin], "little")
        return data[begin:end], end

    return read


def _decimal(precision: int, scale: int) -> Read:
    """A decimal as its text: groups of up to nine digits, the first bit turned, negatives inverted."""
    whole = precision - scale
    digits = [whole % 9] * bool(whole % 9) + [9] * (whole // 9) + [9] * (scale // 9) + [scale % 9] * bool(scale % 9)
    groups = [(_DIGITS_TO_BYTES[count], 10**count) for count in digits]
    size = sum(length for length, _ in groups)
    ones, top = (1 << (8 * size)) - 1, 1 << (8 * size - 1)
    unit = 10**scale

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        number = int.from_bytes(data[at : at + size], "big")
        sign = ""
        if not number & top:
            sign, number = "-", number ^ ones
        plain = (number ^ top).to_bytes(size, "big")
        unscaled = begin = 0
        for length, factor in groups:
            unscaled = unscaled * factor + int.from_bytes(plain[begin : begin + length], "big")
            begin += length
        text = f"{sign}{unscaled // unit}.{unscaled % unit:0{scale}d}" if scale else f"{sign}{unscaled}"
        return text.encode(), at + size

    return read


def _packed_moment(size: int, offset: int, fsp: int) -> Read:
    """The packed moment and its microseconds as one number."""
    fraction = (fsp + 1) // 2
    factor = 10 ** (6 - 2 * fraction)

    def read(data: bytes, at: int) -> tuple[int, int]:
        end = at + size
        value = (int.from_bytes(data[at:end], "big") - offset) * _MICROSECONDS
        if fraction:
            value += int.from_bytes(data[end : end + fraction], "big") * factor
        return value, end + fraction

    return read


def _packed_time(fsp: int) -> Read:
    """A time of day or a duration as its microseconds, with its sign."""
    fraction = (fsp + 1) // 2
    size = 3 + fraction
    middle = 1 << (8 * size - 1)
    factor = 10 ** (6 - 2 * fraction)
    fraction_mask = (1 << (8 * fraction)) - 1

    def read(data: bytes, at: int) -> tuple[int, int]:
        packed = int.from_bytes(data[at : at + size], "big") - middle
        sign, packed = (-1, -packed) if packed < 0 else (1, packed)
        clock = packed >> (8 * fraction)
        seconds = (clock >> 12 & 0x3FF) * 3600 + (clock >> 6 & 0x3F) * 60 + (clock & 0x3F)
        return sign * (seconds * _MICROSECONDS + (packed & fraction_mask) * factor), at + size

    return read


def _old_timestamp(data: bytes, at: int) -> tuple[int, int]:
    return int.from_bytes(data[at : at + 4], "little") * _MICROSECONDS, at + 4


# -- columns of values --------------------------------------------------------------------------------------


def _texts(text: Callable[[Any], str]) -> Convert:
    def convert(values: list[Any]) -> pl.Series:
        return pl.Series([None if value is None else text(value) for value in values], dtype=pl.String)

    return convert


def _text(column: Column) -> Convert | None:
    if column.collation_name == "binary" or column.character_set_name == "binary":
        # The log cuts the zero bytes off the end of BINARY; a read of the table has them.
        if column.type == FIELD_TYPE.STRING:
            return lambda values: raw_bytes([None if v is None else v.ljust(column.max_length, b"\0") for v in values])
        return raw_bytes
    encoding = column.character_set_name
    if encoding is None or encoding in _UTF8:
        return text_from_bytes
    try:
        "".encode({"utf16": "utf-16-be", "ucs2": "utf-16-be", "utf32": "utf-32-be"}.get(encoding, encoding))
    except LookupError:
        return None
    return text_in({"utf16": "utf-16-be", "ucs2": "utf-16-be", "utf32": "utf-32-be"}.get(encoding, encoding))


def _labels(labels: list[str] | None, text: Callable[[int, list[str]], str]) -> Convert | None:
    # The library gives an empty label for one that is not written in UTF-8.
    first = 1 if text is _one_label else 0
    if not labels or "" in labels[first:]:
        return None
    known: list[str] = labels

    return _texts(lambda value: text(value, known))


def _one_label(value: int, labels: list[str]) -> str:
    return labels[value]


def _joined_labels(value: int, labels: list[str]) -> str:
    return ",".join(label for number, label in enumerate(labels) if value >> number & 1)


def _dates(values: list[int | None]) -> pl.Series:
    packed = pl.Series(values, dtype=pl.Int64)
    year, month, day = packed // 512, packed // 32 % 16, packed % 32
    texts = _joined([_padded(year, 4), _padded(month, 2), _padded(day, 2)], "-")
    dates = texts.str.to_date("%Y-%m-%d", strict=False)
    return dates if dates.null_count() == packed.null_count() else texts


def _moments(values: list[int | None], fsp: int) -> pl.Series:
    """DATETIMEs: year and month as one number of 17 bits, day 5, hour 5, minute 6, second 6; as text if one is none."""
    packed = pl.Series(values, dtype=pl.Int64)
    clock, micros = packed // _MICROSECONDS, packed % _MICROSECONDS
    months = clock // (1 << 22)
    date = _joined([_padded(months // 13, 4), _padded(months % 13, 2), _padded(clock // (1 << 17) % 32, 2)], "-")
    days = date.str.to_date("%Y-%m-%d", strict=False)
    hour, minute, second = clock // (1 << 12) % 32, clock // 64 % 64, clock % 64
    if days.null_count() == packed.null_count():
        seconds = hour * 3600 + minute * 60 + second
        since_1970 = days.cast(pl.Datetime("us")).cast(pl.Int64) + seconds * _MICROSECONDS + micros
        return since_1970.cast(pl.Datetime("us"))
    time = _joined([_padded(hour, 2), _padded(minute, 2), _padded(second, 2)], ":")
    return _joined([date, _with_fraction(time, micros, fsp)], " ")


def _timestamps(values: list[int | None], fsp: int) -> pl.Series:
    """TIMESTAMPs: seconds since 1970; as text if one is the zero date."""
    micros = pl.Series(values, dtype=pl.Int64)
    moments = micros.cast(pl.Datetime("us"))
    if not (micros == 0).any():
        return moments
    texts = _with_fraction(moments.dt.strftime("%Y-%m-%d %H:%M:%S"), micros % _MICROSECONDS, fsp)
    zero = _with_fraction(pl.Series(["0000-00-00 00:00:00"]), pl.Series([0]), fsp)
    return pl.select(pl.when(micros == 0).then(pl.lit(zero[0])).otherwise(texts)).to_series()


def _padded(numbers: pl.Series, width: int) -> pl.Series:
    return numbers.cast(pl.String).str.zfill(width)


def _joined(parts: list[pl.Series], separator: str) -> pl.Series:
    return pl.select(pl.concat_str([pl.lit(part) for part in parts], separator=separator)).to_series()


def _with_fraction(texts: pl.Series, micros: pl.Series, fsp: int) -> pl.Series:
    if not fsp:
        return texts
    return _joined([texts, _padded(micros // 10 ** (6 - fsp), fsp)], ".")


def _time_text(micros: int, fsp: int) -> str:
    seconds, fraction = divmod(abs(micros), _MICROSECONDS)
    text = f"{'-' if micros < 0 else ''}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction // 10 ** (6 - fsp):0{fsp}d}" if fsp else text


def _old_time_text(value: int) -> str:
    clock = abs(value)
    return f"{'-' if value < 0 else ''}{clock // 10000:02d}:{clock // 100 % 100:02d}:{clock % 100:02d}"


def _repacked(value: int) -> int:
    """An old DATETIME, the digits of which are a decimal number, packed as a new one."""
    date, clock = divmod(value, 1_000_000)
    months = date // 10000 * 13 + date // 100 % 100
    packed = (months << 22) | (date % 100 << 17) | (clock // 10000 << 12) | (clock // 100 % 100 << 6) | clock % 100
    return packed * _MICROSECONDS


def _json_text(value: bytes) -> str:
    """MySQL's binary JSON in the form in which the server shows it."""
    return json.dumps(_decoded(parse_json(value[0], value[1:])), ensure_ascii=False) if value else "null"


def _decoded(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode()
        case dict():
            return {_decoded(name): _decoded(member) for name, member in value.items()}
        case list():
            return [_decoded(member) for member in value]
    return value
