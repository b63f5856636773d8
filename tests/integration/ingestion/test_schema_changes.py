"""A source whose columns change is read on, or stopped, as its contract says; every version is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.errors import StructureError
from resources.file_source import Csv, FileSource
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.extract import Source
from shopsphere_assets.ingestion.ledger import BatchReport, read_state
from shopsphere_assets.ingestion.raw_table import FileRead, RawTable
from tests.integration.ingestion.test_ingest import Shop
from tests.raw_tables import good_row, raw_table

REFUNDS = raw_table(shop_db.Refunds)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Load = Callable[..., BatchReport]


class StoppedRefunds(shop_db.Refunds):
    """Refunds whose source may not change unseen."""

    class Config:
        metadata = {"on_schema_change": "stop"}  # noqa: RUF012


def loader(warehouse: Warehouse, lake: Path, source: Source) -> Load:
    warehouse.prepare()

    def load(table: RawTable = REFUNDS) -> BatchReport:
        warehouse.ensure_tables(table.definitions)
        state = read_state(warehouse, [table])[table.name]
        report = ingest(table, source, Destination(warehouse, lake), state=state, run_id="run")
        assert report is not None
        return report

    return load


def versions(warehouse: Warehouse) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = warehouse.query("SELECT * FROM quality.schema_versions ORDER BY version").to_pylist()
    return [
        {**row, "changes": [(c["change"], c["column"], c.get("to")) for c in json.loads(row["changes"])]}
        for row in rows
    ]


@pytest.fixture(params=["mariadb to postgresql", "postgresql to duckdb"])
def shop_and_warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Shop, Warehouse]:
    if request.param == "mariadb to postgresql":
        return Shop(request.getfixturevalue("mariadb_url")), open_warehouse(request.getfixturevalue("postgres_url"))
    warehouse = open_warehouse(f"duckdb://{tmp_path}/warehouse.duckdb")
    return Shop(request.getfixturevalue("postgres_url")), warehouse


def test_changes_that_are_ignored_are_kept_and_told_once(
    shop_and_warehouse: tuple[Shop, Warehouse], tmp_path: Path
) -> None:
    shop, warehouse = shop_and_warehouse
    load = loader(warehouse, tmp_path / "lake", shop.source)
    shop.put(1, NOON)
    assert load().notes == ()
    assert load().notes == ()
    shop.execute("ALTER TABLE refunds ADD COLUMN colour varchar(10)")
    shop.execute("ALTER TABLE refunds DROP COLUMN payment_id")
    first = load()
    assert len(first.notes) == 2
    assert "column payment_id was dropped; it is empty from now on" in first.notes[0]
    assert "was added; columns that the contract does not know are left out" in first.notes[1]
    assert load().notes == ()
    [begin, changed] = versions(warehouse)
    assert (begin["version"], begin["outcome"], begin["changes"]) == (1, "first", [])
    assert list(json.loads(begin["columns"]))[:2] == ["refund_id", "order_id"]
    assert (changed["version"], changed["outcome"], changed["batch_id"]) == (2, "ignored", first.batch_id)
    assert [change[:2] for change in changed["changes"]] == [("dropped", "payment_id"), ("added", "colour")]
    shop.execute("ALTER TABLE refunds RENAME COLUMN colour TO color")
    assert "colour was renamed to color" in load().notes[0]


def test_a_change_stops_a_table_whose_contract_says_so(
    shop_and_warehouse: tuple[Shop, Warehouse], tmp_path: Path
) -> None:
    shop, warehouse = shop_and_warehouse
    load = loader(warehouse, tmp_path / "lake", shop.source)
    strict = raw_table(StoppedRefunds)
    strict = RawTable("shop_db", "refunds", StoppedRefunds, strict.key, strict.cursor, REFUNDS.read)
    shop.put(1, NOON)
    load(strict)
    shop.execute("ALTER TABLE refunds ADD COLUMN colour varchar(10)")
    for _ in range(2):
        with pytest.raises(StructureError, match="colour"):
            load(strict)
    assert [(row["outcome"], row["batch_id"] is None) for row in versions(warehouse)] == [
        ("first", False),
        ("stopped", True),
    ]
    # A person has looked at it.
    assert len(load(REFUNDS).notes) == 1
    assert load(strict).notes == ()
    assert [row["outcome"] for row in versions(warehouse)] == ["first", "stopped", "ignored"]


def test_a_required_column_that_is_gone_stops_any_table(
    shop_and_warehouse: tuple[Shop, Warehouse], tmp_path: Path
) -> None:
    shop, warehouse = shop_and_warehouse
    load = loader(warehouse, tmp_path / "lake", shop.source)
    shop.put(1, NOON)
    load()
    shop.execute("ALTER TABLE refunds RENAME COLUMN currency TO money")
    for _ in range(2):
        with pytest.raises(StructureError, match="no column for currency"):
            load()
    [_, stopped] = versions(warehouse)
    assert (stopped["outcome"], stopped["batch_id"]) == ("stopped", None)
    assert stopped["changes"][0][1] == "currency"
    # It is as it was: nothing more to tell.
    shop.execute("ALTER TABLE refunds RENAME COLUMN money TO currency")
    assert load().notes == ()
    assert len(versions(warehouse)) == 2


def test_a_file_with_other_columns_is_noticed(tmp_path: Path) -> None:
    table = RawTable("shop_db", "refunds", shop_db.Refunds, REFUNDS.key, REFUNDS.cursor, FileRead("*.csv", Csv()))
    folder = tmp_path / "files"
    folder.mkdir()
    warehouse = open_warehouse(f"duckdb://{tmp_path}/warehouse.duckdb")
    load = loader(warehouse, tmp_path / "lake", FileSource(folder))
    row = good_row(REFUNDS)

    def drop(name: str, **more: str) -> None:
        values = {**row, **more}
        (folder / name).write_text(",".join(values) + "\n" + ",".join(str(v) for v in values.values()) + "\n")

    drop("a.csv")
    assert load(table).notes == ()
    drop("b.csv", refund_id="2", colour="red")
    drop("c.csv", refund_id="3", colour="blue")
    report = load(table)
    assert [note for note in report.notes if "colour" in note] == list(report.notes)
    assert len(report.notes) == 1
    assert [(row["version"], row["changes"]) for row in versions(warehouse)] == [
        (1, []),
        (2, [("added", "colour", None)]),
    ]
    (folder / "d.csv").write_text("refund_id,colour\n4,red\n")
    with pytest.raises(StructureError, match="is missing"):
        load(table)
    assert versions(warehouse)[-1]["outcome"] == "stopped"
