"""Checks of a database as a source: login, tables, columns, expressions, a sample of the rows.

The very SELECT is tried that ingestion would run. Only where it does not work are its parts tried one by one,
so that the message names the column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from resources.errors import PlatformError
from resources.settings import Settings
from resources.sql_source import ColumnDescription, SqlSource
from shopsphere_assets.diagnosis.finding import SOURCES as AREA
from shopsphere_assets.diagnosis.finding import Finding, Status, counted, failed, listed, suggestion
from shopsphere_assets.diagnosis.samples import ROWS, judge, take_sample, type_name
from shopsphere_assets.ingestion.connections import open_source_log
from shopsphere_assets.ingestion.extract import cursor_expression, select
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable, SourceSystem

_MANY_ROWS = 100_000
"""A table with fewer rows is read through in no time: whether its cursor has an index does not matter."""

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_QUOTED_TEXT = re.compile(r"'(?:[^']|'')*'")

# What the databases call their types, as far as a type can tell that no value will ever fit.
_DATE_TYPES = frozenset({"date", "datetime", "timestamp", "timestamptz", "newdate"})
_NUMBER_TYPES = frozenset(
    {"decimal", "newdecimal", "tiny", "short", "int24", "long", "longlong", "float", "double", "year"}
    | {"int2", "int4", "int8", "float4", "float8", "numeric", "oid", "money"}
)


def check_database(
    system: SourceSystem, tables: Sequence[RawTable], database: SqlSource, settings: Settings
) -> Iterator[Finding]:
    """Findings about the database and each of ``tables``."""
    try:
        database.ask("SELECT 1")
        catalogue = Catalogue.of(database)
    except PlatformError as error:
        yield failed(AREA, system.name, error)
        return
    yield Finding(AREA, system.name, Status.OK, f"{system.title}: {database.name} answers and accepts the login")
    yield from _check_change_log(system, tables, settings)
    for table in tables:
        assert isinstance(table.read, DatabaseRead)
        check = _TableCheck(table, table.read, database, catalogue, settings.quarantine_limit)
        try:
            yield from check.findings()
        except PlatformError as error:
            yield failed(AREA, table.label, error)


def _check_change_log(system: SourceSystem, tables: Sequence[RawTable], settings: Settings) -> Iterator[Finding]:
    """Where changes are read from the log: whether the server's settings and the user's rights allow it."""
    subject = f"{system.name} change log"
    try:
        opened = open_source_log(system, tables, settings)
        if opened is None:
            return
        problems = opened[1].problems()
    except PlatformError as error:
        yield failed(AREA, subject, error)
        return
    for problem in problems:
        status = Status.FAILED if problem.is_fatal else Status.WARNING
        yield Finding(AREA, subject, status, problem.what, problem.remedy)
    if not any(problem.is_fatal for problem in problems):
        yield Finding(AREA, subject, Status.OK, f"{counted(len(tables), 'table')} can be followed in the change log")


@dataclass(frozen=True)
class Catalogue:
    """The tables and views that the user can see; ``schema.name`` outside of the default schema."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, database: SqlSource) -> Catalogue:
        """The catalogue of ``database``."""
        match database.dialect:
            case "mysql":
                query = (
                    "SELECT CAST(table_name AS CHAR) AS name FROM information_schema.tables"
                    " WHERE table_schema = DATABASE() ORDER BY table_name"
                )
            case "postgresql":
                query = (
                    "SELECT CASE WHEN table_schema = current_schema() THEN table_name::text"
                    " ELSE table_schema || '.' || table_name END AS name FROM information_schema.tables"
                    " WHERE table_schema NOT IN ('information_schema', 'pg_catalog')"
                    " ORDER BY table_schema <> current_schema(), 1"
                )
            case "sqlite":
                query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        chunks = [chunk.rows for chunk in database.read(query, ["name"]) if chunk.rows.height]
        return cls(tuple(name for rows in chunks for name in rows.get_column("name")))

    def holds(self, relation: str) -> bool:
        """Whether ``relation`` is there, in whatever case."""
        return relation.lower() in {name.lower() for name in self.names}


@dataclass(frozen=True)
class _TableCheck:
    """The checks of one table."""

    table: RawTable
    read: DatabaseRead
    database: SqlSource
    catalogue: Catalogue
    limit: float

    def findings(self) -> Iterator[Finding]:
        """All that is to be said. Raises :class:`PlatformError` where the database goes away meanwhile."""
        try:
            live = self.database.describe(f"SELECT * FROM {self._relation}")
        except PlatformError as error:
            self.database.ask("SELECT 1")
            yield self._no_relation(error)
            return
        wrong = list(self._wrong_columns(live))
        if wrong:
            yield from wrong
            return
        query = select(self.table, self.read, self.database, None)
        described = self.database.describe(query)
        sampled = f"SELECT * FROM ({query}) AS sampled LIMIT {ROWS}"
        try:
            sample = take_sample(self.table, self.database.read(sampled, self.table.key))
        except PlatformError as error:
            yield failed(AREA, self.table.label, error)
            return
        absent = [name for name in self.table.column_types if name not in {c.name for c in described}]
        what = f"{self._place}: {counted(len(described), 'column')} fit"
        if absent:
            what += f", {len(absent)} stay empty ({listed(absent)})"
        what += f"; {counted(sample.rows, 'row')} sampled" if sample.rows else "; it has no rows"
        if sample.rows and not sample.quarantined:
            what += ", all good"
        yield Finding(AREA, self.table.label, Status.OK, what)
        if not sample.rows:
            yield from self._unfit_types(described)
        yield from judge(self.table, sample, self.limit)
        yield from self._unindexed_cursor(live)

    @property
    def _relation(self) -> str:
        return f"({self.read.query}) AS source_query" if self.read.query else self.database.quote(self.read.relation)

    @property
    def _place(self) -> str:
        return "the query" if self.read.query else f"table {self.read.relation}"

    def _no_relation(self, error: PlatformError) -> Finding:
        """Why the table or query cannot be read."""
        if self.read.query:
            return Finding(
                AREA, self.table.label, Status.FAILED, f"its query: {error.what}", "correct it in the sources file"
            )
        relation = self.read.relation
        if self.catalogue.holds(relation) or not _is_missing(error):
            remedy = f"let an administrator grant this user SELECT on {relation}"
            return Finding(AREA, self.table.label, Status.FAILED, f"table {relation}: {error.what}", remedy)
        remedy = f"{suggestion(relation, self.catalogue.names)} Name it in a sources file (SHOPSPHERE_SOURCES_FILE)"
        return Finding(AREA, self.table.label, Status.FAILED, f"the database has no table {relation}", remedy)

    def _wrong_columns(self, live: list[ColumnDescription]) -> Iterator[Finding]:
        """Columns that cannot be read: those nobody gives, and expressions that the database does not accept."""
        names = [column.name for column in live]
        present = {name.lower() for name in names}
        needed = {*self.table.required_columns, *self.table.key, self.table.cursor}
        for column in self.table.column_types:
            subject = f"{self.table.label}.{column}"
            expression = self.read.columns.get(column)
            if expression is None:
                if column in needed and column.lower() not in present:
                    what = f"{self._place} has no column {column}, which is required"
                    remedy = f"map {column} in the sources file; {suggestion(column, names)}"
                    yield Finding(AREA, subject, Status.FAILED, what, remedy)
                continue
            try:
                given = self.database.describe(f"SELECT {expression} AS tried FROM {self._relation}")
            except PlatformError as error:
                self.database.ask("SELECT 1")
                what = f"the expression {expression} does not work: {error.what}"
                yield Finding(AREA, subject, Status.FAILED, what, self._corrected(expression, names))
                continue
            if len(given) != 1:
                what = f"the expression {expression} gives {len(given)} columns instead of one"
                yield Finding(AREA, subject, Status.FAILED, what, "give one expression")

    def _corrected(self, expression: str, names: list[str]) -> str:
        """What to write instead: for words that are close to a live column, that column."""
        present = {name.lower() for name in names}
        for word in _IDENTIFIER.findall(_QUOTED_TEXT.sub("", expression)):
            if word.lower() not in present:
                found = suggestion(word, names)
                if found.startswith("did you mean"):
                    return f"correct it in the sources file: {found}"
        return f"correct it in the sources file; the columns are {listed(names)}"

    def _unfit_types(self, described: list[ColumnDescription]) -> Iterator[Finding]:
        """Where there are no rows to try: columns whose type can hold nothing that would fit."""
        for column in described:
            target = self.table.column_types[column.name]
            name = column.type_name
            wants_time = isinstance(target, pl.Datetime) or target == pl.Date
            wants_number = isinstance(target, pl.Decimal) or target in (pl.Int64, pl.Boolean)
            if (wants_time and name in _NUMBER_TYPES) or (wants_number and name in _DATE_TYPES):
                yield Finding(
                    AREA,
                    f"{self.table.label}.{column.name}",
                    Status.FAILED,
                    f"it is of type {name}, which cannot become {type_name(target)}",
                    "map the column to an expression that converts it",
                )

    def _unindexed_cursor(self, live: list[ColumnDescription]) -> Iterator[Finding]:
        """A warning where a big table is searched for new rows by a column without an index."""
        cursor = cursor_expression(self.table, self.read, self.database).strip('`"')
        by_fold = {column.name.lower(): column.name for column in live}
        if self.read.query or not self.read.is_incremental or cursor.lower() not in by_fold:
            return
        rows = _estimated_rows(self.database, self.read.relation)
        if rows < _MANY_ROWS or _has_index(self.database, self.read.relation, by_fold[cursor.lower()]):
            return
        yield Finding(
            AREA,
            f"{self.table.label}.{self.table.cursor}",
            Status.WARNING,
            f"{cursor} has no index: each look for new rows reads all of about {rows:,}",
            f"create an index on {self.read.relation} ({cursor}), or look at this source less often",
        )


def _is_missing(error: PlatformError) -> bool:
    return any(words in error.what for words in ("doesn't exist", "does not exist", "no such table"))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''").replace("\\", "\\\\") + "'"


def _estimated_rows(database: SqlSource, relation: str) -> int:
    """The rows of a table as the server's statistics have them; 0 for views and where nobody knows."""
    match database.dialect:
        case "mysql":
            *schema, name = relation.split(".")
            rows = database.ask(
                "SELECT table_rows FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
                f" AND table_schema = {_text(schema[0]) if schema else 'DATABASE()'} AND table_name = {_text(name)}"
            )
        case "postgresql":
            rows = database.ask(
                "SELECT reltuples::bigint FROM pg_class WHERE relkind = 'r'"
                f" AND oid = to_regclass({_text(database.quote(relation))})"
            )
        case "sqlite":
            rows = None
    return int(rows or 0)


def _has_index(database: SqlSource, relation: str, column: str) -> bool:
    """Whether an index begins with ``column``; asked only where the number of rows is known."""
    if database.dialect == "mysql":
        *schema, name = relation.split(".")
        found = database.ask(
            "SELECT 1 FROM information_schema.statistics WHERE seq_in_index = 1"
            f" AND table_schema = {_text(schema[0]) if schema else 'DATABASE()'} AND table_name = {_text(name)}"
            f" AND column_name = {_text(column)} LIMIT 1"
        )
    else:
        found = database.ask(
            "SELECT 1 FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            f" WHERE i.indrelid = to_regclass({_text(database.quote(relation))})"
            f" AND a.attname = {_text(column)} LIMIT 1"
        )
    return found is not None
