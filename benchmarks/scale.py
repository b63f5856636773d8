"""Measures what a row costs as tables grow, and the platform beside the conventional nightly job.

Run as ``python -m benchmarks.scale [--rows 500000]``. First the ingestion of orders (from MariaDB) and of events
(from files) at 1, 4 and 16 times the rows: cost per row and peak memory. Then a simulated shop whose tables are
loaded on a first night, live through one more day, and are loaded again: by the platform, and by a job that reloads
every table in full, row by row, one after another.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from rich.table import Table

from benchmarks.contestants import CONTESTANTS, Engine, install
from benchmarks.measuring import Command, Measurement, keep, measure, show
from benchmarks.servers import Servers, ask_mariadb, running_servers
from benchmarks.shop import Shop
from simulator.databases import shop_sink
from simulator.files import FileDrops
from simulator.world import World

_REPOSITORY = Path(__file__).parent.parent
_ENGINES: tuple[Engine, ...] = ("postgresql", "duckdb")
_SHOP_TABLES = ("customers", "addresses", "orders", "order_items", "payments", "refunds")
_EVENT_DAYS = 8
_EVENTS_PER_DAY = 500_000 / 90
"""At the simulator's scale 1."""
_SEED = 7


@dataclass(frozen=True)
class Growth:
    """One table's ingestion at one size; the median of its rounds."""

    table: str
    engine: Engine
    factor: int
    rows: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_memory_mb: float

    @property
    def microseconds(self) -> float:
        """Time that passes per row."""
        return self.seconds / self.rows * 1e6

    @property
    def cpu_microseconds(self) -> float:
        """Work of our process per row."""
        return self.cpu_seconds / self.rows * 1e6


@dataclass(frozen=True)
class Night:
    """One night's loading."""

    name: str
    way: str
    rows_at_source: int
    rows_changed: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


def ours(
    target: str, folder: Path, *, source: str | None = None, tables: Sequence[str] = (), events: Path | None = None
) -> Command:
    """The platform's ingestion of tables and events, as a process."""
    arguments = [sys.executable, "-m", "benchmarks.loaders.ours", "--target", target, "--lake", str(folder / "lake")]
    if source:
        arguments += ["--source", source, "--table", *tables]
    if events:
        arguments += ["--events", str(events)]
    return Command(arguments, {"PYTHONPATH": str(_REPOSITORY)})


def write_events(folder: Path, rows: int) -> None:
    """Files of about as many events."""
    drops = FileDrops(folder, folder.with_name(folder.name + "-truth"))
    for day in World(_SEED, scale=rows / _EVENT_DAYS / _EVENTS_PER_DAY).days(0, _EVENT_DAYS - 1):
        drops.write(replace(day, tables={"web_logs/events": day.tables["web_logs/events"]}))


def grow(servers: Servers, home: Path, rows: int, factors: list[int], rounds: int) -> list[Growth]:
    """The ingestion at each size, the sizes in turn."""
    for factor in factors:
        show(f"writing {rows * factor:,} orders and about as many events")
        Shop(servers.mariadb(f"shop_{factor}"), orders=rows * factor, items=0).fill()
        write_events(home / "events" / str(factor), rows * factor)
    runs: dict[tuple[str, Engine, int], list[tuple[int, Measurement]]] = {}
    for _ in range(rounds):
        for table in ("orders", "events"):
            for engine in _ENGINES:
                for factor in factors:
                    with tempfile.TemporaryDirectory(dir=home) as place:
                        target = servers.postgres("grown") if engine == "postgresql" else f"duckdb://{place}/t.duckdb"
                        source = f"{servers.mariadb_url}/shop_{factor}" if table == "orders" else None
                        files = None if source else home / "events" / str(factor) / "web_logs"
                        tables = [table] if source else []
                        command = ours(target, Path(place), source=source, tables=tables, events=files)
                        servers.settle()
                        taken = measure(command, folder=Path(place), servers=servers.processes)
                    count = json.loads(taken.output.splitlines()[-1])
                    read = count["rows_loaded"] + count["rows_quarantined"]
                    if table == "orders" and read != rows * factor:
                        raise SystemExit(f"{read:,} of {rows * factor:,} orders were read")
                    runs.setdefault((table, engine, factor), []).append((read, taken))
                    show(f"{table} → {engine}, {factor}×: {read:,} rows in {taken.seconds:.2f} s")
    return [
        Growth(
            table=table,
            engine=engine,
            factor=factor,
            rows=measured[0][0],
            seconds=round(median(taken.seconds for _, taken in measured), 3),
            cpu_seconds=round(median(taken.cpu_seconds for _, taken in measured), 3),
            server_cpu_seconds=round(median(taken.server_cpu_seconds for _, taken in measured), 3),
            peak_memory_mb=round(max(taken.peak_memory_mb for _, taken in measured)),
        )
        for (table, engine, factor), measured in runs.items()
    ]


def compare_nights(servers: Servers, home: Path, scale: float, days: int) -> list[Night]:
    """A first night after ``days`` days, and the next one, both ways into PostgreSQL, verified."""
    old_way = next(contestant for contestant in CONTESTANTS if contestant.name == "pandas")
    if reason := install(old_way):
        show(f"the conventional job is left out: {reason}")
        return []
    source, drops = servers.mariadb("nights"), FileDrops(home / "nights", home / "nights-truth")
    sink = shop_sink(source)
    # Without planted errors, which the conventional job has no answer to, and without deletions.
    world = World(_SEED, scale, error_rate=0)
    targets = {"platform": servers.postgres("night_platform"), "conventional": servers.postgres("night_conventional")}
    nights: list[Night] = []
    known: set[Path] = set()
    for name, first, last in (("first night", 0, days - 1), ("next night", days, days)):
        changed = 0
        for day in world.days(first, last):
            tables = {k: v for k, v in day.tables.items() if k.startswith("shop_db/") or k == "web_logs/events"}
            changed += sum(frame.height for frame in tables.values())
            whole = replace(day, tables=tables, deleted={})
            sink.write(whole)
            drops.write(whole)
        files = sorted(set((home / "nights" / "web_logs").rglob("*.jsonl*")) - known)
        known |= set(files)
        commands = {
            "platform": ours(
                targets["platform"], home, source=source, tables=_SHOP_TABLES, events=home / "nights" / "web_logs"
            ),
            "conventional": Command(
                [
                    str(old_way.programs / "python"), str(Path(__file__).parent / "loaders" / "old_way.py"),
                    "--source", source, "--target", targets["conventional"],
                    "--tables", *_SHOP_TABLES, "--files", *map(str, files),
                ]
            ),
        }  # fmt: skip
        rows = sum(int(ask_mariadb(source, f"SELECT COUNT(*) FROM {table}")[0][0]) for table in _SHOP_TABLES)
        for way, command in commands.items():
            servers.settle()
            taken = measure(command, folder=home / way, servers=servers.processes, limit=4 * 3_600)
            verify_night(source, targets[way], way)
            nights.append(
                Night(
                    name=name,
                    way=way,
                    rows_at_source=rows,
                    rows_changed=changed,
                    seconds=round(taken.seconds, 2),
                    cpu_seconds=round(taken.cpu_seconds + taken.server_cpu_seconds, 2),
                    peak_memory_mb=round(taken.peak_memory_mb),
                )
            )
            show(f"{name}, {way}: {taken.seconds:.2f} s")
    return nights


def verify_night(source: str, target: str, way: str) -> None:
    """Raise where a table of the target has not the source's rows and latest change."""
    with psycopg.connect(target, options="-c timezone=UTC") as connection:
        for table in _SHOP_TABLES:
            expected = ask_mariadb(source, f"SELECT COUNT(*), MAX(updated_at) FROM {table}")[0]
            relation = f"raw.shop_db__{table}" if way == "platform" else f"bench.{table}"
            query = f"SELECT count(*), CAST(max(updated_at) AS timestamp) FROM {relation}"
            found = connection.execute(query.encode()).fetchone()
            if found != expected:
                raise SystemExit(f"{way}: {table} has {found}, the source {expected}")


def growth_table(found: list[Growth]) -> Table:
    """Cost per row and peak memory by size."""
    shown = Table(title="ingestion as tables grow", title_justify="left")
    for heading in ("table", "engine"):
        shown.add_column(heading)
    for heading in ("size", "rows", "seconds", "µs/row", "÷ smallest", "CPU µs/row", "÷ smallest", "peak MB"):
        shown.add_column(heading, justify="right")
    for growth in found:
        smallest = min((g for g in found if (g.table, g.engine) == (growth.table, growth.engine)), key=lambda g: g.rows)
        shown.add_row(
            growth.table,
            growth.engine,
            f"{growth.factor}×",
            f"{growth.rows:,}",
            f"{growth.seconds:.2f}",
            f"{growth.microseconds:.2f}",
            f"{growth.microseconds / smallest.microseconds:.2f}",
            f"{growth.cpu_microseconds:.2f}",
            f"{growth.cpu_microseconds / smallest.cpu_microseconds:.2f}",
            f"{growth.peak_memory_mb:,.0f}",
        )
    return shown


def nights_table(nights: list[Night]) -> Table:
    """Both ways beside each other."""
    shown = Table(title="the platform beside the conventional nightly job (PostgreSQL)", title_justify="left")
    shown.add_column("")
    for heading in ("rows at the source", "changed", "platform s", "conventional s", "ratio", "peak MB of both"):
        shown.add_column(heading, justify="right")
    for name, (platform, conventional) in by_night(nights).items():
        shown.add_row(
            name,
            f"{platform.rows_at_source:,}",
            f"{platform.rows_changed:,}",
            f"{platform.seconds:.2f}",
            f"{conventional.seconds:.2f}",
            f"{conventional.seconds / platform.seconds:.1f}",
            f"{platform.peak_memory_mb:,.0f}, {conventional.peak_memory_mb:,.0f}",
        )
    return shown


def by_night(nights: list[Night]) -> dict[str, tuple[Night, Night]]:
    """The platform's and the conventional job's night, by name."""
    found: dict[str, dict[str, Night]] = {}
    for night in nights:
        found.setdefault(night.name, {})[night.way] = night
    return {name: (ways["platform"], ways["conventional"]) for name, ways in found.items()}


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000, help="rows at the smallest size (default: %(default)s)")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--shop-scale", type=float, default=0.5, help="of the nights' shop; 1 is 60,000 orders; 0: none"
    )
    parser.add_argument("--shop-days", type=int, default=90, help="before the first night (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where servers and files are kept meanwhile")
    arguments = parser.parse_args()
    growth: list[Growth] = []
    nights: list[Night] = []
    with (
        tempfile.TemporaryDirectory(prefix="shopsphere-bench-", dir=arguments.folder) as folder,
        running_servers(Path(folder)) as servers,
    ):
        if arguments.rounds:
            growth = grow(servers, Path(folder), arguments.rows, arguments.factors, arguments.rounds)
        if arguments.shop_scale:
            nights = compare_nights(servers, Path(folder), arguments.shop_scale, arguments.shop_days)
    result: dict[str, Any] = {
        "arguments": {name: value for name, value in vars(arguments).items() if name != "folder"},
        "growth": [
            {**asdict(g), "microseconds_per_row": g.microseconds, "cpu_microseconds_per_row": g.cpu_microseconds}
            for g in growth
        ],
        "nights": [asdict(night) for night in nights],
        "ratios": {name: round(old.seconds / new.seconds, 1) for name, (new, old) in by_night(nights).items()},
    }
    if growth:
        show(growth_table(growth))
    if nights:
        show(nights_table(nights))
    show(f"kept in {keep(f'scale-{arguments.rows}', result)}")


if __name__ == "__main__":
    main()
