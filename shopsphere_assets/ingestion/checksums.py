"""Checksums of a raw table by chunks of its keys, of what the source holds and of what the warehouse holds.

Belongs here: where a key lies among the chunks, the checksum of (key, cursor) in the SQL of every database and in
polars, reading keys or rows of some chunks, and finding the chunks that differ. Does not belong here: what is
done about a difference (``reconcile``).

A key's *position* is a whole number: the key itself where it is an integer that the database can sum up by ranges
(so that an index finds the rows of a chunk), else 60 bits of the MD5 of its text, which tells apart what a
collation takes for equal. A chunk is what lies between two multiples of a power of two. Every engine computes
with 64-bit integers, and nothing here exceeds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, Protocol

import polars as pl

from resources.http_source import HttpSource
from resources.reading import POSITION, Chunk
from resources.sql_source import SqlSource
from resources.warehouse import Warehouse
from shopsphere_assets.contracts.base import EARLIEST_MOMENT, LATEST_MOMENT
from shopsphere_assets.ingestion.coerce import coerce
from shopsphere_assets.ingestion.decisions import STANDING
from shopsphere_assets.ingestion.extract import Source, relation, select
from shopsphere_assets.ingestion.raw_table import BATCH_ID, DELETED_AT, DatabaseRead, HttpRead, RawTable
from shopsphere_assets.ingestion.validate import plausible_moments

CHANGED_AT = "_changed_at"
"""In frames of keys: the cursor, null where it is no plausible moment."""

# Two primes and a primitive root of the first: products of numbers below them fit into 64 bits.
_PRIME = 2_147_483_647
_OTHER_PRIME = 2_147_483_629
_ROOT = 48_271

_HASH_DIGITS = 15
_HASH_BITS = 4 * _HASH_DIGITS
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

_CHUNKS = 1024
_FINER = 64
# What is read of a chunk that differs is little: keys and cursors.
_ROWS_OF_A_SMALL_CHUNK = 2048
_CHUNKS_AT_ONCE = 2048
_ROWS_AT_ONCE = 200_000

_INTEGERS = {"mysql": {"short", "int24", "long", "longlong"}, "postgresql": {"int2", "int4", "int8"}}
_TEXTS = {"mysql": {"varchar", "var_string", "string"}, "postgresql": {"text", "varchar", "bpchar", "uuid"}}
_MOMENTS = {"mysql": {"datetime", "timestamp", "date"}, "postgresql": {"timestamp", "timestamptz", "date"}}

_Dialect = Literal["mysql", "postgresql", "duckdb"]


@dataclass(frozen=True)
class Interval:
    """Positions from ``low`` to ``high``, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class Sums:
    """What is compared of a chunk: the number of rows, the sum of their positions and the checksum."""

    rows: int
    positions: int
    checksum: int


@dataclass(frozen=True)
class Selection:
    """Some chunks of one width, by their bases: the position of each that is nearest to zero, in order."""

    width: int
    bases: tuple[int, ...]

    @property
    def intervals(self) -> list[Interval]:
        """Where the chunks lie, neighbours made one."""
        result: list[Interval] = []
        for base in self.bases:
            # The remainder of a negative number is negative in SQL: chunks are counted from zero both ways.
            low = max(base if base > 0 else base - self.width + 1, _LOWEST)
            high = min(base if base < 0 else base + self.width - 1, _HIGHEST)
            if result and result[-1].high + 1 == low:
                result[-1] = Interval(result[-1].low, high)
            else:
                result.append(Interval(low, high))
        return result

    def only(self, positions: pl.Series) -> Selection:
        """Those of the chunks in which one of the positions lies."""
        meant = {p - (abs(p) % self.width if p > 0 else -(abs(p) % self.width)) for p in positions.to_list()}
        return Selection(self.width, tuple(base for base in self.bases if base in meant))


@dataclass(frozen=True)
class Difference:
    """A chunk in which the two sides differ, and how many rows it has at most on either."""

    base: int
    width: int
    rows: int


ChunkSums = dict[int | None, Sums]
"""Sums by the chunk's base; None for rows without a usable key."""


class Side(Protocol):
    """One of the two that are compared."""

    def extent(self) -> Interval | None:
        """Where the positions lie; None where there are no rows."""
        ...

    def sums(self, width: int, within: Selection | None = None) -> ChunkSums:
        """The sums of every chunk of ``width`` that has rows: of all rows, or of those within some chunks."""
        ...


class SourceSide(Side, Protocol):
    """What the source holds."""

    is_by_value: bool
    """Whether keys are their own positions."""

    def keys(self, within: Selection) -> pl.DataFrame:
        """The keys in the contract's types and :data:`CHANGED_AT` of the rows within some chunks."""
        ...

    def rows(self, within: Selection | None) -> Iterator[Chunk]:
        """The rows within some chunks; those without a usable key for None."""
        ...


def differences(ours: Side, theirs: Side, sums: tuple[ChunkSums, ChunkSums], width: int) -> Iterator[Difference]:
    """Where the sides differ, in small chunks, given the sums of chunks of ``width`` of both."""
    deeper: list[int] = []
    for base in sorted(b for b in sums[0].keys() | sums[1].keys() if b is not None):
        found = sums[0].get(base), sums[1].get(base)
        if found[0] == found[1]:
            continue
        counts = [side.rows if side else 0 for side in found]
        if min(counts) == 0 or max(counts) <= _ROWS_OF_A_SMALL_CHUNK or width == 1:
            yield Difference(base, width, max(counts))
        else:
            deeper.append(base)
    finer = max(1, width // _FINER)
    for start in range(0, len(deeper), _CHUNKS_AT_ONCE):
        part = Selection(width, tuple(deeper[start : start + _CHUNKS_AT_ONCE]))
        yield from differences(ours, theirs, (ours.sums(finer, part), theirs.sums(finer, part)), finer)


def portions(found: Iterable[Difference]) -> Iterator[Selection]:
    """The differences put together to portions that fit into memory and into one question."""
    waiting: list[int] = []
    width = rows = 0
    for difference in found:
        is_full = rows + difference.rows > _ROWS_AT_ONCE or len(waiting) >= _CHUNKS_AT_ONCE
        if waiting and (is_full or width != difference.width):
            yield Selection(width, tuple(waiting))
            waiting, rows = [], 0
        waiting.append(difference.base)
        width = difference.width
        rows += difference.rows
    if waiting:
        yield Selection(width, tuple(waiting))


def chunk_width(extents: Iterable[Interval | None]) -> int:
    """The power of two by which what lies within the extents makes about a thousand chunks."""
    found = [extent for extent in extents if extent]
    if not found:
        return 1
    span = max(e.high for e in found) - min(e.low for e in found) + 1
    # A chunk about zero reaches to both sides, hence at most twice as wide as another: still a 64-bit number.
    return min(1 << max(0, (span // _CHUNKS).bit_length()), 2**54)


def key_texts(keys: pl.DataFrame, table: RawTable) -> pl.Series:
    """The keys, in the contract's types, as the text that stands in the quarantine; null for one with a null."""
    parts = [pl.col(name).cast(pl.String) for name in table.key]
    return keys.select(pl.concat_str(parts, separator="|").alias("row_key")).to_series()


def typed_keys(rows: pl.DataFrame, table: RawTable) -> pl.DataFrame:
    """The keys of ``rows`` in the contract's types, null where one cannot be turned, and :data:`CHANGED_AT`."""
    types = table.column_types
    typed, _ = coerce(rows, {name: types[name] for name in dict.fromkeys((*table.key, table.cursor))})
    changed = plausible_moments(typed.get_column(table.cursor)).alias(CHANGED_AT)
    return typed.select(table.key).with_columns(changed)


class WarehouseSide:
    """What the warehouse holds of a table: raw rows not marked as deleted, and standing entries of the quarantine.

    Of a row that has both, the entry counts, as it is the newer version. A raw row that was re-admitted from the
    quarantine is not what the source holds; its entry is. ``is_by_value``: whether keys are their
    own positions.
    """

    def __init__(self, table: RawTable, warehouse: Warehouse, *, is_by_value: bool) -> None:
        self._table = table
        self._warehouse = warehouse
        self._is_by_value = is_by_value
        self._dialect: _Dialect = "duckdb" if warehouse.dialect == "duckdb" else "postgresql"

    def extent(self) -> Interval | None:
        """See :class:`Side`."""
        if not self._is_by_value:
            return Interval(0, 2**_HASH_BITS - 1)
        [row] = self._warehouse.query(
            f"{self._standing()} SELECT min(key) AS low, max(key) AS high FROM standing"
        ).to_pylist()
        return None if row["low"] is None else Interval(row["low"], row["high"])

    def sums(self, width: int, within: Selection | None = None) -> ChunkSums:
        """See :class:`Side`."""
        inner = f"SELECT {self._position()} AS p, {_microseconds('changed_at', self._dialect)} AS m FROM standing"
        if within is not None:
            inner += f" WHERE {self._within(within)}"
        rows = self._warehouse.query(f"{self._standing()} {_sums(inner, width, self._dialect)}").to_pylist()
        return {row["base"]: _reduced(row["n"], row["positions"], row["checksum"]) for row in rows}

    def keys(self, within: Selection) -> pl.DataFrame:
        """The keys in the contract's types and :data:`CHANGED_AT` of what stands within some chunks."""
        columns = ", ".join(f'"{name}"' for name in self._table.key)
        found = self._warehouse.query(
            f"{self._standing(columns)} SELECT row_key, {columns}, changed_at FROM standing"
            f" WHERE {self._within(within)}"
        )
        frame = pl.DataFrame(found)
        types = {name: self._table.column_types[name] for name in self._table.key}
        entries = frame.filter(pl.col("row_key").is_not_null())
        texts = entries.select(pl.col("row_key").str.split_exact("|", len(types) - 1).struct.unnest())
        if len(types) == 1:
            texts = entries.select(field_0="row_key")
        named = texts.rename({f"field_{n}": name for n, name in enumerate(types)})
        typed, _ = coerce(named, types)
        moments = pl.col("changed_at").cast(pl.Datetime("us", "UTC")).alias(CHANGED_AT)
        rows = frame.filter(pl.col("row_key").is_null())
        changed = plausible_moments(rows.select(moments).to_series())
        return pl.concat(
            [
                rows.select(pl.col(name).cast(dtype) for name, dtype in types.items()).with_columns(changed),
                typed.with_columns(entries.select(moments).to_series()),
            ]
        )

    def keyless_entries(self) -> set[str]:
        """The identifiers of the standing entries that have no usable key."""
        found = self._warehouse.query(f"{self._standing()} SELECT quarantine_id FROM entries WHERE key IS NULL")
        return set(found.column(0).to_pylist())

    def _within(self, within: Selection) -> str:
        # PostgreSQL finds ranges by its index, DuckDB would try them one by one.
        by_range = self._is_by_value and self._dialect == "postgresql"
        return _in_intervals("key", within) if by_range else _in_chunks(self._position(), within)

    def _position(self) -> str:
        return "key" if self._is_by_value else _hash("key", self._dialect)

    def _standing(self, columns: str = "") -> str:
        """Common table expressions: ``entries``, and what stands, by ``key``, with the key's ``columns``."""
        table = self._table
        own_table = f"source = {_literal(table.source)} AND table_name = {_literal(table.name)}"
        key = self._integer_of("row_key") if self._is_by_value else "NULLIF(row_key, '')"
        raw_key = f'raw."{table.key[0]}"'
        if not self._is_by_value:
            raw_key = " || '|' || ".join(f'CAST(raw."{name}" AS text)' for name in table.key)
            if _is_integer_key(table):
                # A text that is no number was never a key of this table.
                key = f"CAST({self._integer_of('row_key')} AS text)"
        own = "".join(f', raw."{name}"' for name in table.key) if columns else ""
        none = ", NULL" * len(table.key) if columns else ""
        return (
            f"WITH entries AS (SELECT {key} AS key, row_key, quarantine_id, changed_at"
            f" FROM quarantine.rows WHERE {own_table} AND {STANDING}),"
            f' standing AS (SELECT {raw_key} AS key, raw."{table.cursor}" AS changed_at, NULL AS row_key{own}'
            f' FROM {table.definition} AS raw WHERE raw."{DELETED_AT}" IS NULL'
            # Not NOT EXISTS: PostgreSQL, which knows no statistics of fresh entries, would loop over them.
            f" AND {raw_key} NOT IN (SELECT key FROM entries WHERE key IS NOT NULL)"
            f' AND raw."{BATCH_ID}" NOT IN'
            f" (SELECT batch_id FROM ledger.batches WHERE {own_table} AND kind = 'readmission')"
            f" UNION ALL SELECT key, changed_at, row_key{none} FROM entries)"
        )

    def _integer_of(self, text: str) -> str:
        """SQL that gives a text as a 64-bit number, null where it is none."""
        if self._dialect == "duckdb":
            return f"CASE WHEN regexp_full_match({text}, '-?[0-9]{{1,19}}') THEN TRY_CAST({text} AS bigint) END"
        number = f"CAST({text} AS numeric)"
        return (
            f"CASE WHEN {text} ~ '^-?[0-9]{{1,19}}$' THEN"
            f" CASE WHEN {number} BETWEEN {_LOWEST} AND {_HIGHEST} THEN CAST({text} AS bigint) END END"
        )


class DatabaseSide:
    """A table or query of a server, whose SQL computes the sums."""

    def __init__(self, table: RawTable, read: DatabaseRead, database: SqlSource, *, is_by_value: bool) -> None:
        self._table, self._read, self._database = table, read, database
        self.is_by_value = is_by_value
        self._dialect: _Dialect = "mysql" if database.dialect == "mysql" else "postgresql"
        self._relation = relation(read, database)

    def extent(self) -> Interval | None:
        """See :class:`Side`."""
        return self._extent

    @cached_property
    def _extent(self) -> Interval | None:
        if not self.is_by_value:
            return Interval(0, 2**_HASH_BITS - 1)
        key = self._expression(self._table.key[0])
        [(low, high)] = self._database.fetch(f"SELECT MIN({key}), MAX({key}) FROM {self._relation}")
        return None if low is None else Interval(int(low), int(high))

    def sums(self, width: int, within: Selection | None = None) -> ChunkSums:
        """See :class:`Side`."""
        moments = _microseconds(self._expression(self._table.cursor), self._dialect)
        position = self._position()
        inner = f"SELECT {position} AS p, {moments} AS m FROM {self._relation}"
        if within is not None:
            inner += f" WHERE {self._within(within)}"
        rows = self._database.fetch(_sums(inner, width, self._dialect))
        return {None if base is None else int(base): _reduced(n, p, c) for base, n, p, c in rows}

    def keys(self, within: Selection) -> pl.DataFrame:
        """See :class:`SourceSide`."""
        query = f"{narrow_select(self._table, self._read, self._database)} WHERE {self._within(within)}"
        return _all_keys(self._database.read(query, self._table.key), self._table)

    def rows(self, within: Selection | None) -> Iterator[Chunk]:
        """See :class:`SourceSide`."""
        query = f"{select(self._table, self._read, self._database, None)} WHERE {self._within(within)}"
        return self._database.read(query, self._table.key)

    def _within(self, within: Selection | None) -> str:
        position = self._position()
        if within is None:
            return f"{position} IS NULL"
        return _in_intervals(position, within) if self.is_by_value else _in_chunks(position, within)

    def _position(self) -> str:
        expressions = [self._expression(name) for name in self._table.key]
        if self.is_by_value:
            return expressions[0]
        if self._dialect == "mysql":
            # The same bytes whatever the column's character set; CONCAT is null where one of them is.
            parts = ", '|', ".join(f"CONVERT({e} USING utf8mb4)" for e in expressions)
            return _hash(f"CONCAT({parts})", self._dialect)
        return _hash(" || '|' || ".join(f"CAST({e} AS text)" for e in expressions), self._dialect)

    def _expression(self, name: str) -> str:
        return column_expression(self._read, self._database, name)


class StreamedSide:
    """A source whose keys and cursors are read one and all and summed up here.

    For those without SQL of their own (APIs), those in this process anyway (SQLite), and tables whose key or cursor
    is of a type that only the contract can turn. Memory holds a chunk and the sums.
    """

    is_by_value = False

    def __init__(
        self, table: RawTable, narrow: Callable[[], Iterator[Chunk]], whole: Callable[[], Iterator[Chunk]]
    ) -> None:
        self._table, self._narrow, self._whole = table, narrow, whole

    def extent(self) -> Interval | None:
        """See :class:`Side`."""
        return Interval(0, 2**_HASH_BITS - 1)

    def sums(self, width: int, within: Selection | None = None) -> ChunkSums:
        """See :class:`Side`."""
        found: ChunkSums = {}
        for chunk in self._narrow():
            if chunk.restart:
                found = {}
                continue
            if within is None and chunk.rejected is not None:
                _add(found, None, Sums(chunk.rejected.height, 0, 0))
            if not chunk.rows.height:
                continue
            keys = typed_keys(chunk.rows, self._table)
            points = keys.select(CHANGED_AT).with_columns(hash_positions(key_texts(keys, self._table)).alias("p"))
            if within is not None:
                points = points.filter(_is_within(points.get_column("p"), within))
            for base, rows, high, low, checksum in _grouped(points, width).iter_rows():
                _add(found, base, Sums(rows, ((high << 30) + low) % 2**64, checksum))
        return found

    def keys(self, within: Selection) -> pl.DataFrame:
        """See :class:`SourceSide`."""
        return _all_keys(self._within(self._narrow(), within), self._table)

    def rows(self, within: Selection | None) -> Iterator[Chunk]:
        """See :class:`SourceSide`."""
        return self._within(self._whole(), within)

    def _within(self, chunks: Iterable[Chunk], within: Selection | None) -> Iterator[Chunk]:
        for chunk in chunks:
            if chunk.restart:
                yield chunk
            elif chunk.rows.height or chunk.rejected is not None:
                rejected = chunk.rejected if within is None else None
                rows = chunk.rows
                if rows.height:
                    positions = hash_positions(key_texts(typed_keys(rows, self._table), self._table))
                    chosen = positions.is_null() if within is None else _is_within(positions, within)
                    rows = rows.filter(chosen)
                if rows.height or rejected is not None:
                    yield replace(chunk, rows=rows, rejected=rejected)


def source_side(table: RawTable, source: Source) -> SourceSide:
    """The side of the source that reads least: sums by the database where its types allow it."""
    match table.read, source:
        case DatabaseRead() as read, SqlSource() as database:
            narrow = narrow_select(table, read, database)
            summing = _summing_side(table, read, database, narrow)
            return summing or StreamedSide(
                table,
                partial(database.read, narrow, table.key),
                partial(_read_whole, table, read, database),
            )
        case HttpRead() as read, HttpSource() as api:

            def listing() -> Iterator[Chunk]:
                return (chunk for endpoint in read.endpoints for chunk in api.read(endpoint, None))

            return StreamedSide(table, listing, listing)
        case _:
            raise TypeError(f"{table.label} cannot be listed from a {type(source).__name__}")


def _read_whole(table: RawTable, read: DatabaseRead, database: SqlSource) -> Iterator[Chunk]:
    return database.read(select(table, read, database, None), table.key)


def _summing_side(table: RawTable, read: DatabaseRead, database: SqlSource, narrow: str) -> DatabaseSide | None:
    """The side that lets the database sum up, if the key's and the cursor's types have one form there and here."""
    if database.dialect == "sqlite":
        return None
    types = {column.name: column.type_name for column in database.describe(narrow)}
    integers, texts = _INTEGERS[database.dialect], _TEXTS[database.dialect]
    if types[table.cursor] not in _MOMENTS[database.dialect]:
        return None
    for name in table.key:
        is_text = table.column_types[name] == pl.String
        if types[name] not in (integers | texts if is_text else integers):
            return None
    side = DatabaseSide(table, read, database, is_by_value=_is_integer_key(table))
    extent = side.extent()
    # MySQL has unsigned numbers beyond what the contract can hold.
    return None if extent and extent.high > _HIGHEST else side


def _is_integer_key(table: RawTable) -> bool:
    return len(table.key) == 1 and table.column_types[table.key[0]] == pl.Int64


def narrow_select(table: RawTable, read: DatabaseRead, database: SqlSource) -> str:
    """The SELECT that gives only the key's columns and the cursor."""
    names = dict.fromkeys((*table.key, table.cursor))
    columns = (f"{column_expression(read, database, name)} AS {database.quote_name(name)}" for name in names)
    return f"SELECT {', '.join(columns)} FROM {relation(read, database)}"


def column_expression(read: DatabaseRead, database: SqlSource, name: str) -> str:
    """The source's SQL for a contract's column."""
    return read.columns.get(name) or database.quote_name(name)


def _sums(inner: str, width: int, dialect: _Dialect) -> str:
    """The question for the sums by chunk of ``inner``, which gives positions ``p`` and microseconds ``m``."""
    text = "CHAR" if dialect == "mysql" else "text"
    mixed = f"((COALESCE(p, 0) % {_PRIME}) * {_ROOT} + m % {_PRIME}) % {_PRIME}"
    return (
        f"SELECT p - p % {width} AS base, COUNT(*) AS n, CAST(SUM(p) AS {text}) AS positions,"
        f" CAST(SUM((x * x) % {_OTHER_PRIME}) AS {text}) AS checksum"
        f" FROM (SELECT p, {mixed} AS x FROM ({inner}) AS points) AS mixed GROUP BY 1"
    )


def _grouped(points: pl.DataFrame, width: int) -> pl.DataFrame:
    """What :func:`_sums` computes, of positions ``p``, which are not negative, in two parts, and the cursor."""
    micros = pl.col(CHANGED_AT).dt.epoch("us").fill_null(0)
    x = ((pl.col("p").fill_null(0) % _PRIME) * _ROOT + micros % _PRIME) % _PRIME
    return (
        points.with_columns(x=x, base=pl.col("p") - pl.col("p") % width)
        .group_by("base")
        .agg(
            pl.len(),
            (pl.col("p") // 2**30).sum().alias("high"),
            (pl.col("p") % 2**30).sum().alias("low"),
            ((pl.col("x") * pl.col("x")) % _OTHER_PRIME).sum().alias("checksum"),
        )
    )


def _add(found: ChunkSums, base: int | None, more: Sums) -> None:
    before = found.get(base, Sums(0, 0, 0))
    found[base] = Sums(
        before.rows + more.rows, (before.positions + more.positions) % 2**64, before.checksum + more.checksum
    )


def _reduced(rows: int, positions: str | None, checksum: str) -> Sums:
    return Sums(int(rows), int(positions or 0) % 2**64, int(checksum))


def _in_intervals(position: str, within: Selection) -> str:
    return "(" + " OR ".join(f"{position} BETWEEN {i.low} AND {i.high}" for i in within.intervals) + ")"


def _in_chunks(position: str, within: Selection) -> str:
    return f"{position} - {position} % {within.width} IN ({', '.join(map(str, within.bases))})"


def _is_within(positions: pl.Series, within: Selection) -> pl.Series:
    """Which positions, none of them negative, lie within the chunks; none that is null."""
    bases = pl.Series(within.bases, dtype=pl.Int64)
    return (positions - positions % within.width).is_in(bases.implode()).fill_null(False)


def positions(keys: pl.DataFrame, table: RawTable, side: SourceSide) -> pl.Series:
    """Where keys in the contract's types lie."""
    return keys.get_column(table.key[0]) if side.is_by_value else hash_positions(key_texts(keys, table))


def hash_positions(texts: pl.Series) -> pl.Series:
    """The position of every key by its text; null for null."""
    return pl.Series([None if text is None else _hashed(text) for text in texts.to_list()], dtype=pl.Int64)


def _hashed(text: str) -> int:
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:_HASH_DIGITS], 16)


def _hash(text: str, dialect: _Dialect) -> str:
    """SQL for the position of a key by its text."""
    match dialect:
        case "mysql":
            return f"CAST(CONV(LEFT(MD5({text}), {_HASH_DIGITS}), 16, 10) AS SIGNED)"
        case "postgresql":
            digits = f"'x' || left(md5(convert_to({text}, 'UTF8')), {_HASH_DIGITS})"
            return f"CAST(CAST({digits} AS bit({_HASH_BITS})) AS bigint)"
        case "duckdb":
            return f"CAST('0x' || left(md5({text}), {_HASH_DIGITS}) AS bigint)"


def _microseconds(cursor: str, dialect: _Dialect) -> str:
    """SQL for the microseconds since 1970 of a cursor, 0 where it is no plausible moment."""
    earliest, latest = (f"{value:%Y-%m-%d %H:%M:%S}" for value in (EARLIEST_MOMENT, LATEST_MOMENT))
    match dialect:
        case "mysql":
            # Days such as 30 February can stand in a column; the contract cannot hold them.
            plausible = (
                f"{cursor} >= TIMESTAMP'{earliest}' AND {cursor} < TIMESTAMP'{latest}'"
                f" AND (DAYOFMONTH({cursor}) <= 28 OR DAYOFMONTH({cursor}) <= DAYOFMONTH(LAST_DAY({cursor})))"
            )
            micros = f"TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {cursor})"
            return f"COALESCE(CASE WHEN {plausible} THEN {micros} END, 0)"
        case "postgresql":
            # A double holds the microseconds of these years to less than half of one.
            micros = f"CAST(date_part('epoch', {cursor}) * 1000000 AS bigint)"
        case "duckdb":
            micros = f"epoch_us({cursor})"
    between = f"{cursor} >= TIMESTAMPTZ '{earliest}+00' AND {cursor} < TIMESTAMPTZ '{latest}+00'"
    return f"COALESCE(CASE WHEN {between} THEN {micros} END, 0)"


def _all_keys(chunks: Iterable[Chunk], table: RawTable) -> pl.DataFrame:
    found: list[pl.DataFrame] = []
    for chunk in chunks:
        if chunk.restart:
            found.clear()
        elif chunk.rows.height:
            found.append(typed_keys(chunk.rows, table))
    if found:
        return pl.concat(found).drop_nulls(table.key)
    return typed_keys(pl.DataFrame(schema={POSITION: pl.String}), table)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
