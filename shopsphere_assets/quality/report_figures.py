"""The figures of the quality report, each by one query on the warehouse.

Belongs here: what is counted, over which time. Not here: how it looks (``report``). No value of a row comes in here:
only counts, names of tables, columns and rules, and the platform's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from resources.warehouse import Publication, Warehouse
from resources.warehouse.system_tables import (
    ALARMS,
    ALERTS,
    BATCHES,
    CORRECTIONS,
    NEAR_DUPLICATES,
    QUARANTINE_ROWS,
    SCHEMA_VERSIONS,
    SCORES,
)
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.quality.schema_versions import described

DIMENSIONS = ("completeness", "accuracy", "consistency", "timeliness")

TREND_DAYS = 30
RECENT = timedelta(days=7)
FLOW_DAYS = 14

_HOUR_SECONDS = 3_600
_DAY_SECONDS = 86_400
_FEW_DAYS = 3
_LISTED = 50
_AGES = (
    ("under an hour", timedelta(hours=1)),
    ("under a day", timedelta(days=1)),
    ("under a week", timedelta(days=7)),
    ("under a month", timedelta(days=30)),
    ("older", None),
)
_REASONS = pl.List(pl.Struct({"rule": pl.String, "column": pl.String, "value": pl.String}))


@dataclass(frozen=True)
class Share:
    """So many of so many are good."""

    good: int
    total: int

    @property
    def value(self) -> float | None:
        """The share, or None of nothing."""
        return self.good / self.total if self.total else None

    def __add__(self, other: Share) -> Share:
        return Share(self.good + other.good, self.total + other.total)


@dataclass(frozen=True)
class Score:
    """The latest score of a relation in a dimension; ``trend``: shares of earlier periods and of this one."""

    relation: str
    dimension: str
    share: Share
    trend: list[float]


@dataclass(frozen=True)
class Ledger:
    """What a source (or one of its tables) was read, and what became of it."""

    name: str
    read: int
    loaded: int
    quarantined: int
    excluded: int
    read_today: int
    quarantined_today: int
    last_batch_at: datetime | None
    tables: list[Ledger] = field(default_factory=list)

    @property
    def unaccounted(self) -> int:
        """Rows read of which the ledger does not say what became of them: 0, or something is wrong."""
        return self.read - self.loaded - self.quarantined - self.excluded


@dataclass(frozen=True)
class Rule:
    """A rule that open entries of the quarantine break."""

    table: str
    rule: str
    rows: int
    rows_today: int


@dataclass(frozen=True)
class Correction:
    """What a rule corrected or suggests in a table's column."""

    table: str
    column: str
    rule: str
    applied: int
    suggested: int
    today: int


@dataclass(frozen=True)
class Quarantine:
    """The open entries. ``flow``: day, entries that came, entries that were settled."""

    open: int
    came_today: int
    settled_today: int
    oldest_at: datetime | None
    ages: list[tuple[str, int]]
    settlements: list[tuple[str, int]]
    flow: list[tuple[datetime, int, int]]


@dataclass(frozen=True)
class Figures:
    """Everything that the report tells. ``today`` is the 24 hours before ``made_at``."""

    run_id: str
    made_at: datetime
    ledgers: list[Ledger]
    scores: list[Score]
    scored_at: datetime | None
    rules: list[Rule]
    quarantine: Quarantine
    corrections: list[Correction]
    corrections_today: int
    alarms: list[dict[str, Any]]
    schema_changes: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    near_duplicates: list[dict[str, Any]]
    publication: Publication | None
    latencies: list[tuple[int, float]]

    @property
    def total(self) -> Ledger:
        """The ledgers of all sources together."""
        return _summed("all sources", self.ledgers)

    def judged(self, name: str) -> Share:
        """How much was judged in a dimension, and how much of it is good, over all relations."""
        return sum((s.share for s in self.scores if s.dimension == name), Share(0, 0))

    def dimension(self, name: str) -> float | None:
        """The mean score of all relations in a dimension, each of which counts alike; None where none was judged."""
        values = [s.share.value for s in self.scores if s.dimension == name and s.share.value is not None]
        return sum(values) / len(values) if values else None

    def dimension_trend(self, name: str) -> list[float]:
        """The mean of the relations' shares per period, for those that go back as far as any."""
        trends = [score.trend for score in self.scores if score.dimension == name and score.trend]
        longest = max(map(len, trends), default=0)
        whole = [trend for trend in trends if len(trend) == longest]
        return [sum(values) / len(values) for values in zip(*whole, strict=True)]


def gather(warehouse: Warehouse, tables: Iterable[RawTable], *, run_id: str, now: datetime | None = None) -> Figures:
    """The figures of this moment."""
    now = now or datetime.now(UTC)
    scores, scored_at = _scores(warehouse, now)
    corrections, corrections_today = _corrections(warehouse, now)
    return Figures(
        run_id=run_id,
        made_at=now,
        ledgers=_ledgers(warehouse, now),
        scores=scores,
        scored_at=scored_at,
        rules=_rules(warehouse, now),
        quarantine=_quarantine(warehouse, now),
        corrections=corrections,
        corrections_today=corrections_today,
        alarms=_alarms(warehouse, {table.label: table for table in tables}, now),
        schema_changes=_schema_changes(warehouse),
        alerts=_alerts(warehouse, now),
        near_duplicates=_near_duplicates(warehouse),
        publication=warehouse.current_publication(),
        latencies=_latencies(warehouse),
    )


def _rows(warehouse: Warehouse, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows of a query, every moment in UTC."""
    return [
        {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in warehouse.query(sql, parameters).to_pylist()
    ]


def _ledgers(warehouse: Warehouse, now: datetime) -> list[Ledger]:
    """By source, the one with the highest share in quarantine first; a replay reads no source."""
    found = _rows(
        warehouse,
        "SELECT source, table_name, CAST(sum(rows_read) AS bigint) AS rows_read,"
        " CAST(sum(rows_loaded) AS bigint) AS rows_loaded, CAST(sum(rows_quarantined) AS bigint) AS rows_quarantined,"
        " CAST(sum(rows_excluded) AS bigint) AS rows_excluded, max(finished_at) AS last_batch_at,"
        " CAST(sum(CASE WHEN finished_at >= $1 THEN rows_read ELSE 0 END) AS bigint) AS read_today,"
        " CAST(sum(CASE WHEN finished_at >= $1 THEN rows_quarantined ELSE 0 END) AS bigint) AS quarantined_today"
        f" FROM {BATCHES} WHERE kind IS DISTINCT FROM 'replay' GROUP BY source, table_name ORDER BY source, table_name",
        now - timedelta(days=1),
    )
    ledgers = []
    for source, rows in groupby(found, key=lambda row: row["source"]):
        of_tables = [
            Ledger(
                name=row["table_name"],
                read=row["rows_read"] or 0,
                loaded=row["rows_loaded"] or 0,
                quarantined=row["rows_quarantined"] or 0,
                excluded=row["rows_excluded"] or 0,
                read_today=row["read_today"] or 0,
                quarantined_today=row["quarantined_today"] or 0,
                last_batch_at=row["last_batch_at"],
            )
            for row in rows
        ]
        ledgers.append(_summed(source, sorted(of_tables, key=_badness)))
    return sorted(ledgers, key=_badness)


def _badness(ledger: Ledger) -> tuple[float, str]:
    return -(ledger.quarantined / ledger.read if ledger.read else 0.0), ledger.name


def _summed(name: str, parts: list[Ledger]) -> Ledger:
    return Ledger(
        name=name,
        read=sum(part.read for part in parts),
        loaded=sum(part.loaded for part in parts),
        quarantined=sum(part.quarantined for part in parts),
        excluded=sum(part.excluded for part in parts),
        read_today=sum(part.read_today for part in parts),
        quarantined_today=sum(part.quarantined_today for part in parts),
        last_batch_at=max((part.last_batch_at for part in parts if part.last_batch_at), default=None),
        tables=parts,
    )


def _scores(warehouse: Warehouse, now: datetime) -> tuple[list[Score], datetime | None]:
    """The last score of each day, or of each hour where the first score is only days old."""
    since = now - timedelta(days=TREND_DAYS)
    [ends] = _rows(
        warehouse, f"SELECT min(scored_at) AS first, max(scored_at) AS last FROM {SCORES} WHERE scored_at >= $1", since
    )
    if ends["first"] is None:
        return [], None
    is_young = now - ends["first"] < timedelta(days=_FEW_DAYS)
    seconds = _HOUR_SECONDS if is_young else _DAY_SECONDS
    found = _rows(
        warehouse,
        "SELECT relation, dimension, period, good, total FROM ("
        f"SELECT relation, dimension, good, total, floor(extract(epoch FROM scored_at) / {seconds}) AS period,"
        f" row_number() OVER (PARTITION BY relation, dimension, floor(extract(epoch FROM scored_at) / {seconds})"
        f" ORDER BY scored_at DESC, run_id) AS place FROM {SCORES} WHERE scored_at >= $1"
        ") AS numbered WHERE place = 1 ORDER BY relation, dimension, period",
        since,
    )
    scores = []
    for (relation, dimension), rows in groupby(found, key=lambda row: (row["relation"], row["dimension"])):
        series = [Share(row["good"] or 0, row["total"] or 0) for row in rows]
        trend = [share.value for share in series if share.value is not None]
        scores.append(Score(relation, dimension, series[-1], trend))
    return scores, ends["last"]


def _rules(warehouse: Warehouse, now: datetime) -> list[Rule]:
    entries = warehouse.query(
        f"SELECT source, table_name, reasons, quarantined_at >= $1 AS is_new FROM {QUARANTINE_ROWS}"
        " WHERE settled_at IS NULL",
        [now - timedelta(days=1)],
    )
    if not entries.num_rows:
        return []
    frame = pl.DataFrame(pl.from_arrow(entries))
    counted = (
        frame.with_columns(pl.col("reasons").str.json_decode(_REASONS).list.eval(pl.element().struct.field("rule")))
        .explode("reasons")
        .group_by("source", "table_name", "reasons")
        .agg(pl.len().alias("rows"), pl.col("is_new").sum().alias("rows_today"))
        .sort(["rows", "source", "table_name", "reasons"], descending=[True, False, False, False])
    )
    return [
        Rule(f"{row['source']}/{row['table_name']}", row["reasons"] or "unknown", row["rows"], row["rows_today"])
        for row in counted.iter_rows(named=True)
    ]


def _quarantine(warehouse: Warehouse, now: datetime) -> Quarantine:
    bounds = [now - age for _, age in _AGES if age is not None]
    counts = ", ".join(
        f"sum(CASE WHEN quarantined_at > ${number} THEN 1 ELSE 0 END) AS age_{number}"
        for number in range(1, len(bounds) + 1)
    )
    [row] = _rows(
        warehouse,
        f"SELECT count(*) AS entries, min(quarantined_at) AS oldest_at, {counts} FROM {QUARANTINE_ROWS}"
        " WHERE settled_at IS NULL",
        *bounds,
    )
    younger = [int(row[f"age_{number}"] or 0) for number in range(1, len(bounds) + 1)]
    younger.append(row["entries"])
    ages = [(label, count - before) for (label, _), count, before in zip(_AGES, younger, [0, *younger], strict=False)]
    today = now - timedelta(days=1)
    [moved] = _rows(
        warehouse,
        "SELECT sum(CASE WHEN quarantined_at >= $1 THEN 1 ELSE 0 END) AS came,"
        f" sum(CASE WHEN settled_at >= $1 THEN 1 ELSE 0 END) AS settled FROM {QUARANTINE_ROWS}",
        today,
    )
    settlements = _rows(
        warehouse,
        f"SELECT settlement, count(*) AS entries FROM {QUARANTINE_ROWS} WHERE settled_at IS NOT NULL"
        " GROUP BY settlement ORDER BY entries DESC, settlement",
    )
    return Quarantine(
        open=row["entries"],
        came_today=int(moved["came"] or 0),
        settled_today=int(moved["settled"] or 0),
        oldest_at=row["oldest_at"],
        ages=ages,
        settlements=[(each["settlement"] or "unknown", each["entries"]) for each in settlements],
        flow=_flow(warehouse, now),
    )


def _flow(warehouse: Warehouse, now: datetime) -> list[tuple[datetime, int, int]]:
    """By day (UTC), the last :data:`FLOW_DAYS` of them."""
    last = int(now.timestamp() // _DAY_SECONDS)
    first = datetime.fromtimestamp((last - FLOW_DAYS + 1) * _DAY_SECONDS, UTC)
    counts = {}
    for column in ("quarantined_at", "settled_at"):
        found = _rows(
            warehouse,
            f"SELECT CAST(floor(extract(epoch FROM {column}) / {_DAY_SECONDS}) AS bigint) AS day, count(*) AS entries"
            f" FROM {QUARANTINE_ROWS} WHERE {column} >= $1 GROUP BY 1",
            first,
        )
        counts[column] = {row["day"]: row["entries"] for row in found}
    return [
        (
            datetime.fromtimestamp(day * _DAY_SECONDS, UTC),
            counts["quarantined_at"].get(day, 0),
            counts["settled_at"].get(day, 0),
        )
        for day in range(last - FLOW_DAYS + 1, last + 1)
    ]


def _corrections(warehouse: Warehouse, now: datetime) -> tuple[list[Correction], int]:
    found = _rows(
        warehouse,
        "SELECT source, table_name, column_name, rule, CAST(sum(CASE WHEN is_applied THEN 1 ELSE 0 END) AS bigint)"
        " AS applied, CAST(sum(CASE WHEN is_applied THEN 0 ELSE 1 END) AS bigint) AS suggested,"
        " CAST(sum(CASE WHEN is_applied AND corrected_at >= $1 THEN 1 ELSE 0 END) AS bigint) AS today"
        f" FROM {CORRECTIONS} GROUP BY 1, 2, 3, 4 ORDER BY applied DESC, suggested DESC, 1, 2, 3, 4",
        now - timedelta(days=1),
    )
    corrections = [
        Correction(
            table=f"{row['source']}/{row['table_name']}",
            column=row["column_name"] or "",
            rule=row["rule"],
            applied=row["applied"],
            suggested=row["suggested"],
            today=row["today"],
        )
        for row in found
    ]
    return corrections, sum(correction.today for correction in corrections)


def _alarms(warehouse: Warehouse, tables: Mapping[str, RawTable], now: datetime) -> list[dict[str, Any]]:
    found = _rows(
        warehouse,
        "SELECT source, table_name, column_name, kind, observed, expected_low, expected_high, raised_at, note"
        f" FROM {ALARMS} WHERE raised_at >= $1 ORDER BY raised_at DESC, source, table_name, column_name"
        f" LIMIT {_LISTED}",
        now - RECENT,
    )
    for row in found:
        row["table"] = f"{row.pop('source')}/{row.pop('table_name')}"
        table, column = tables.get(row["table"]), row["column_name"]
        is_personal = table is None or (column in table.column_types and table.column_metadata(column)["personal"])
        # A note may name frequent values of the column.
        row["note"] = None if column and is_personal else row["note"]
    return found


def _schema_changes(warehouse: Warehouse) -> list[dict[str, Any]]:
    found = _rows(
        warehouse,
        f"SELECT source, table_name, version, seen_at, changes, outcome FROM {SCHEMA_VERSIONS} WHERE version > 1"
        f" ORDER BY seen_at DESC, source, table_name LIMIT {_LISTED}",
    )
    for row in found:
        row["table"] = f"{row.pop('source')}/{row.pop('table_name')}"
        row["changes"] = described(row["changes"])
    return found


def _alerts(warehouse: Warehouse, now: datetime) -> list[dict[str, Any]]:
    return _rows(
        warehouse,
        f"SELECT title, severity, opened_at, last_seen_at, occurrences, notified_at, resolved_at FROM {ALERTS}"
        " WHERE resolved_at IS NULL OR resolved_at >= $1"
        f" ORDER BY resolved_at IS NOT NULL, opened_at DESC, title LIMIT {_LISTED}",
        now - RECENT,
    )


def _near_duplicates(warehouse: Warehouse) -> list[dict[str, Any]]:
    return _rows(
        warehouse,
        "SELECT relation, count(*) AS pairs, CAST(sum(CASE WHEN is_exact THEN 1 ELSE 0 END) AS bigint) AS exact,"
        f" max(found_at) AS found_at FROM {NEAR_DUPLICATES} GROUP BY relation ORDER BY relation",
    )


def _latencies(warehouse: Warehouse) -> list[tuple[int, float]]:
    """Version and latency in seconds of the latest publications that brought something new, in their order."""
    found = _rows(
        warehouse,
        "SELECT version, published_at, newest_change_at FROM ledger.publications WHERE newest_change_at IS NOT NULL"
        " ORDER BY version DESC LIMIT 40",
    )
    return [(row["version"], (row["published_at"] - row["newest_change_at"]).total_seconds()) for row in found[::-1]]
