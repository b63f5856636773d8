"""Measures full and incremental loads of ``orders`` and ``order_items`` beside other tools, in one run.

Run as ``python -m benchmarks.load [--orders 5000000] [--items 10000000]``. Every contestant loads the same tables
of the same servers as a process of its own, one after another (A B C … A B C …), and counts only if what it
loaded has the source's number of rows, sums of amounts and latest change. The full load goes into an empty
database; each incremental one merges the same changes into what the contestant loaded itself.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import psycopg
from rich.table import Table

from benchmarks.contestants import OURS, Contestant, Engine, Job, chosen, versions
from benchmarks.measuring import CommandFailedError, Measurement, keep, measure, show
from benchmarks.servers import Servers, running_servers
from benchmarks.shop import AMOUNTS, CURSOR, KEYS, Shop, Totals

_ENGINES: dict[Engine, str] = {"postgresql": "PostgreSQL", "duckdb": "DuckDB"}
_FULL, _INCREMENTAL = "full load", "incremental"


@dataclass(frozen=True)
class Result:
    """One contestant's run: what it took, or why it does not count."""

    task: str
    table: str
    engine: Engine
    contestant: str
    round: int
    rows: int
    seconds: float = math.nan
    cpu_seconds: float = math.nan
    server_cpu_seconds: float = math.nan
    peak_memory_mb: float = math.nan
    fault: str | None = None


class Contest:
    """One shop, its servers and the contestants, of which each keeps its own target from load to merge."""

    def __init__(self, servers: Servers, shop: Shop, contestants: list[Contestant], home: Path) -> None:
        self._servers, self._shop, self._contestants, self._home = servers, shop, contestants, home
        self.results: list[Result] = []
        self._loaded: set[tuple[str, str, Engine]] = set()

    def run(self, tables: list[str], engines: list[Engine], *, rounds: int, changes: int) -> None:
        """Load each table ``rounds`` times, then ``rounds`` times change it and merge the changes."""
        for table in tables:
            totals = self._shop.totals(table)
            for number in range(1, rounds + 1):
                for engine in engines:
                    for contestant in self._contestants:
                        if engine in contestant.engines:
                            self._load(contestant, table, engine, number, totals)
            for number in range(1, rounds + 1 if changes else 1):
                since = self._shop.change(table, changes)
                totals = self._shop.totals(table)
                for engine in engines:
                    for contestant in self._contestants:
                        if contestant.can_merge and (contestant.name, table, engine) in self._loaded:
                            self._merge(contestant, table, engine, number, totals, since, changes)
            for engine in engines:
                for contestant in self._contestants:
                    self._forget(self._job(contestant, table, engine))

    def _load(self, contestant: Contestant, table: str, engine: Engine, number: int, totals: Totals) -> None:
        job = self._job(contestant, table, engine)
        self._forget(job)
        if engine == "postgresql":
            self._servers.postgres(job.target.rpartition("/")[2])
        done = self._run(contestant, job, _FULL, number, totals, totals.rows)
        known = (contestant.name, table, engine)
        self._loaded.discard(known)
        if done:
            self._loaded.add(known)

    def _merge(
        self,
        contestant: Contestant,
        table: str,
        engine: Engine,
        number: int,
        totals: Totals,
        since: datetime,
        changes: int,
    ) -> None:
        job = self._job(contestant, table, engine, since)
        if number == 1 and contestant.after_load:
            contestant.after_load(job)
        if not self._run(contestant, job, _INCREMENTAL, number, totals, changes):
            self._loaded.discard((contestant.name, table, engine))

    def _run(
        self, contestant: Contestant, job: Job, task: str, number: int, totals: Totals, rows: int
    ) -> Measurement | None:
        self._servers.settle()
        try:
            command = contestant.command(job, contestant.programs)
            taken = measure(command, folder=job.folder, servers=self._servers.processes)
            fault = difference(contestant, job, totals)
        except (CommandFailedError, duckdb.Error, psycopg.Error) as error:
            taken, fault = None, str(error).strip()
        result = Result(task, job.table, job.engine, contestant.name, number, rows, fault=fault)
        if taken is not None and not fault:
            result = replace(
                result,
                seconds=round(taken.seconds, 3),
                cpu_seconds=round(taken.cpu_seconds, 3),
                server_cpu_seconds=round(taken.server_cpu_seconds, 3),
                peak_memory_mb=round(taken.peak_memory_mb),
            )
        self.results.append(result)
        what = f"{task} {job.table} → {_ENGINES[job.engine]}, round {number}: {contestant.name}"
        show(f"{what}: does not count: {fault}" if fault else f"{what}: {result.seconds:.2f} s")
        return None if fault else taken

    def _job(self, contestant: Contestant, table: str, engine: Engine, since: datetime | None = None) -> Job:
        name = f"{contestant.name}_{table}".replace(" ", "_").lower()
        folder = self._home / "contestants" / engine / name
        target = f"{self._servers.postgres_url}/{name}" if engine == "postgresql" else f"duckdb:///{folder}/t.duckdb"
        return Job(self._shop.url, target.replace("////", "///"), table, KEYS[table], CURSOR, folder, since)

    def _forget(self, job: Job) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        if job.engine == "postgresql":
            self._servers.drop_postgres(job.target.rpartition("/")[2])


def difference(contestant: Contestant, job: Job, totals: Totals) -> str | None:
    """What the loaded table lacks or has besides, or None where it is as the source's."""
    if contestant.relation is None:
        return None
    sums = ", ".join(
        f"CAST(sum(CAST({column} AS numeric(38, 2))) AS double precision)" for column in AMOUNTS[job.table]
    )
    query = (
        f"SELECT count(*), CAST(max(CAST({job.cursor} AS timestamptz)) AS text), {sums}"
        f" FROM {contestant.relation.format(table=job.table)}"
    )
    if job.engine == "postgresql":
        with psycopg.connect(job.target, options="-c timezone=UTC") as connection:
            row = connection.execute(query.encode()).fetchone()
    else:
        with duckdb.connect(str(job.target_file), read_only=True) as database:
            database.execute("SET TimeZone = 'UTC'")
            row = database.execute(query).fetchone()
    assert row is not None
    rows, latest, *amounts = row
    moment = datetime.fromisoformat(latest).astimezone(UTC).replace(tzinfo=None) if latest else None
    if rows != totals.rows:
        return f"it has {rows:,} rows, the source {totals.rows:,}"
    if moment != totals.latest:
        return f"its latest change is of {moment}, the source's of {totals.latest}"
    for column, amount, expected in zip(AMOUNTS[job.table], amounts, totals.sums, strict=True):
        if amount is None or not math.isclose(amount, expected, rel_tol=1e-12, abs_tol=0.001):
            return f"the sum of {column} is {amount}, the source's {expected}"
    return None


def summary(results: list[Result]) -> list[dict[str, Any]]:
    """Per task, table, engine and contestant: the medians, and the ratios to the pipe, to the wire and to ours."""
    lines: list[dict[str, Any]] = []
    groups: dict[tuple[str, str, Engine], dict[str, list[Result]]] = {}
    for result in results:
        group = groups.setdefault((result.task, result.table, result.engine), {})
        group.setdefault(result.contestant, []).append(result)
    for (task, table, engine), group in groups.items():
        seconds = {
            name: median(r.seconds for r in runs) for name, runs in group.items() if not any(r.fault for r in runs)
        }
        for name, runs in sorted(group.items(), key=lambda item: seconds.get(item[0], math.inf)):
            line: dict[str, Any] = {"task": task, "table": table, "engine": engine, "contestant": name}
            faults = [run.fault for run in runs if run.fault]
            if faults:
                lines.append({**line, "fault": faults[0]})
                continue
            lines.append(
                {
                    **line,
                    "rows": runs[0].rows,
                    "rounds": len(runs),
                    "seconds": round(seconds[name], 2),
                    "fastest_seconds": round(min(run.seconds for run in runs), 2),
                    "slowest_seconds": round(max(run.seconds for run in runs), 2),
                    "to_pipe": _ratio(seconds[name], seconds.get("pipe")),
                    "to_wire": _ratio(seconds[name], seconds.get("wire")),
                    "to_ours": _ratio(seconds[name], seconds.get(OURS)),
                    "peak_memory_mb": max(run.peak_memory_mb for run in runs),
                    "cpu_seconds": round(median(run.cpu_seconds for run in runs), 2),
                    "server_cpu_seconds": round(median(run.server_cpu_seconds for run in runs), 2),
                }
            )
    return lines


def _ratio(seconds: float, other: float | None) -> float | None:
    return None if other is None else round(seconds / other, 2)


def _plain(result: Result) -> dict[str, Any]:
    """A result for a JSON file, which has no word for a number that is none."""
    return {name: None if value != value else value for name, value in asdict(result).items()}


def tables(lines: list[dict[str, Any]]) -> list[Table]:
    """The summary as one table per task, source table and engine."""
    shown: dict[tuple[str, str, Engine], Table] = {}
    for line in lines:
        place = (line["task"], line["table"], line["engine"])
        if place not in shown:
            shown[place] = Table(title=f"{place[0]}: {place[1]}, MariaDB → {_ENGINES[place[2]]}", title_justify="left")
            shown[place].add_column("")
            for heading in (
                "seconds",
                "fastest–slowest",
                "÷ pipe",
                "÷ wire",
                "÷ ours",
                "peak MB",
                "CPU s",
                "servers' CPU s",
            ):
                shown[place].add_column(heading, justify="right")
        name = line["contestant"]
        if "fault" in line:
            shown[place].add_row(name, "–", f"does not count: {line['fault'].splitlines()[0][:60]}")
            continue
        ratios = ("–" if line[r] is None else f"{line[r]:.2f}" for r in ("to_pipe", "to_wire", "to_ours"))
        shown[place].add_row(
            f"[bold]{name}[/bold]" if name == OURS else name,
            f"{line['seconds']:.2f}",
            f"{line['fastest_seconds']:.2f}–{line['slowest_seconds']:.2f}",
            *ratios,
            f"{line['peak_memory_mb']:,.0f}",
            f"{line['cpu_seconds']:.1f}",
            f"{line['server_cpu_seconds']:.1f}",
        )
    return list(shown.values())


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=5_000_000, help="rows of orders (default: %(default)s)")
    parser.add_argument("--items", type=int, default=10_000_000, help="rows of order_items, at most 2.1 per order")
    parser.add_argument(
        "--changes", type=int, default=100_000, help="rows changed before each incremental load; 0: none"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant loads and merges")
    parser.add_argument("--tables", nargs="+", choices=list(KEYS), default=list(KEYS))
    parser.add_argument("--engines", nargs="+", choices=list(_ENGINES), default=list(_ENGINES))
    parser.add_argument("--only", help="contestants, comma-separated (default: all that can be had)")
    parser.add_argument("--folder", type=Path, help="where servers and contestants keep their files meanwhile")
    arguments = parser.parse_args()
    contestants = chosen(arguments.only)
    with (
        tempfile.TemporaryDirectory(prefix="shopsphere-bench-", dir=arguments.folder) as folder,
        running_servers(Path(folder)) as servers,
    ):
        show(f"writing {arguments.orders:,} orders and {arguments.items:,} items")
        shop = Shop(servers.mariadb("shop"), orders=arguments.orders, items=arguments.items)
        shop.fill()
        contest = Contest(servers, shop, contestants, Path(folder))
        contest.run(arguments.tables, arguments.engines, rounds=arguments.rounds, changes=arguments.changes)
    lines = summary(contest.results)
    show(*tables(lines))
    path = keep(
        f"load-{arguments.orders}",
        {
            "arguments": {name: value for name, value in vars(arguments).items() if name != "folder"},
            "contestants": versions(contestants),
            "summary": lines,
            "runs": [_plain(result) for result in contest.results],
        },
    )
    show(f"kept in {path}")
    ours = [result for result in contest.results if result.contestant == OURS]
    if any(result.fault for result in ours):
        sys.exit("Our own load was not correct.")


if __name__ == "__main__":
    main()
