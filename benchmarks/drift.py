"""Measures the drift detector: false alarms on quiet days, and how soon injected drift is alarmed.

Run as ``python -m benchmarks.drift [--seeds 21 22 23] [--scale 1] [--history 40] [--quiet 30]``. The simulated shop's
days, planted errors included, are divided by the contracts and profiled as when they are landed, a batch per table and
day; what is judged is what ``quality/drift`` judges every hour. Needs no database.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from resources.reading import Chunk
from resources.warehouse.system_tables import PROFILES
from shopsphere_assets import contracts
from shopsphere_assets.contracts.base import Contract
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable
from shopsphere_assets.ingestion.validate import divide
from shopsphere_assets.quality.drift import Alarm, judge
from shopsphere_assets.quality.profiles import Profile
from simulator.sinks import Day
from simulator.world import KEYS, World

Change = Callable[[pl.DataFrame], pl.DataFrame]

_FIRST_DAY = 8
"""The shop's first days are unlike all others: everything is new."""


def _chosen(share: float) -> pl.Expr:
    """A share of the rows, the same ones every time."""
    return pl.int_range(pl.len()) * 7919 % 1000 < 1000 * share


def _put(column: str, value: str | None, share: float) -> Change:
    return lambda rows: rows.with_columns(
        pl.when(_chosen(share)).then(pl.lit(value).cast(rows.schema[column])).otherwise(pl.col(column)).alias(column)
    )


def _times(column: str, factor: float, share: float = 1.0) -> Change:
    def change(rows: pl.DataFrame) -> pl.DataFrame:
        grown = (pl.col(column).cast(pl.Float64, strict=False) * factor).round(2).cast(rows.schema[column])
        return rows.with_columns(pl.when(_chosen(share)).then(grown).otherwise(pl.col(column)).alias(column))

    return change


def _without(share: float) -> Change:
    return lambda rows: rows.filter(~_chosen(share))


def _twice(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows])


INJECTED: Sequence[tuple[str, str, str, Change]] = (
    ("volume", "half of the rows", "shop_db/orders", _without(0.5)),
    ("volume", "half of the rows", "web_logs/events", _without(0.5)),
    ("volume", "twice the rows", "shop_db/payments", _twice),
    ("nulls", "10 % without an amount", "shop_db/orders", _put("shipping_amount", None, 0.1)),
    ("nulls", "30 % without a telephone", "shop_db/customers", _put("phone", None, 0.3)),
    ("nulls", "half without a customer", "web_logs/events", _put("customer_id", None, 0.5)),
    ("values", "20 % by telephone", "shop_db/orders", _put("channel", "phone", 0.2)),
    ("values", "20 % by PayPal", "shop_db/payments", _put("method", "paypal", 0.2)),
    ("values", "20 % purchases", "web_logs/events", _put("event_type", "purchase", 0.2)),
    ("values", "30 % one star", "reviews/reviews", _put("rating", "1", 0.3)),
    ("level", "amounts times 1.5", "shop_db/payments", _times("amount", 1.5)),
    ("level", "amounts divided by 100", "shop_db/orders", _times("tax_amount", 0.01)),
    ("shape", "a quarter of the amounts times 10", "shop_db/payments", _times("amount", 10, 0.25)),
    ("shape", "a quarter of the amounts divided by 10", "shop_db/orders", _times("tax_amount", 0.1, 0.25)),
)
"""Kind, what is done, to which table, and how."""


@dataclass
class Figures:
    """What was measured with one seed. ``caught``: per injected drift the batch that was alarmed, None for none."""

    seed: int
    quiet_days: int
    false_alarms: list[Alarm] = field(default_factory=list)
    caught: list[tuple[str, str, str, int | None]] = field(default_factory=list)


def measure_drift(seed: int, scale: float = 1.0, *, history: int = 40, quiet: int = 30) -> Figures:
    """Let a shop live ``history`` days, judge it on ``quiet`` further ones, then inject each drift for two days."""
    tables = {label: _table(label) for label in KEYS}
    world = World(seed, scale)
    profiles: list[pl.DataFrame] = []
    figures = Figures(seed, quiet)
    known: set[str] = set()
    last = _FIRST_DAY + history + quiet
    for day in world.days(_FIRST_DAY, last - 1):
        profiles += [_profiled(tables[name], rows, day) for name, rows in day.tables.items()]
        if day.number >= _FIRST_DAY + history:
            for alarm in judge(pl.concat(profiles), _judged_at(day)):
                if alarm.alarm_id not in known:
                    known.add(alarm.alarm_id)
                    figures.false_alarms.append(alarm)
    days = [world.day(last), world.day(last + 1)]
    for kind, what, name, change in INJECTED:
        found = None
        changed = list(profiles)
        for batch, day in enumerate(days, 1):
            changed += [
                _profiled(tables[other], change(rows) if other == name else rows, day)
                for other, rows in day.tables.items()
                if other == name or batch == 1
            ]
            alarms = judge(pl.concat(changed), _judged_at(day))
            if found is None and any(f"{alarm.source}/{alarm.table_name}" == name for alarm in alarms):
                found = batch
        figures.caught.append((kind, what, name, found))
    return figures


def _table(label: str) -> RawTable:
    """The raw table of a simulated one, as far as judging and profiling its rows takes."""
    source, name = label.split("/")
    module = importlib.import_module(f"{contracts.__name__}.{source}")
    contract: type[Contract] = getattr(module, re.sub(r"(?:^|_)(.)", lambda found: found.group(1).upper(), name))
    moments = [
        column for column, dtype in contract.to_schema().columns.items() if str(dtype.dtype).startswith("Datetime")
    ]
    return RawTable(source, name, contract, (KEYS[label],), moments[-1], DatabaseRead(name))


def _committed_at(day: Day) -> datetime:
    return datetime(day.moment.year, day.moment.month, day.moment.day, 1, tzinfo=UTC) + timedelta(days=1)


def _judged_at(day: Day) -> datetime:
    return _committed_at(day) + timedelta(minutes=5)


def _profiled(table: RawTable, rows: pl.DataFrame, day: Day) -> pl.DataFrame:
    """A day's profile of a table, as rows of ``quality.profiles``."""
    profile = Profile(table)
    if rows.height:
        profile.add(divide(table, Chunk(rows=rows, bytes_read=0, key=table.key)).valid)
    entries: list[dict[str, Any]] = profile.entries(f"{day.number}", _committed_at(day))
    empty = pl.from_arrow(PROFILES.columns.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return pl.DataFrame(entries, schema=empty.schema)


def _show(console: Console, all_figures: Sequence[Figures]) -> None:
    for figures in all_figures:
        alarms = figures.false_alarms
        console.print(f"Seed {figures.seed}: {len(alarms)} false alarms on {figures.quiet_days} quiet days")
        for alarm in alarms:
            console.print(f"  {alarm.source}/{alarm.table_name} {alarm.kind}: {alarm.note}")
    table = Table("kind", "injected", "table", *(f"seed {figures.seed}" for figures in all_figures))
    for number, (kind, what, name, _) in enumerate(all_figures[0].caught):
        caught = [figures.caught[number][3] for figures in all_figures]
        table.add_row(kind, what, name, *(f"batch {batch}" if batch else "not caught" for batch in caught))
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--history", type=int, default=40)
    parser.add_argument("--quiet", type=int, default=30)
    chosen = parser.parse_args()
    console = Console()
    _show(
        console,
        [measure_drift(seed, chosen.scale, history=chosen.history, quiet=chosen.quiet) for seed in chosen.seeds],
    )


if __name__ == "__main__":
    main()
