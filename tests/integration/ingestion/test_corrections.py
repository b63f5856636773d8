"""Corrected cells reach raw with their record, suggestions wait for a person, and both survive all that happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources.reading import Chunk
from resources.warehouse import open_warehouse
from resources.warehouse.system_tables import CORRECTIONS
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.ingestion.ledger import BatchReport, table_totals
from shopsphere_assets.ingestion.replay import replay
from tests.raw_tables import good_row, raw_table

CUSTOMERS = raw_table(shop_db.Customers)
ADDRESSES = raw_table(shop_db.Addresses)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Row = dict[str, str | None]


class Place:
    """A warehouse and a lake with customers and their addresses."""

    def __init__(self, url: str, lake: Path) -> None:
        self.destination = Destination(open_warehouse(url, lock_timeout=30), lake)
        self.warehouse = self.destination.warehouse
        self.warehouse.prepare()
        self.warehouse.ensure_tables([CUSTOMERS.definition, ADDRESSES.definition])

    def load(self, *rows: Row, table: Any = CUSTOMERS, hours: int = 0) -> BatchReport:
        """Load rows as a source of texts gives them; the ledger must close."""
        changed = f"{NOON + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        whole = [{**good_row(table), "updated_at": changed} | row for row in rows]
        frame = pl.DataFrame(whole, schema=dict.fromkeys(table.column_types, pl.String))
        report = load_chunks(
            table,
            [Chunk(frame, bytes_read=1, key=table.key)],
            self.destination,
            run_id="run",
            kind="incremental",
            order_by=table.cursor,
        )
        assert report is not None
        assert report.rows_read == report.rows_loaded + report.rows_quarantined + report.rows_excluded
        return report

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.warehouse.query(sql).to_pylist()]

    def corrections(self) -> list[tuple[Any, ...]]:
        columns = "row_key, column_name, original, corrected, rule, is_applied"
        return self.query(f"SELECT {columns} FROM quality.corrections ORDER BY 1, 2, 3")


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """On both engines."""
    is_embedded = request.param == "duckdb"
    url = f"duckdb://{tmp_path}/warehouse.duckdb" if is_embedded else request.getfixturevalue("postgres_url")
    return Place(url, tmp_path / "lake")


def test_a_corrected_row_is_loaded_and_its_cells_are_on_record(place: Place) -> None:
    report = place.load(
        {"customer_id": "1", "email": "<ada@@example.org>", "country_code": "UK", "first_name": "JosÃ©"},
        {"customer_id": "2", "birth_date": "31.12.1990"},
        {"customer_id": "3"},
    )
    assert (report.rows_loaded, report.rows_quarantined, report.rows_corrected) == (3, 0, 2)
    rows = place.query("SELECT email, country_code, first_name FROM raw.shop_db__customers WHERE customer_id = 1")
    assert rows == [("ada@example.org", "GB", "José")]
    assert place.corrections() == [
        ("1", "country_code", "UK", "GB", "country.code", True),
        ("1", "email", "<ada@@example.org>", "ada@example.org", "email.typing", True),
        ("1", "first_name", "JosÃ©", "José", "text.character_set", True),
        ("2", "birth_date", "31.12.1990", "1990-12-31", "date.form", True),
    ]
    assert table_totals(place.warehouse)["shop_db", "customers"]["rows_corrected"] == 2


def test_a_row_with_an_unsure_cell_is_quarantined_as_it_was_read_with_suggestions_for_it(place: Place) -> None:
    report = place.load({"customer_id": "1", "email": "ada lovelace@example.org", "country_code": "UK"})
    assert (report.rows_quarantined, report.rows_corrected) == (1, 0)
    [(entry, payload)] = place.query("SELECT quarantine_id, payload FROM quarantine.rows")
    assert '"UK"' in payload
    assert place.corrections() == [
        ("1", "country_code", "UK", "GB", "country.code", False),
        ("1", "email", "ada lovelace@example.org", "adalovelace@example.org", "email.guess", False),
    ]
    assert place.query("SELECT DISTINCT quarantine_id FROM quality.corrections") == [(entry,)]


def test_what_keeps_the_contract_but_is_suspicious_is_loaded_as_it_is_and_suggested(place: Place) -> None:
    swapped = {"email": "ada.lovelace@example.org", "first_name": "Lovelace", "last_name": "Ada"}
    report = place.load({"customer_id": "1", **swapped}, {"customer_id": "2", "email": "bob@gmial.com"})
    assert (report.rows_loaded, report.rows_corrected) == (2, 0)
    assert place.corrections() == [
        ("1", "first_name", "Lovelace", "Ada", "name.swapped", False),
        ("1", "last_name", "Ada", "Lovelace", "name.swapped", False),
        ("2", "email", "bob@gmial.com", "bob@gmail.com", "email.domain", False),
    ]
    assert place.query("SELECT DISTINCT quarantine_id FROM quality.corrections") == [(None,)]


def test_a_row_that_is_read_again_is_corrected_once_on_record(place: Place) -> None:
    rows: list[Row] = [{"customer_id": "1", "country_code": "UK"}, {"customer_id": "2", "email": "ada@gmail"}]
    place.load(*rows)
    first = place.query("SELECT correction_id, batch_id FROM quality.corrections ORDER BY 1")
    assert place.load(*rows).rows_corrected == 1
    assert place.query("SELECT correction_id, batch_id FROM quality.corrections ORDER BY 1") == first


def test_a_version_that_is_corrected_settles_the_quarantined_one_before_it(place: Place) -> None:
    place.load({"customer_id": "1", "country_code": "XX"})
    place.load({"customer_id": "1", "country_code": "UK"}, hours=1)
    assert place.query("SELECT settlement FROM quarantine.rows") == [("superseded",)]
    assert place.query("SELECT country_code FROM raw.shop_db__customers") == [("GB",)]


def test_keys_and_cursors_are_never_corrected(place: Place) -> None:
    report = place.load({"customer_id": "1.0"}, {"customer_id": "2", "updated_at": "01.03.2026 12:00"})
    assert (report.rows_quarantined, place.corrections()) == (2, [])


def test_streets_are_mended_after_the_rows_that_were_loaded_before(place: Place) -> None:
    address: Row = {"country_code": "GB", "city": "Leeds", "postal_code": "LS1 4AP", "state": None}
    street: list[Row] = [address | {"address_id": str(n), "line1": f"{n} Mill Lane"} for n in range(1, 9)]
    place.load(*street, table=ADDRESSES)
    place.load(address | {"address_id": "9", "line1": "9 Mlil Ln"}, table=ADDRESSES, hours=1)
    assert place.query("SELECT line1 FROM raw.shop_db__addresses WHERE address_id = 9") == [("9 Mill Lane",)]
    rule = "address.abbreviation+address.exchanged_letters"
    assert place.corrections() == [("9", "line1", "9 Mlil Ln", "9 Mill Lane", rule, True)]


def test_raw_and_the_record_of_its_corrections_can_be_rebuilt_from_the_lake(place: Place) -> None:
    place.load({"customer_id": "1", "country_code": "UK"}, {"customer_id": "2", "email": "ada@gmail"})
    place.load({"customer_id": "1", "country_code": "usa"}, hours=1)
    tables = ("raw.shop_db__customers", "quarantine.rows", str(CORRECTIONS))
    before = [place.query(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    assert len(before[2]) == 3
    with place.warehouse.transaction() as transaction:
        for table in tables:
            transaction.execute(f"DELETE FROM {table}")
    replay(CUSTOMERS, place.destination, run_id="replay")
    assert [place.query(f"SELECT * FROM {table} ORDER BY 1") for table in tables] == before
