"""Kills the platform at every commit point and at random moments, and says whether it shows: ``make soak``.

Belongs here: the servers, the order of work and the report. What is killed and how the end is judged stands in
``tests/exactly_once``, which the tests share.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from benchmarks.measuring import keep, show
from resources.commit_points import CommitPoint
from resources.embedded import LOGICAL_DECODING, EmbeddedPostgres
from tests import servers
from tests.exactly_once.matrix import POINTS, Matrix
from tests.exactly_once.places import prepared_place, warehouse_at
from tests.exactly_once.soak import Soak, soak

ENGINES = ("duckdb", "postgres")
SOURCES = {"mariadb": "mysql", "postgres": "postgresql"}


@dataclass(frozen=True)
class Servers:
    """A MariaDB and a PostgreSQL whose change logs can be read; the second also holds warehouses."""

    mariadb: str
    postgres: EmbeddedPostgres

    def source(self, name: str) -> str | EmbeddedPostgres:
        """The server of the shop."""
        return self.mariadb if name == "mariadb" else self.postgres


def run_matrix(found: Servers, engine: str, home: Path) -> dict[CommitPoint, list[str]]:
    """The differences per commit point."""
    with prepared_place(engine, home, found.mariadb, found.postgres) as place:
        matrix = Matrix.prepared(place, home)
        return {point: matrix.case(point) for point in POINTS}


def run_soak(found: Servers, engine: str, source: str, home: Path, cycles: int, seed: int) -> Soak:
    """A soak with a shop on ``source``."""

    def tell(done: int) -> None:
        if done % 20 == 0:
            print(f"{engine}, shop on {source}: {done} of {cycles} cycles", file=sys.stderr, flush=True)

    with (
        prepared_place(engine, home, found.source(source), found.postgres) as place,
        warehouse_at("duckdb", home / "fresh", place.shop, found.postgres) as fresh,
    ):
        return soak(place, replace(fresh, log_name="fresh"), cycles=cycles, seed=seed, scratch=home, told=tell)


def matrix_table(results: dict[str, dict[CommitPoint, list[str]]]) -> Table:
    """Per commit point the number of differences on each engine."""
    table = Table("commit point", *results, title="Killed at each commit point, then run twice: differences")
    for point in POINTS:
        table.add_row(point, *(str(len(found[point])) for found in results.values()))
    return table


def soak_table(soaks: list[Soak]) -> Table:
    """Per soak what was done and found."""
    columns = ("engine", "shop on", "cycles", "killed", "ended before", "operations", "found late", "differences", "s")
    table = Table(*columns, title="Killed at random with writers at work")
    for each in soaks:
        counts = (each.cycles, each.killed_at.total(), each.completed, each.operations, each.found_late)
        numbers = (*counts, len(each.differences), each.seconds)
        table.add_row(each.engine, each.source, *map(str, numbers))
    return table


def stage_table(soaks: list[Soak]) -> Table:
    """How many kills came after which commit point."""
    table = Table("last point before the kill", *(f"{each.engine} ({each.source})" for each in soaks))
    for stage in ("begin", *POINTS):
        if any(each.killed_at[stage] for each in soaks):
            table.add_row(stage, *(str(each.killed_at[stage]) for each in soaks))
    return table


def main() -> None:
    """Run, print, keep; the exit status is 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200, help="kills per engine (default: 200)")
    parser.add_argument("--engine", choices=[*ENGINES, "both"], default="both")
    parser.add_argument(
        "--source", choices=[*SOURCES, "both"], default="both", help="where the shop is; cycles are shared"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides what writers do and when is killed")
    parser.add_argument("--skip-matrix", action="store_true", help="only the soak")
    options = parser.parse_args()
    engines = ENGINES if options.engine == "both" else (options.engine,)
    sources = tuple(SOURCES) if options.source == "both" else (options.source,)
    matrices: dict[str, dict[CommitPoint, list[str]]] = {}
    soaks: list[Soak] = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="shopsphere-soak-")))
        mariadb = stack.enter_context(servers.running_mariadb(home / "mariadb", servers.BINLOG))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="shopsphere-postgres-")))
        settings = {**LOGICAL_DECODING, "synchronous_commit": "on"}
        postgres = stack.enter_context(EmbeddedPostgres(folder, databases=(), settings=settings))
        found = Servers(mariadb, postgres)
        for engine in engines:
            if not options.skip_matrix:
                matrices[engine] = run_matrix(found, engine, home / f"matrix {engine}")
            for source in sources if options.cycles else ():
                cycles = options.cycles // len(sources)
                soaks.append(run_soak(found, engine, source, home / f"soak {engine} {source}", cycles, options.seed))
    if matrices:
        show(matrix_table(matrices))
    if soaks:
        show(soak_table(soaks), stage_table(soaks))
    differences = [text for points in matrices.values() for texts in points.values() for text in texts]
    differences += [text for each in soaks for text in each.differences]
    result: dict[str, Any] = {
        "differences": len(differences),
        "matrix": {
            engine: {str(point): texts for point, texts in points.items()} for engine, points in matrices.items()
        },
        "soak": [vars(each) for each in soaks],
    }
    show(
        f"commit points: {len(POINTS) if matrices else 0}, cycles: {sum(each.cycles for each in soaks)}, "
        f"differences: {len(differences)}",
        *differences[:20],
        f"kept in {keep('soak', result)}",
    )
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
