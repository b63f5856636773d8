"""A small shop in a SQLite file and a platform that reads it, for tests of what people do with quarantined rows.

Belongs here: changing the shop, reading it, and looking at what stands in the warehouse. Not here: expectations.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources.sql_source import SqlSource
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.ledger import read_state
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable
from shopsphere_assets.ingestion.reconcile import Reconciliation, reconcile
from shopsphere_assets.ingestion.replay import Replay, replay
from shopsphere_assets.quarantine.decisions import Order, Outcome, Wish, decide
from shopsphere_assets.quarantine.entries import Entry, Filter, Quarantine, list_entries

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Things(Contract):
    """Things with a number and a note."""

    thing_id: pl.Int64 = column("Number.")
    amount: pl.Int64 = column("Amount.", ge=0)
    note: pl.String = column("What is said of it.", required=False)
    updated_at: Timestamp = moment("When it changed.")


THINGS = RawTable("shop", "things", Things, ("thing_id",), "updated_at", DatabaseRead("things"), keeps_versions=True)


def at(hour: int) -> datetime:
    """A moment some hours after noon."""
    return NOON + timedelta(hours=hour)


@dataclass
class Place:
    """A shop, and a platform that reads it."""

    shop: Path
    quarantine: Quarantine

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse."""
        return self.quarantine.warehouse

    @property
    def destination(self) -> Destination:
        """Where batches go."""
        return self.quarantine.destination

    def put(self, thing_id: Any, amount: Any, hour: int | None = 0, note: str | None = None) -> None:
        """Insert a thing at the shop or change it. ``hour``: when, after noon."""
        self.put_all([(thing_id, amount, hour, note)])

    def put_all(self, things: Sequence[tuple[Any, Any, int | None, str | None]]) -> None:
        """The same for many: number, amount, hour and note of each."""
        rows = [
            (thing_id, amount, note, at(hour).strftime("%Y-%m-%d %H:%M:%S.%f") if hour is not None else None)
            for thing_id, amount, hour, note in things
        ]
        with _connected(self.shop) as connection:
            connection.executemany("DELETE FROM things WHERE thing_id = ?", [row[:1] for row in rows])
            connection.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", rows)

    def delete(self, thing_id: Any) -> None:
        """Delete a thing at the shop."""
        with _connected(self.shop) as connection:
            connection.execute("DELETE FROM things WHERE thing_id IS ?", [thing_id])

    def read(self) -> None:
        """Read what is new at the shop, with a look-back that reaches everything."""
        state = read_state(self.warehouse, [THINGS])["things"]
        source = SqlSource(f"sqlite://{self.shop}")
        ingest(THINGS, source, self.destination, state=state, run_id="run", lookback=timedelta(days=9))

    def reconcile(self) -> Reconciliation:
        """Compare with the shop."""
        state = read_state(self.warehouse, [THINGS])["things"]
        source = SqlSource(f"sqlite://{self.shop}")
        return reconcile(THINGS, source, self.destination, state=state, run_id="run", may_be_empty=True)

    def replay(self) -> Replay:
        """Rebuild from the lake."""
        return replay(THINGS, self.destination, run_id="replay")

    def entries(self, **wanted: Any) -> list[Entry]:
        """Entries of the quarantine, open ones unless told, by key."""
        return sorted(
            list_entries(self.quarantine, Filter(**wanted), limit=1000),
            key=lambda e: (e.row_key, e.payload["amount"] or ""),
        )

    def entry(self, key: str = "1", **wanted: Any) -> Entry:
        """The only entry of a row."""
        [found] = [entry for entry in self.entries(**{"state": "all", **wanted}) if entry.row_key == key]
        return found

    def decide(
        self, wish: Wish, *ids: str, by: str = "ada", reason: str | None = "because", **more: Any
    ) -> list[Outcome]:
        """Have somebody decide."""
        options = {name: more.pop(name) for name in ("versions", "dry_run") if name in more}
        return decide(self.quarantine, ids, Order(wish, by, reason, **more), **options)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the warehouse."""
        rows: list[dict[str, Any]] = self.warehouse.query(sql).to_pylist()
        return rows

    def execute(self, *statements: str) -> None:
        """Change the warehouse."""
        with self.warehouse.transaction() as transaction:
            for statement in statements:
                transaction.execute(statement)

    def raw(self) -> list[tuple[int, int]]:
        """Number and amount of the things in raw that are not marked as deleted."""
        rows = self.query("SELECT thing_id, amount FROM raw.shop__things WHERE _deleted_at IS NULL ORDER BY thing_id")
        return [(row["thing_id"], row["amount"]) for row in rows]

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """All that the lake must be able to give back."""
        names = ("raw.shop__things", "raw.shop__things__versions", "quarantine.rows", "quarantine.decisions")
        return {name: sorted(self.query(f"SELECT * FROM {name}"), key=str) for name in names}

    def not_closing(self) -> list[dict[str, Any]]:
        """Ledger entries whose counts do not add up."""
        return self.query(
            "SELECT * FROM ledger.batches WHERE rows_read <> rows_loaded + rows_quarantined + rows_excluded"
        )


def naughty_strings(repository: Path) -> list[str]:
    """Strings that break programs; the test is skipped where they are not on this machine."""
    path = repository.parent / "shared/data/edge_cases/naughty_strings.json"
    if not path.is_file():
        pytest.skip(f"the Big List of Naughty Strings is not at {path}")
    strings: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return strings


@contextmanager
def _connected(shop: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(shop)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


def opened(url: str, folder: Path, tables: Sequence[RawTable] = (THINGS,)) -> Place:
    """An empty shop and a platform with a warehouse at ``url``."""
    shop = folder / "shop.db"
    with _connected(shop) as connection:
        connection.execute("CREATE TABLE things (thing_id INTEGER, amount, note TEXT, updated_at TEXT)")
    warehouse = open_warehouse(url)
    warehouse.prepare()
    warehouse.ensure_tables([definition for table in tables for definition in table.definitions])
    destination = Destination(warehouse, folder / "lake")
    return Place(shop, Quarantine(destination, {table.label: table for table in tables}))
