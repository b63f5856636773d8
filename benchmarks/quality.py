"""Measures how good the platform is at finding and mending errors, against the simulator's truth.

Run as ``python -m benchmarks.quality [--seeds 3] [--scale 0.3]``. Each seed is a new shop that lives twice: once with
errors in 5 % of its rows, and once without any. Both are taken in by the whole platform; what the first has otherwise
than the second is wrong. Among the errors are kinds that no rule was written for (``held_back``).

Does not belong here: how errors are made, and what the platform does about them.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from rich.table import Table

from benchmarks.held_back import HELD_BACK
from benchmarks.measuring import Command, keep, measure, show

_ERROR_RATE = 0.05
_SHOPSPHERE = str(Path(sys.executable).with_name("shopsphere"))
_OUTCOMES = {
    "quarantined": "set aside, with its reasons",
    "repaired": "loaded with the right value, by a correction on record",
    "repaired_wrongly": "loaded with another wrong value, by a correction on record",
    "suggested": "loaded as it came, with a suggestion to a person",
    "replaced": "the source itself has sent the right value since",
    "excluded": "a repeated row: loaded once",
    "gone": "deleted at the source since",
    "silent": "loaded wrong, and nobody is told",
}
_ADDRESS_COLUMNS = {"line1", "line2", "city", "state", "postal_code", "country_code", "street"}
_ADDRESS_TABLES = {"shop_db/addresses", "crm_files/contacts"}


@dataclass(frozen=True)
class Taken:
    """A shop that the platform has taken in: its folder, and its working warehouse as a catalogue of DuckDB."""

    home: Path
    catalogue: str

    @property
    def warehouse(self) -> Path:
        """The file of the warehouse."""
        return self.home / "warehouse" / "shopsphere.duckdb"

    def truth(self) -> pl.DataFrame:
        """The planted errors, the latest of each cell."""
        planted = pl.read_parquet(self.home / "simulator" / "truth" / "day=*.parquet")
        # A request has no key at its source: its line in the log has one only once it is read.
        known = planted.filter(pl.col("table_name") != "access_log")
        return known.sort("day").unique(["source", "table_name", "row_key", "column_name"], keep="last")


def take_in(home: Path, *, seed: int, scale: float, error_rate: float) -> None:
    """Simulate ninety days of a shop in ``home`` and run the whole platform on it, unless that was done."""
    if home.exists():
        return
    home.mkdir(parents=True)
    environment = {"SHOPSPHERE_HOME": str(home)}
    options = ["--seed", str(seed), "--scale", str(scale), "--error-rate", str(error_rate)]
    simulate = [sys.executable, "-m", "benchmarks.held_back", "simulate", *options]
    folder = Path(__file__).resolve().parent.parent
    measure(Command(simulate, {**environment, "PYTHONPATH": str(folder)}), folder=home / "work")
    measure(Command([_SHOPSPHERE, "run"], environment), folder=home / "work")


class Judgement:
    """One seed: what the shop with errors has otherwise than the one without."""

    def __init__(self, dirty: Taken, clean: Taken) -> None:
        self._dirty, self._clean = dirty, clean
        self._connection = duckdb.connect()
        for taken in (dirty, clean):
            self._connection.execute(f"ATTACH '{taken.warehouse}' AS {taken.catalogue} (READ_ONLY)")
        self.by_kind: dict[str, Counter[str]] = {}
        self.cells: Counter[str] = Counter()
        self.addresses: Counter[str] = Counter()
        self.harmed: Counter[str] = Counter()
        self.marts: dict[str, Counter[str]] = {}

    def judge(self) -> None:
        """Follow every planted error, look at every good row, and compare the marts."""
        truth = self._dirty.truth()
        for (source, table), planted in truth.group_by(["source", "table_name"], maintain_order=True):
            self._judge_table(str(source), str(table), planted)
        for mart in self._marts():
            self._compare_mart(*mart)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _judge_table(self, source: str, table: str, planted: pl.DataFrame) -> None:
        raw = f"raw.{source}__{table}"
        columns = [c for c in self._columns(self._dirty, raw) if not c.startswith("_")]
        # The key of every raw table is its first column.
        key = columns[0]
        now = self._cells("dirty", raw, key, columns)
        right = self._cells("clean", raw, key, columns)
        where = f"source = '{source}' AND table_name = '{table}'"
        quarantined = {
            k for (k,) in self._rows(f"SELECT row_key FROM dirty.quarantine.rows WHERE {where} AND settled_at IS NULL")
        }
        marks = {
            (row_key, column): is_applied
            for row_key, column, is_applied in self._rows(
                f"SELECT row_key, column_name, is_applied FROM dirty.quality.corrections WHERE {where}"
                " ORDER BY is_applied"
            )
        }
        touched = set()
        for error in planted.iter_rows(named=True):
            row_key, column = error["row_key"], error["column_name"]
            touched.add(row_key)
            outcome = _outcome(
                error["kind"],
                now=now.get(row_key),
                right=right.get(row_key),
                column=column,
                is_quarantined=row_key in quarantined,
                is_corrected=marks.get((row_key, column)),
            )
            self.by_kind.setdefault(error["kind"], Counter())[outcome] += 1
            if f"{source}/{table}" in _ADDRESS_TABLES and column in _ADDRESS_COLUMNS:
                self.addresses["planted"] += 1
                self.addresses["left"] += outcome in ("silent", "repaired_wrongly", "suggested")
        self.cells["all"] += len(right) * (len(columns) - 1)
        self.cells["rows"] += len(right)
        self.cells["wrong rows before"] += len(touched)
        self.cells["wrong before"] += planted.height
        for row_key, cells in now.items():
            true = right.get(row_key)
            if true is None:
                continue
            wrong = sum(cells[c] != true[c] for c in columns)
            self.cells["wrong after"] += wrong
            if row_key not in touched:
                self.harmed["changed"] += wrong > 0
        self.harmed["good rows"] += len(right) - len(touched & right.keys())
        self.harmed["quarantined"] += len((quarantined - touched) & right.keys())
        if f"{source}/{table}" in _ADDRESS_TABLES:
            self._harm_of_addresses(raw, where, key)

    def _harm_of_addresses(self, raw: str, where: str, key: str) -> None:
        """Good addresses of the shop without errors that a correction changed."""
        names = ", ".join(f"'{name}'" for name in sorted(_ADDRESS_COLUMNS))
        [(changed,)] = self._rows(
            f"SELECT count(DISTINCT row_key) FROM clean.quality.corrections WHERE {where} AND is_applied"
            f" AND column_name IN ({names})"
        )
        [(rows,)] = self._rows(f"SELECT count({key}) FROM clean.{raw}")
        self.addresses["good"] += rows
        self.addresses["good rewritten"] += changed

    def _cells(self, catalogue: str, raw: str, key: str, columns: list[str]) -> dict[str, dict[str, Any]]:
        texts = ", ".join(f'CAST("{column}" AS VARCHAR)' for column in columns)
        found = self._rows(f'SELECT CAST("{key}" AS VARCHAR), {texts} FROM {catalogue}.{raw} WHERE _deleted_at IS NULL')
        return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in found}

    def _columns(self, taken: Taken, relation: str) -> list[str]:
        return [row[0] for row in self._rows(f"DESCRIBE {taken.catalogue}.{relation}")]

    def _marts(self) -> Iterator[tuple[str, list[str]]]:
        """Each mart's relation and its key, as its dbt tests declare it."""
        manifest = json.loads(next((self._dirty.home / "dbt").rglob("manifest.json")).read_text())
        for node in manifest["nodes"].values():
            metadata = node.get("test_metadata") or {}
            model = manifest["nodes"].get(node.get("attached_node") or "", {})
            if "marts" not in model.get("fqn", ()):
                continue
            relation = f"{model['schema']}.{model['name']}"
            if metadata.get("name") in ("unique", "unique_and_not_null"):
                yield relation, [metadata["kwargs"]["column_name"]]
            elif metadata.get("name") == "unique_combination":
                yield relation, list(metadata["kwargs"]["columns"])

    def _compare_mart(self, relation: str, key: list[str]) -> None:
        counts = self.marts.setdefault(relation.removeprefix("build_"), Counter())
        if counts:
            return
        columns = self._columns(self._dirty, relation)
        others = [c for c in columns if c not in key]
        same = " AND ".join(f'd."{c}" IS NOT DISTINCT FROM c."{c}"' for c in key)
        wrong = " + ".join(f'(d."{c}" IS DISTINCT FROM c."{c}")::INT' for c in others) or "0"
        [(both, cells)] = self._rows(
            f"SELECT count(*), coalesce(sum({wrong}), 0)"
            f" FROM dirty.{relation} AS d JOIN clean.{relation} AS c ON {same}"
        )
        [(rows,)] = self._rows(f"SELECT count(*) FROM clean.{relation}")
        [(extra,)] = self._rows(f"SELECT count(*) FROM dirty.{relation}")
        counts.update(rows=rows, cells=both * len(others), wrong=int(cells), missing=rows - both, extra=extra - both)


def _outcome(
    kind: str,
    *,
    now: dict[str, Any] | None,
    right: dict[str, Any] | None,
    column: str,
    is_quarantined: bool,
    is_corrected: bool | None,
) -> str:
    if now is None:
        if is_quarantined:
            return "quarantined"
        return "gone" if right is None else "silent"
    if kind == "duplicate_row":
        return "excluded"
    if right is not None and now.get(column) == right.get(column):
        return "repaired" if is_corrected else "replaced"
    if is_corrected:
        return "repaired_wrongly"
    if is_quarantined:
        # An earlier version of the row stands until the newer one is mended.
        return "quarantined"
    return "silent" if is_corrected is None else "suggested"


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many shops, each of a seed never used before")
    parser.add_argument("--seed", type=int, action="append", help="a shop of this seed instead; may be repeated")
    parser.add_argument("--scale", type=float, default=0.3, help="1 is 20,000 customers and 60,000 orders")
    parser.add_argument("--folder", type=Path, help="where the shops are kept, to look into them afterwards")
    arguments = parser.parse_args()
    seeds = arguments.seed or [secrets.randbelow(2**31) for _ in range(arguments.seeds)]
    judgements = []
    with tempfile.TemporaryDirectory(prefix="shopsphere-quality-") as temporary:
        folder = arguments.folder or Path(temporary)
        for seed in seeds:
            dirty, clean = (Taken(folder / f"{name}-{seed}", name) for name in ("dirty", "clean"))
            take_in(dirty.home, seed=seed, scale=arguments.scale, error_rate=_ERROR_RATE)
            take_in(clean.home, seed=seed, scale=arguments.scale, error_rate=0.0)
            judgement = Judgement(dirty, clean)
            judgement.judge()
            judgements.append(judgement)
    result = _summed(judgements)
    show(*_tables(result), f"Seeds: {', '.join(map(str, seeds))}.")
    kept = keep("quality", {"seeds": seeds, "scale": arguments.scale, "error_rate": _ERROR_RATE, **result})
    show(f"Kept in {kept}.")


def _summed(judgements: list[Judgement]) -> dict[str, Any]:
    kinds: dict[str, Counter[str]] = {}
    marts: dict[str, Counter[str]] = {}
    for judgement in judgements:
        for kind, counts in judgement.by_kind.items():
            kinds.setdefault(kind, Counter()).update(counts)
        for mart, counts in judgement.marts.items():
            marts.setdefault(mart, Counter()).update(counts)

    def total(name: str) -> dict[str, int]:
        return dict(sum((getattr(judgement, name) for judgement in judgements), Counter()))

    return {
        "kinds": {kind: dict(kinds[kind]) for kind in sorted(kinds)},
        "raw": total("cells"),
        "good_rows": total("harmed"),
        "addresses": total("addresses"),
        "marts": {mart: dict(marts[mart]) for mart in sorted(marts)},
    }


def _tables(result: dict[str, Any]) -> Iterator[Table | str]:
    unseen = {planting.kind for kinds in HELD_BACK.values() for planting in kinds}
    table = Table(title="Planted errors by kind (* no rule was written for it)", title_justify="left")
    table.add_column("kind")
    for heading in ("planted", *_OUTCOMES):
        table.add_column(heading.replace("_", " "), justify="right")
    for kind, counts in result["kinds"].items():
        outcomes = [counts.get(name, 0) for name in _OUTCOMES]
        table.add_row(f"{kind}{' *' * (kind in unseen)}", *(f"{n:,}" for n in (sum(outcomes), *outcomes)))
    yield table
    yield "\n".join(f"{name.replace('_', ' ')}: {text}" for name, text in _OUTCOMES.items())
    table = Table(title="Marts beside those of the shop without errors", title_justify="left")
    table.add_column("mart")
    for heading in ("rows", "missing", "extra", "cells", "wrong", "share wrong"):
        table.add_column(heading, justify="right")
    for mart, counts in result["marts"].items():
        names = ("rows", "missing", "extra", "cells", "wrong")
        table.add_row(mart, *(f"{counts.get(n, 0):,}" for n in names), _share(counts.get("wrong", 0), counts["cells"]))
    yield table
    raw, good, addresses = result["raw"], result["good_rows"], result["addresses"]
    cells = sum(counts.get("cells", 0) for counts in result["marts"].values())
    wrong = sum(counts.get("wrong", 0) for counts in result["marts"].values())
    yield "\n".join(
        [
            f"Rows with an error: {_share(raw['wrong rows before'], raw['rows'])} of {raw['rows']:,} at the sources.",
            f"Wrong cells: {_share(raw['wrong before'], raw['all'])} at the sources, "
            f"{_share(raw.get('wrong after', 0), raw['all'])} in raw, {_share(wrong, cells)} in the marts.",
            f"Good rows harmed: {good.get('changed', 0):,} changed and {good.get('quarantined', 0):,} set aside "
            f"of {good['good rows']:,}.",
            f"Address errors: {addresses.get('planted', 0):,} planted, {addresses.get('left', 0):,} left; of "
            f"{addresses.get('good', 0):,} good addresses {addresses.get('good rewritten', 0):,} were rewritten "
            "in the standard form.",
        ]
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3%}" if whole else "none"


if __name__ == "__main__":
    main()
