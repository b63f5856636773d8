"""The table of types that break loaders: who keeps, changes or loses which value, and who says so.

Run as ``python -m benchmarks.types``. Every contestant loads the same small tables, each in a process of its own;
then each cell is compared with the source's. *kept*: every value means the same. *changed*, *lost*: some value
became another one, or none, and the contestant said nothing. *error*: the load failed, so nothing went unnoticed
and nothing arrived. *quarantined*: ours set the row aside and says why; the others were loaded as they are.
*corrected*: ours loaded another value by a rule, and keeps the original and the rule on record.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from rich.table import Table

from benchmarks.contestants import OURS, Contestant, Engine, Job, chosen, versions
from benchmarks.measuring import CommandFailedError, keep, measure, show
from benchmarks.servers import Servers, ask_mariadb, running_servers
from benchmarks.type_cases import CASES, CURSOR, KEY, VALUE, Case

_LIMIT_SECONDS = 120.0
_ENGINES: tuple[Engine, ...] = ("postgresql", "duckdb")
_STYLES = {
    "kept": "green",
    "quarantined": "cyan",
    "corrected": "cyan",
    "error": "yellow",
    "changed": "red",
    "lost": "red",
}


@dataclass(frozen=True)
class Verdict:
    """What became of a case's values. ``details``: what they became, or why not."""

    case: str
    engine: Engine
    contestant: str
    outcome: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """Why ours did not load a row as it was, and what it keeps of the value."""

    outcome: str
    rules: str
    original: str | None


def judge(contestant: Contestant, case: Case, job: Job) -> Verdict:
    """Load the case and compare each value."""
    try:
        measure(contestant.command(job, contestant.programs), folder=job.folder, limit=_LIMIT_SECONDS)
        assert contestant.relation is not None
        loaded = _cells(job, contestant.relation.format(table=case.name))
        records = _records(job, case) if contestant.name == OURS else {}
    except (CommandFailedError, duckdb.Error, psycopg.Error) as error:
        return Verdict(case.name, job.engine, contestant.name, "error", (_gist(str(error)),))
    outcomes: dict[str, str] = {}
    for number, value in enumerate(case.values, 1):
        cell = loaded.get(str(number))
        if cell is not None and case.is_kept(cell, value):
            continue
        record = records.get(str(number))
        if record is not None and record.original is not None and case.is_kept(record.original, value):
            outcomes.setdefault(record.outcome, f"{value.text!r}: {record.rules}")
        elif record is not None:
            outcomes["changed"] = f"{value.text!r}: {record.rules}, and on record is {record.original!r}"
        elif cell is None:
            outcomes["lost"] = f"{value.text!r} → {'NULL' if str(number) in loaded else 'no row'}"
        else:
            outcomes["changed"] = f"{value.text!r} → {cell!r}"
    worst = next(
        (outcome for outcome in ("lost", "changed", "quarantined", "corrected") if outcome in outcomes), "kept"
    )
    return Verdict(case.name, job.engine, contestant.name, worst, tuple(outcomes.values()))


def _gist(said: str) -> str:
    """The lines of a failed program's output that speak of an error, or its last ones."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip(" ─│└┘┴")]
    telling = [line for line in lines[1:] if any(word in line.lower() for word in ("error", "fatal", "exception"))]
    return " / ".join(line[:200] for line in (telling or lines)[-3:])


def _cells(job: Job, relation: str) -> dict[str, str | None]:
    """The loaded rows' keys, as text, with the text of their cells."""
    if job.engine == "postgresql":
        with psycopg.connect(job.target, options="-c timezone=UTC") as connection:
            found = connection.execute(f"SELECT {KEY}::text, {VALUE}::text FROM {relation}".encode()).fetchall()
    else:
        with duckdb.connect(str(job.target_file), read_only=True) as database:
            database.execute("SET TimeZone = 'UTC'")
            found = database.execute(f"SELECT {KEY}::text, {VALUE}::text FROM {relation}").fetchall()
    return dict(found)


def _records(job: Job, case: Case) -> dict[str, Record]:
    """What ours has on record of the rows that it did not load as they were, by their keys."""
    quarantined = f"SELECT row_key, reasons, payload FROM quarantine.rows WHERE table_name = '{case.name}'"
    corrected = (
        "SELECT row_key, rule, original FROM quality.corrections"
        f" WHERE table_name = '{case.name}' AND is_applied AND column_name = '{VALUE}'"
    )
    records = {
        # A NUL is written out, as PostgreSQL cannot hold one.
        key: Record("corrected", rule, original.replace("\\0", "\0"))
        for key, rule, original in _fetched(job, corrected)
    }
    for key, reasons, payload in _fetched(job, quarantined):
        rules = ", ".join(reason["rule"] for reason in json.loads(reasons))
        records[key] = Record("quarantined", rules, json.loads(payload)[VALUE])
    return records


def _fetched(job: Job, query: str) -> list[Any]:
    if job.engine == "postgresql":
        with psycopg.connect(job.target) as connection:
            return connection.execute(query.encode()).fetchall()
    with duckdb.connect(str(job.target_file), read_only=True) as database:
        return database.execute(query).fetchall()


def fill(case: Case, url: str) -> None:
    """Make the case's table at the source, zero dates and all."""
    if case.source == "mysql":
        for statement in case.statements():
            ask_mariadb(url, statement)
    else:
        with psycopg.connect(url, options="-c timezone=UTC") as connection:
            for statement in case.statements():
                connection.execute(statement.encode())


def run(servers: Servers, contestants: list[Contestant], cases: list[Case], home: Path, workers: int) -> list[Verdict]:
    """Every contestant's verdict on every case and engine."""
    sources = {"mysql": servers.mariadb("shop"), "postgresql": servers.postgres("shop")}
    for case in cases:
        fill(case, sources[case.source])
    jobs = []
    for contestant in contestants:
        if contestant.relation is None:
            continue
        for engine in contestant.engines:
            # A target of its own for each case: what one breaks does not touch the next.
            for case in cases:
                if case.source not in contestant.sources:
                    continue
                name = f"{contestant.name}_{case.name}".replace(" ", "_").lower()
                folder = home / "contestants" / engine / name
                target = servers.postgres(name) if engine == "postgresql" else f"duckdb://{folder}/t.duckdb"
                job = Job(sources[case.source], target, case.name, KEY, CURSOR, folder, is_case=True)
                jobs.append((contestant, case, job))
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: judge(*job), jobs))


def table(verdicts: list[Verdict], engine: Engine) -> Table:
    """Cases down, contestants across."""
    names = list(dict.fromkeys(v.contestant for v in verdicts if v.engine == engine))
    shown = Table("type", *names, title=f"to {engine}", title_justify="left")
    for case in CASES.values():
        found = {v.contestant: v.outcome for v in verdicts if v.engine == engine and v.case == case.name}
        if found:
            cells = (found.get(name, "–") for name in names)
            title = case.title.replace("[", "\\[")
            shown.add_row(title, *(f"[{_STYLES[c]}]{c}[/]" if c in _STYLES else c for c in cells))
    return shown


def main() -> None:
    """Load, compare, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="contestants, comma-separated (default: all that can be had)")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE")
    parser.add_argument("--details", action="store_true", help="print what became of each value that was not kept")
    parser.add_argument("--workers", type=int, default=2, help="loads at once (default: %(default)s)")
    arguments = parser.parse_args()
    contestants = chosen(arguments.only)
    with tempfile.TemporaryDirectory(prefix="shopsphere-bench-") as folder, running_servers(Path(folder)) as servers:
        cases = [CASES[name] for name in arguments.cases]
        verdicts = run(servers, contestants, cases, Path(folder), arguments.workers)
    show(*(table(verdicts, engine) for engine in _ENGINES))
    if arguments.details:
        for v in verdicts:
            if v.details:
                show(f"{v.contestant} → {v.engine}, {v.case}: {v.outcome}: {' | '.join(v.details)}".replace("[", "\\["))
    counts: dict[str, dict[str, int]] = {}
    for v in verdicts:
        of_contestant = counts.setdefault(f"{v.contestant} → {v.engine}", dict.fromkeys(_STYLES, 0))
        of_contestant[v.outcome] += 1
    path = keep(
        "types", {"contestants": versions(contestants), "counts": counts, "verdicts": [asdict(v) for v in verdicts]}
    )
    show(f"kept in {path}")
    silent = [v for v in verdicts if v.contestant == OURS and v.outcome in ("lost", "changed", "error")]
    if silent:
        raise SystemExit("Ours did not keep: " + "; ".join(f"{v.case} → {v.engine} ({v.outcome})" for v in silent))


if __name__ == "__main__":
    main()
