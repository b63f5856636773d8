"""What the simulated services know: one SQLite file, written day by day and read by the servers.

Belongs here: the tables behind the services, the sink that fills them, and the services' own clock.
Does not belong here: HTTP, and how a service shows a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from simulator.sinks import Day

EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
"""No service of this kind is older; an earlier moment is a planted error, not a change."""


@dataclass(frozen=True)
class StoredTable:
    """A table of the store. Columns hold the text that the world gave, planted errors included.

    ``key`` identifies a row; ``changed`` and ``created`` name the columns with its moments;
    ``archived``: column and value that mark an archived row; ``is_numbered``: keys are whole numbers.
    """

    name: str
    columns: tuple[str, ...]
    changed: str
    created: str
    archived: tuple[str, str] | None = None
    is_numbered: bool = False
    indexed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The column that identifies a row."""
        return self.columns[0]


CONTACTS = StoredTable(
    name="hubspot__contacts",
    columns=(
        *("contact_id", "email", "first_name", "last_name", "phone", "city", "country_code"),
        *("lifecycle_stage", "is_archived", "created_at", "updated_at"),
    ),
    changed="updated_at",
    created="created_at",
    archived=("is_archived", "true"),
    is_numbered=True,
    indexed=("email",),
)
CAMPAIGNS = StoredTable(
    name="hubspot__campaigns",
    columns=(
        *("campaign_id", "name", "subject", "utm_campaign", "status"),
        *("published_at", "created_at", "updated_at"),
    ),
    changed="updated_at",
    created="created_at",
    archived=("status", "ARCHIVED"),
    is_numbered=True,
)
EMAIL_EVENTS = StoredTable(
    name="hubspot__email_events",
    columns=(*("event_id", "campaign_id", "event_type", "recipient_email", "url", "user_agent", "occurred_at"),),
    changed="occurred_at",
    created="occurred_at",
)
REVIEWS = StoredTable(
    name="reviews__reviews",
    columns=(
        *("review_id", "product_id", "sku", "customer_id", "reviewer_name", "reviewer_email", "rating"),
        *("title", "body", "language", "is_verified_purchase", "status", "created_at", "updated_at"),
    ),
    changed="updated_at",
    created="created_at",
)
STORED_TABLES = {
    "hubspot/contacts": CONTACTS,
    "hubspot/campaigns": CAMPAIGNS,
    "hubspot/email_events": EMAIL_EVENTS,
    "reviews/reviews": REVIEWS,
}

# The services' own columns: the key as a number, the moments by the service's clock (milliseconds since
# 1970), whether the row is archived, and the day that last wrote it.
SERVICE_COLUMNS = {"_number": "INTEGER", "_changed_ms": "INTEGER", "_created_ms": "INTEGER"} | {
    "_is_archived": "INTEGER",
    "_day": "INTEGER",
}


class ApiStore:
    """The services' database: a sink for the world's days, and a source for the servers.

    Reading goes on while a day is written (write-ahead log); a reader sees a day whole or not at all.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            for table in STORED_TABLES.values():
                _create(connection, table)
            connection.commit()

    def write(self, day: Day) -> None:
        """Insert or replace the day's rows of the services; a row written by a later day stays."""
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-65536")
            for name, table in STORED_TABLES.items():
                frame = day.tables.get(name)
                if frame is not None and frame.height:
                    # In the order of the primary key's index, which is then filled page by page.
                    rows = _with_service_columns(frame, table, day).sort(table.key, maintain_order=True)
                    _upsert(connection, table, rows)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection, fit for one request."""
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        with self.reading() as connection:
            return connection.execute(sql, values).fetchall()


def _create(connection: sqlite3.Connection, table: StoredTable) -> None:
    columns = [f"{table.key} TEXT NOT NULL PRIMARY KEY"]
    columns += [f"{column} TEXT" for column in table.columns[1:]]
    columns += [f"{column} {kind}" for column, kind in SERVICE_COLUMNS.items()]
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table.name} ({', '.join(columns)})")
    indices = {"changed": f"_changed_ms, {table.key}"}
    if table.is_numbered:
        indices["number"] = "_is_archived, _number"
        indices["changed"] = "_is_archived, _changed_ms, _number"
    indices |= {column: f"{column} COLLATE NOCASE" for column in table.indexed}
    for label, expression in indices.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS {table.name}__{label} ON {table.name} ({expression})")


def _with_service_columns(frame: pl.DataFrame, table: StoredTable, day: Day) -> pl.DataFrame:
    """The frame's columns in the table's order, followed by :data:`SERVICE_COLUMNS`."""
    begins, ends = day.begins_at, day.begins_at + timedelta(days=1)
    # A service notes by its own clock when a row arrived, whatever the row says: a row with a wrong or an
    # old moment is found by whoever asks for what changed since yesterday. Day 0 brings the history.
    since = EARLIEST if day.number == 0 else begins
    noon = pl.lit(begins + timedelta(hours=12)).dt.cast_time_unit("us")
    said_changed = _moment(table.changed)
    changed = pl.when(said_changed.is_between(since, ends, closed="left")).then(said_changed).otherwise(noon)
    said_created = _moment(table.created)
    created = pl.when(said_created.is_between(EARLIEST, changed)).then(said_created).otherwise(changed)
    number: pl.Expr = pl.lit(None, pl.Int64)
    if table.is_numbered:
        number = pl.col(table.key).cast(pl.Int64, strict=False)
    archived: pl.Expr = pl.lit(False)
    if table.archived is not None:
        column, value = table.archived
        archived = pl.col(column).eq_missing(pl.lit(value))
    result = frame.select(
        *(pl.col(column) for column in table.columns),
        number.alias("_number"),
        changed.dt.epoch("ms").alias("_changed_ms"),
        created.dt.epoch("ms").alias("_created_ms"),
        archived.cast(pl.Int64).alias("_is_archived"),
        pl.lit(day.number, pl.Int64).alias("_day"),
    )
    key = "_number" if table.is_numbered else table.key
    if result[key].null_count():
        raise ValueError(f"{table.name}, day {day.number}: every {table.key} must be given and of its kind")
    return result


def _moment(column: str) -> pl.Expr:
    text = pl.col(column)
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)


def _upsert(connection: sqlite3.Connection, table: StoredTable, frame: pl.DataFrame) -> None:
    places = ", ".join("?" * frame.width)
    changes = ", ".join(f"{column} = excluded.{column}" for column in frame.columns if column != table.key)
    connection.executemany(
        f"INSERT INTO {table.name} ({', '.join(frame.columns)}) VALUES ({places})"
        f" ON CONFLICT ({table.key}) DO UPDATE SET {changes} WHERE excluded._day >= {table.name}._day",
        frame.iter_rows(),
    )
