"""The sources file: what it maps, and that each of its errors is named with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resources.errors import PermanentError
from resources.file_source import Csv
from shopsphere_assets.contracts import crm_files, shop_db
from shopsphere_assets.ingestion.mapping import apply, check_sources, mapped_tables, read_sources_file
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, RawTable, SourceSystem
from tests.raw_tables import raw_table

ORDERS = raw_table(shop_db.Orders)
PAYMENTS = raw_table(shop_db.Payments)
SHOP = SourceSystem("shop_db", "Shop database", "The shop.", (ORDERS, PAYMENTS))
CRM = SourceSystem(
    "crm_files",
    "CRM",
    "Exports.",
    (
        RawTable(
            "crm_files", "contacts", crm_files.Contacts, ("crm_contact_id",), "modified_at", FileRead("*.csv", Csv())
        ),
    ),
)


def file(folder: Path, text: str | bytes) -> Path:
    path = folder / "sources.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes, system: SourceSystem = SHOP) -> PermanentError:
    path = file(folder, text)
    with pytest.raises(PermanentError) as caught:
        apply(read_sources_file(path), path, system)
    assert str(path) in caught.value.where
    return caught.value


def test_a_table_is_read_from_where_the_file_says(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        """
        sources:
          shop_db:
            tables:
              orders:
                table: sales.orders
                columns:
                  order_id: id
                  currency: "'USD'"
                incremental: false
              payments:
                query: SELECT * FROM pay
        """,
    )
    orders, payments = apply(read_sources_file(path), path, SHOP)
    assert orders.read == DatabaseRead(
        "sales.orders", None, {"order_id": "id", "currency": "'USD'"}, is_incremental=False
    )
    assert isinstance(payments.read, DatabaseRead)
    assert payments.read.query == "SELECT * FROM pay"
    assert payments.read.is_incremental
    assert (orders.label, orders.key, orders.cursor, orders.contract) == (
        *(ORDERS.label, ORDERS.key, ORDERS.cursor),
        ORDERS.contract,
    )


def test_only_what_the_file_names_exists(tmp_path: Path) -> None:
    path = file(tmp_path, "sources: {shop_db: {tables: {payments: }}}")
    mapping = read_sources_file(path)
    assert apply(mapping, path, SHOP) == [PAYMENTS]
    assert apply(mapping, path, CRM) == []
    path = file(tmp_path, "sources: {shop_db: {}, crm_files: }")
    mapping = read_sources_file(path)
    assert apply(mapping, path, SHOP) == list(SHOP.tables)
    assert apply(mapping, path, CRM) == list(CRM.tables)
    assert apply(read_sources_file(file(tmp_path, "sources: {shop_db: {tables: {}}}")), path, SHOP) == []


def test_without_a_sources_file_every_table_exists() -> None:
    assert mapped_tables(SHOP) == [ORDERS, PAYMENTS]


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, "sources: {shop_db: {tables: {payments: }}}")
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", str(path))
    assert mapped_tables(SHOP) == [PAYMENTS]
    file(tmp_path, "sources: {shop_db: {tables: {orders: }}}")
    os.utime(path, ns=(1, 1))
    assert mapped_tables(SHOP) == [ORDERS]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sources:\n  shop_db:\n    tables: [\n", "line 4"),
        ("sources:\n\tshop_db:\n", "line 2"),
        ("sources:\n  shop_db: {tables: {orders: {table: 'a}}}\n", "line 3"),
        ("sources: a: b\n", "line 1"),
        ("sources:\n  shop_db:\n    tables:\n      orders: {}\n      orders: {table: b}\n", "line 5"),
        ("sources: {? [a, b] : c}\n", "line 1"),
        ("sources: !!python/object:os.system {}\n", "line 1"),
    ],
)
def test_malformed_yaml_is_named_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    error = refusal(tmp_path, text)
    assert "not valid YAML" in error.what
    assert line in error.where


def test_characters_that_yaml_forbids_are_named(tmp_path: Path) -> None:
    assert "not valid YAML" in refusal(tmp_path, "sources: {shop_db: \x07}").what


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "file: "),
        ("# nothing but a comment\n", "file: "),
        ("[]", "file: "),
        ("just text", "file: "),
        ("tables: {}", "sources: Field required"),
        ("sources: {shop_db: {tables: {orders: {tabel: a}}}}", "sources.shop_db.tables.orders.tabel: "),
        ("sources: {shop_db: {tables: {orders: a}}}", "sources.shop_db.tables.orders: "),
        ("sources: {shop_db: {tables: {orders: {columns: {order_id: 5}}}}}", "columns.order_id: "),
        ("sources: {shop_db: {tables: {orders: {incremental: perhaps}}}}", "incremental: "),
        ("sources: {shop_db: {tables: {orders: {table: a, query: SELECT 1}}}}", "either 'table' or 'query'"),
    ],
)
def test_what_does_not_fit_is_named_by_its_entry(tmp_path: Path, text: str, problem: str) -> None:
    error = refusal(tmp_path, text)
    assert "does not fit" in error.what
    assert problem in error.what
    assert "your-own-shop" in error.remedy


def test_unknown_tables_and_columns_are_named_with_those_there_are(tmp_path: Path) -> None:
    error = refusal(tmp_path, "sources: {shop_db: {tables: {order: , payments: }}}")
    assert error.what == "shop_db: no raw table order"
    assert error.remedy == "use one of: orders, payments"
    error = refusal(tmp_path, "sources: {shop_db: {tables: {orders: {columns: {id: x, order_id: y}}}}}")
    assert error.what == "shop_db/orders: no column id"
    assert "order_id, customer_id" in error.remedy


def test_an_unknown_source_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = file(tmp_path, "sources: {shop: {}, crm_files: {}}")
    with pytest.raises(PermanentError, match="no source system shop") as caught:
        check_sources(read_sources_file(path), [SHOP, CRM], path)
    assert caught.value.remedy == "use one of: shop_db, crm_files"
    check_sources(read_sources_file(file(tmp_path, "sources: {shop_db: {}}")), [SHOP, CRM], path)


def test_a_table_that_is_not_read_from_a_database_takes_no_mapping(tmp_path: Path) -> None:
    error = refusal(tmp_path, "sources: {crm_files: {tables: {contacts: {table: x}}}}", CRM)
    assert "takes no mapping" in error.what


def test_a_file_that_is_no_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, b"sources:\n  shop_db: # caf\xe9\n")
    assert "not UTF-8" in error.what
    assert error.where.endswith("line 2")


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "absent.yml"
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", str(absent))
    for attempt in (
        lambda: mapped_tables(SHOP),
        lambda: read_sources_file(absent),
        lambda: read_sources_file(tmp_path),
    ):
        with pytest.raises(PermanentError, match="cannot be read") as caught:
            attempt()
        assert "SHOPSPHERE_SOURCES_FILE" in caught.value.remedy
