"""Scores: how complete, accurate, consistent and timely each raw table and each mart is.

Belongs here: measuring each of the four dimensions and keeping the scores over time. Does not belong here: what is
measured, which stands where the table is declared: the contract's columns, rules and ``references`` for raw tables,
the dbt tests and ``meta.quality`` of the model for marts.

A measure is how many of those judged are good. A dimension's score is that of its measures together, but for the
accuracy of a raw table: there a row that breaks several rules counts once.

=============  ============================================  ====================================================
dimension      raw table                                     mart
=============  ============================================  ====================================================
completeness   required cells that are there                 what the model declares
accuracy       rows that break no rule about one column      dbt tests but for relationships; what the model declares
consistency    rules over several columns; references to     relationships; what the model declares, such as totals
               tables of this and other sources              that must agree
timeliness     whether the table is read as often as usual;  tables that it is made of whose newest batch is in it
               batches loaded within 26 hours of their
               newest change, where the source's clock is
               of use
=============  ============================================  ====================================================

Rows are those in raw that are not deleted, and those that stand in the quarantine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from resources.warehouse import Warehouse
from resources.warehouse.base import BUILD_PREFIX
from resources.warehouse.system_tables import SCORES
from shopsphere_assets.ingestion.raw_table import DELETED_AT, RawTable
from shopsphere_assets.transformation.results import NODE_RESULTS

Dimension = Literal["completeness", "accuracy", "consistency", "timeliness"]
DIMENSIONS: tuple[Dimension, ...] = ("completeness", "accuracy", "consistency", "timeliness")

LEAST_SCORE = 0.95
"""What is below is worth a warning."""

TIMELY = timedelta(hours=26)
_RECENTLY = timedelta(days=30)
_LATE_FACTOR = 1.5
_LONGEST_NAME = 200

# How validate.py writes a reason; within a value the quotation marks are escaped.
_RULE = r'\{"rule":"([^"\\]+)"'
_RESULTS = re.compile(r"[Gg]ot (\d+) results?")


@dataclass(frozen=True)
class Measure:
    """How many of those judged are good. ``counts``: whether it is part of the dimension's score by itself."""

    measure: str
    good: int
    total: int
    counts: bool = True


@dataclass(frozen=True)
class Score:
    """One dimension of one relation."""

    relation: str
    dimension: Dimension
    measures: tuple[Measure, ...]

    @property
    def good(self) -> int:
        """How many of those judged are good."""
        return sum(each.good for each in self.measures if each.counts)

    @property
    def total(self) -> int:
        """How many were judged."""
        return sum(each.total for each in self.measures if each.counts)

    @property
    def score(self) -> float | None:
        """The share that is good; None where there was nothing to judge."""
        return self.good / self.total if self.total else None


def keep_scores(warehouse: Warehouse, scores: Sequence[Score], *, run_id: str, at: datetime) -> None:
    """Keep the scores of a run; those that it kept before of the same relations give way."""
    rows = [
        {
            "run_id": run_id,
            "relation": score.relation,
            "dimension": score.dimension,
            "scored_at": at,
            "good": score.good,
            "total": score.total,
            "score": score.score,
            "detail": json.dumps([_as_json(measure) for measure in score.measures], ensure_ascii=False),
        }
        for score in scores
    ]
    with warehouse.transaction() as transaction:
        for relation in sorted({score.relation for score in scores}):
            transaction.execute(f"DELETE FROM {SCORES} WHERE run_id = $1 AND relation = $2", [run_id, relation])
        transaction.append(SCORES.schema, SCORES.name, pa.Table.from_pylist(rows, schema=SCORES.columns))


def _as_json(measure: Measure) -> dict[str, Any]:
    return {name: value for name, value in asdict(measure).items() if name != "counts"}


def newest_scores(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The last score of every relation and dimension, as rows of ``quality.scores``."""
    found = warehouse.query(
        "SELECT DISTINCT ON (relation, dimension) relation, dimension, scored_at, good, total, score, detail"
        f" FROM {SCORES} ORDER BY relation, dimension, scored_at DESC, run_id"
    ).to_pylist()
    return sorted(found, key=lambda row: (row["relation"], DIMENSIONS.index(row["dimension"])))


# -- raw tables -----------------------------------------------------------------------------------------------


def score_raw(warehouse: Warehouse, table: RawTable, known: Mapping[str, RawTable], now: datetime) -> list[Score]:
    """The scores of a raw table. ``known``: all raw tables there are, by label, for the references."""
    live = _one(warehouse, f'SELECT count(*) FROM {table.definition} WHERE "{DELETED_AT}" IS NULL')
    entries = _open_rules(warehouse, table)
    broken = dict(entries.explode().drop_nulls().value_counts(name="rows").iter_rows())
    rows = live + entries.len()
    measures: dict[Dimension, list[Measure]] = {dimension: [] for dimension in DIMENSIONS}
    for column in table.required_columns:
        missing = broken.pop(f"{column}.required", 0)
        measures["completeness"].append(Measure(column, rows - missing, rows))
    rules = [str(check.name) for check in table.contract.to_schema().checks]
    for rule in rules:
        measures["consistency"].append(Measure(rule, rows - broken.pop(rule, 0), rows))
    harmed = int(entries.list.eval(pl.element().is_in(sorted(broken))).list.any().sum()) if broken else 0
    measures["accuracy"].append(Measure("rows that keep every rule about one column", rows - harmed, rows))
    for rule, count in sorted(broken.items()):
        measures["accuracy"].append(Measure(rule, rows - count, rows, counts=False))
    for column in table.column_types:
        reference = table.column_metadata(column).get("references")
        if reference:
            found = _reference(warehouse, table, column, reference, known)
            measures["consistency"] += [found] if found else []
    measures["timeliness"] = _punctual(warehouse, table, now)
    return [Score(str(table.definition), dimension, tuple(measures[dimension])) for dimension in DIMENSIONS]


def _open_rules(warehouse: Warehouse, table: RawTable) -> pl.Series:
    """Of each row that stands in the quarantine the rules that it breaks."""
    found = warehouse.query(
        "SELECT reasons FROM quarantine.rows WHERE source = $1 AND table_name = $2 AND settled_at IS NULL",
        [table.source, table.name],
    )
    return (
        pl.Series("reasons", found.column(0).to_pylist(), dtype=pl.String)
        .str.extract_all(_RULE)
        .list.eval(pl.element().str.extract(_RULE))
    )


def _reference(
    warehouse: Warehouse, table: RawTable, column: str, reference: str, known: Mapping[str, RawTable]
) -> Measure | None:
    """How many of the column's values are there where it refers to; None where that table is not read here."""
    label, _, parent_column = reference.rpartition(".")
    parent = known.get(label)
    if parent is None or not _has_rows(warehouse, parent):
        return None
    name, key = f'c."{column}"', f'"{parent_column}"'
    if table.column_types[column] != parent.column_types[parent_column]:
        name, key = f"CAST({name} AS varchar)", f"CAST({key} AS varchar)"
    keys = f"SELECT {key} AS referred FROM {parent.definition} WHERE {key} IS NOT NULL"
    parameters = []
    if parent.key == (parent_column,):
        # A row that stands in the quarantine is at the source all the same.
        name, keys = f"CAST({name} AS varchar)", f"SELECT CAST(referred AS varchar) AS referred FROM ({keys}) AS known"
        keys += " UNION SELECT row_key FROM quarantine.rows"
        keys += " WHERE source = $1 AND table_name = $2 AND settled_at IS NULL"
        parameters = [parent.source, parent.name]
    [counts] = warehouse.query(
        "SELECT count(*) AS total, count(keys.referred) AS good"
        f" FROM {table.definition} AS c LEFT JOIN (SELECT DISTINCT referred FROM ({keys}) AS found) AS keys"
        f' ON keys.referred = {name} WHERE c."{DELETED_AT}" IS NULL AND c."{column}" IS NOT NULL',
        parameters,
    ).to_pylist()
    return Measure(f"{column} in {reference}", counts["good"], counts["total"])


def _has_rows(warehouse: Warehouse, table: RawTable) -> bool:
    exists = _one(
        warehouse,
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2",
        [table.definition.schema, table.definition.name],
    )
    return bool(
        exists and _one(warehouse, f"SELECT count(*) FROM (SELECT 1 AS n FROM {table.definition} LIMIT 1) AS t")
    )


def _punctual(warehouse: Warehouse, table: RawTable, now: datetime) -> list[Measure]:
    batches = warehouse.query(
        "SELECT started_at, finished_at, watermark, kind FROM ledger.batches"
        " WHERE source = $1 AND table_name = $2 AND finished_at >= $3"
        " AND kind IN ('full', 'incremental', 'change_log') ORDER BY sequence",
        [table.source, table.name, now - _RECENTLY],
    ).to_pylist()
    if not batches:
        ever = _one(
            warehouse,
            "SELECT count(*) FROM ledger.batches WHERE source = $1 AND table_name = $2",
            [table.source, table.name],
        )
        return [Measure("read as often as usual", 0, 1)] if ever else []
    pauses = [later["finished_at"] - earlier["finished_at"] for earlier, later in pairwise(batches)]
    patience = max([TIMELY, *(_LATE_FACTOR * pause for pause in pauses)])
    measures = [Measure("read as often as usual", int(now - batches[-1]["finished_at"] <= patience), 1)]
    dated = [
        (before["started_at"], datetime.fromisoformat(batch["watermark"]), batch["finished_at"])
        for before, batch in pairwise(batches)
        if batch["watermark"]
    ]
    # Else the source's clock tells nothing of ours, as in a simulated shop.
    has_our_clock = any(before < changed <= loaded for before, changed, loaded in dated)
    judged = [loaded - changed <= TIMELY for _, changed, loaded in dated if has_our_clock and changed <= loaded]
    hours = TIMELY // timedelta(hours=1)
    return [*measures, Measure(f"loaded within {hours} hours of the newest change", sum(judged), len(judged))]


def _one(warehouse: Warehouse, sql: str, parameters: Sequence[Any] = ()) -> int:
    return int(warehouse.query(sql, parameters).column(0)[0].as_py())


# -- marts ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mart:
    """A mart as dbt's manifest declares it.

    ``relation``: where it is built. ``declared``: per dimension, name and SQL of what must hold of a row; null where
    the row is not judged. ``tests``: unique ids of its tests, and the column that one of a relationship is about.
    ``made_of``: the raw tables behind it, by label.
    """

    unique_id: str
    relation: str
    declared: Mapping[str, Mapping[str, str]]
    tests: Mapping[str, str | None]
    made_of: tuple[str, ...]

    @property
    def published(self) -> str:
        """The name that readers know."""
        return self.relation.removeprefix(BUILD_PREFIX)


def marts_of(manifest: Mapping[str, Any]) -> list[Mart]:
    """The marts that a dbt manifest declares. Raises :class:`ValueError` for a dimension that there is not."""
    nodes: Mapping[str, Any] = manifest["nodes"]
    marts = []
    for unique_id, node in nodes.items():
        if node["resource_type"] != "model" or not node["schema"].startswith(BUILD_PREFIX):
            continue
        declared = node["config"].get("meta", {}).get("quality", {})
        unknown = sorted(set(declared) - set(DIMENSIONS))
        if unknown:
            raise ValueError(f"meta.quality of {node['name']} names {', '.join(unknown)}; use {', '.join(DIMENSIONS)}")
        marts.append(
            Mart(
                unique_id=unique_id,
                relation=f"{node['schema']}.{node['name']}",
                declared=declared,
                tests={
                    name: test["column_name"]
                    if (test.get("test_metadata") or {}).get("name") == "relationships"
                    else None
                    for name, test in nodes.items()
                    if test["resource_type"] == "test" and _is_test_of(test, unique_id)
                },
                made_of=tuple(sorted(_sources(manifest, unique_id))),
            )
        )
    return sorted(marts, key=lambda mart: mart.relation)


def _is_test_of(test: Mapping[str, Any], unique_id: str) -> bool:
    attached = test.get("attached_node")
    return attached == unique_id if attached else unique_id in test["depends_on"]["nodes"]


def _sources(manifest: Mapping[str, Any], unique_id: str) -> set[str]:
    """The labels of the raw tables that a model is made of, over any number of models between."""
    found: set[str] = set()
    waiting, seen = [unique_id], {unique_id}
    while waiting:
        for parent in manifest["parent_map"].get(waiting.pop(), []):
            if parent.startswith("source."):
                key = manifest["sources"][parent]["config"]["meta"]["dagster"]["asset_key"]
                found.add("/".join(key[1:]))
            elif parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return found


def score_marts(warehouse: Warehouse, marts: Iterable[Mart]) -> list[Score]:
    """The scores of the marts as they were built last; those never built have none."""
    warehouse.ensure_tables([NODE_RESULTS])
    results = {
        row["node_id"]: row
        for row in warehouse.query(f"SELECT node_id, status, message, finished_at FROM {NODE_RESULTS}").to_pylist()
    }
    newest = {
        f"{row['source']}/{row['table_name']}": row["finished_at"]
        for row in warehouse.query(
            "SELECT source, table_name, max(finished_at) AS finished_at FROM ledger.batches"
            " WHERE rows_loaded > 0 OR rows_deleted > 0 GROUP BY source, table_name"
        ).to_pylist()
    }
    scores = []
    for mart in marts:
        built = results.get(mart.unique_id)
        if built is not None and built["status"] == "success":
            scores += _score_mart(warehouse, mart, results, newest, built["finished_at"])
    return scores


def _score_mart(
    warehouse: Warehouse,
    mart: Mart,
    results: Mapping[str, Mapping[str, Any]],
    newest: Mapping[str, datetime],
    built_at: datetime,
) -> list[Score]:
    related = sorted({column for column in mart.tests.values() if column})
    declared = [(dimension, name, sql) for dimension, named in mart.declared.items() for name, sql in named.items()]
    asked = ["count(*)", *(f'count("{column}")' for column in related)]
    for _, _, sql in declared:
        asked += [f"count(*) FILTER (WHERE {sql})", f"count({sql})"]
    found = warehouse.query(f"SELECT {', '.join(f'{sql} AS n{i}' for i, sql in enumerate(asked))} FROM {mart.relation}")
    numbers = [int(column[0].as_py()) for column in found.columns]
    rows, filled = numbers[0], dict(zip(related, numbers[1:], strict=False))
    measures: dict[str, list[Measure]] = {dimension: [] for dimension in DIMENSIONS}
    for index, (dimension, name, _) in enumerate(declared):
        good, total = numbers[1 + len(related) + 2 * index : 3 + len(related) + 2 * index]
        measures[dimension].append(Measure(name, good, total))
    for test, column in sorted(mart.tests.items()):
        failures = _failures(results.get(test))
        if failures is not None:
            total = filled[column] if column else rows
            dimension = "consistency" if column else "accuracy"
            measures[dimension].append(Measure(_test_name(test), max(total - failures, 0), total))
    for label in mart.made_of:
        if label in newest:
            measures["timeliness"].append(Measure(f"newest batch of {label}", int(newest[label] <= built_at), 1))
    return [Score(mart.published, dimension, tuple(measures[dimension])) for dimension in DIMENSIONS]


def _failures(result: Mapping[str, Any] | None) -> int | None:
    """How many rows failed a test; None where that is not known."""
    if result is None:
        return None
    if result["status"] == "pass":
        return 0
    told = _RESULTS.search(result["message"] or "")
    return int(told.group(1)) if told else None


def _test_name(unique_id: str) -> str:
    """``test.project.name.hash`` without what only dbt needs."""
    return unique_id.split(".")[2][:_LONGEST_NAME]
