"""Versions of the sources' schemas: what a source's table looks like, and what is done when that changes.

Belongs here: comparing the columns that a source describes with those it had when it was read last, telling what
changed, and keeping each version. Does not belong here: asking the source (``ingestion/extract``), and the columns'
values, which the contract judges.

What is done is a contract's own decision, in its ``Config.metadata``::

    class Config:
        metadata = {"on_schema_change": "stop"}

``ignore`` (where nothing is said): reading goes on; columns that the contract does not know are left out, those that
are gone are empty, and another type is turned into the contract's or set aside cell by cell. ``stop``: nothing is read
until a person has decided. A required column that is gone stops the table under either.

Each change is told once, by the batch or the error that meets it first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Literal, cast, get_args

import pyarrow as pa

from resources.errors import StructureError
from resources.warehouse import Transaction, Warehouse
from resources.warehouse.system_tables import SCHEMA_VERSIONS
from shopsphere_assets.ingestion.raw_table import RawTable

Policy = Literal["ignore", "stop"]
Outcome = Literal["first", "ignored", "stopped"]

_LEAST_CERTAINTY = 0.5


@dataclass(frozen=True)
class SchemaChange:
    """One difference between two versions of a table's columns.

    ``change``: added, dropped, renamed or retyped. ``to``: the new name or type. ``certainty``: of a renaming, how
    sure it is that it is one, 0 to 1.
    """

    change: Literal["added", "dropped", "renamed", "retyped"]
    column: str
    to: str | None = None
    certainty: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The change as ``quality.schema_versions`` keeps it."""
        known = {"change": self.change, "column": self.column, "to": self.to, "certainty": self.certainty}
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        match self.change:
            case "renamed":
                return f"column {self.column} was renamed to {self.to} ({self.certainty:.0%} certain)"
            case "retyped":
                return f"column {self.column} is now of type {self.to}"
            case "added":
                return f"column {self.column} ({self.to}) was added" if self.to else f"column {self.column} was added"
            case _:
                return f"column {self.column} was {self.change}"


def described(changes: str | None) -> list[str]:
    """What ``quality.schema_versions`` keeps of changes, for people."""
    return [str(SchemaChange(**change)) for change in json.loads(changes or "[]")]


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> list[SchemaChange]:
    """What differs between two descriptions of a table: names and types of its columns, in their order.

    A column that is gone and one that is new are taken for one that was renamed where type, place and name speak for
    it: half of the certainty is the type and the neighbours, half the likeness of the names.
    """
    dropped = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    changes = []
    pairs = sorted(((_certainty(before, after, old, new), old, new) for old in dropped for new in added), reverse=True)
    for certainty, old, new in pairs:
        if certainty >= _LEAST_CERTAINTY and old in dropped and new in added:
            changes.append(SchemaChange("renamed", old, new, round(certainty, 2)))
            dropped.remove(old)
            added.remove(new)
    changes += [SchemaChange("dropped", name) for name in dropped]
    changes += [SchemaChange("added", name, after[name] or None) for name in added]
    retyped = [name for name in before if after.get(name, before[name]) != before[name]]
    changes += [SchemaChange("retyped", name, after[name]) for name in retyped]
    return changes


def _certainty(before: Mapping[str, str], after: Mapping[str, str], old: str, new: str) -> float:
    if before[old] != after[new]:
        return 0.0
    neighbours = sum(
        there == here for there, here in zip(_neighbours(before, old), _neighbours(after, new), strict=True)
    )
    names = SequenceMatcher(None, old.lower(), new.lower()).ratio()
    return 0.1 + 0.2 * neighbours + 0.5 * names


def _neighbours(columns: Mapping[str, str], name: str) -> tuple[str | None, str | None]:
    names = [None, *columns, None]
    place = names.index(name)
    return names[place - 1], names[place + 1]


@dataclass(frozen=True)
class SchemaVersion:
    """A version of a source table's columns, as a row of ``quality.schema_versions``."""

    version: int
    columns: Mapping[str, str]
    changes: Sequence[SchemaChange]
    outcome: Outcome


class SchemaWatch:
    """What becomes of one table's columns while it is read.

    Tell it what the source describes by :meth:`saw` before any row counts. What changed is kept by :meth:`keep` in
    the transaction that loads the rows, or by :meth:`keep_stopped` where none are.
    """

    def __init__(self, table: RawTable, warehouse: Warehouse) -> None:
        self._table, self._warehouse = table, warehouse
        self._known: list[SchemaVersion] | None = None
        self._news: list[SchemaVersion] = []

    @property
    def notes(self) -> list[str]:
        """What a person should know of it, one line per change."""
        changes = dict.fromkeys(change for version in self._news for change in version.changes)
        return [f"the source's table changed: {change}; {_what_is_done(self._table, change)}" for change in changes]

    def saw(self, columns: Mapping[str, str]) -> None:
        """Compare ``columns``, names and types in the source's order, with what was there before.

        Raises :class:`StructureError` where the contract says that a change stops its table.
        """
        if self._known is None:
            self._known = _versions(self._warehouse, self._table)
        seen = [*self._known, *self._news]
        number = seen[-1].version + 1 if seen else 1
        accepted = next((version for version in reversed(seen) if version.outcome != "stopped"), None)
        if accepted is None:
            self._news.append(SchemaVersion(number, dict(columns), (), "first"))
            return
        # Another order of the columns harms nobody.
        changes = compare(accepted.columns, columns)
        if not changes:
            return
        self._news.append(SchemaVersion(number, dict(columns), changes, "ignored"))
        if policy_of(self._table) == "stop":
            raise StructureError(
                f"the source's table changed: {'; '.join(map(str, changes))}",
                where=self._table.label,
                remedy="undo it at the source; or take it into the contract, whose Config.metadata says "
                "on_schema_change = 'stop', and set that to 'ignore' until the next batch is loaded",
            )

    def keep(self, transaction: Transaction, batch_id: str, at: datetime) -> None:
        """Keep the versions that a batch saw first, in its transaction."""
        for version in self._news:
            _append(transaction, self._table, version, batch_id, at)

    def keep_stopped(self, at: datetime) -> None:
        """Keep the version that stopped the table, unless it did so before."""
        if not self._news or not self._news[-1].changes:
            return
        known, stopping = self._known or [], self._news[-1]
        if known and known[-1].outcome == "stopped" and known[-1].columns == stopping.columns:
            return
        number = known[-1].version + 1 if known else 1
        with self._warehouse.transaction() as transaction:
            stopped = SchemaVersion(number, stopping.columns, stopping.changes, "stopped")
            _append(transaction, self._table, stopped, None, at)


def policy_of(table: RawTable) -> Policy:
    """What the table's contract wants done when its source changes."""
    policy = (table.contract.Config.metadata or {}).get("on_schema_change", "ignore")
    if policy not in get_args(Policy):
        raise ValueError(
            f"on_schema_change of {table.contract.__name__} is {policy!r}; use {' or '.join(get_args(Policy))}"
        )
    return cast("Policy", policy)


def _what_is_done(table: RawTable, change: SchemaChange) -> str:
    match change.change:
        case "added" if change.column not in table.column_types:
            return "columns that the contract does not know are left out"
        case "dropped" | "renamed" if change.column in table.column_types:
            return "it is empty from now on, unless the sources file maps another column to it"
        case "retyped" if change.column in table.column_types:
            return "what the contract's type cannot hold goes to quarantine"
        case _:
            return "the contract does not name it, nothing is to be done"


def _versions(warehouse: Warehouse, table: RawTable) -> list[SchemaVersion]:
    found = warehouse.query(
        f"SELECT version, columns, outcome FROM {SCHEMA_VERSIONS} WHERE source = $1 AND table_name = $2"
        " ORDER BY version",
        [table.source, table.name],
    )
    return [SchemaVersion(row["version"], json.loads(row["columns"]), (), row["outcome"]) for row in found.to_pylist()]


def _append(
    transaction: Transaction, table: RawTable, version: SchemaVersion, batch_id: str | None, at: datetime
) -> None:
    row = {
        "source": table.source,
        "table_name": table.name,
        "version": version.version,
        "seen_at": at,
        "batch_id": batch_id,
        "columns": json.dumps(dict(version.columns), ensure_ascii=False),
        "changes": json.dumps([change.as_json() for change in version.changes], ensure_ascii=False),
        "outcome": version.outcome,
    }
    transaction.append(
        SCHEMA_VERSIONS.schema, SCHEMA_VERSIONS.name, pa.Table.from_pylist([row], schema=SCHEMA_VERSIONS.columns)
    )
