"""The commands, called as a person calls them, but in this process."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from resources.settings import load_settings
from resources.warehouse import open_warehouse
from shopsphere_assets.cli.main import main
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.connections import open_source
from shopsphere_assets.ingestion.ledger import read_state
from tests.raw_tables import good_row

ORDERS = next(table for table in SHOP_DB.tables if table.name == "orders")


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    status: int
    output: str
    errors: str

    @property
    def usage_error(self) -> str:
        """What was said of the arguments, without the frame around it."""
        return " ".join(re.sub("[│╭╮╰╯─]", " ", self.errors).split())


Shopsphere = Callable[..., Answer]


@pytest.fixture
def shopsphere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shopsphere:
    """Runs ``shopsphere`` with the given arguments."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["shopsphere", *arguments])
        capsys.readouterr()
        status: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return Answer(int(status or 0), printed.out, printed.err)

    return run


@pytest.fixture
def read_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a shop whose three orders the platform has read; beside it an empty folder of tickets."""
    path = tmp_path / "shop.db"
    rows = [{**good_row(ORDERS), "order_id": str(number)} for number in (1, 2, 3)]
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE orders ({', '.join(rows[0])})")
        connection.executemany(
            f"INSERT INTO orders VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row.values()) for row in rows]
        )
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", f"sqlite://{path}")
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(tmp_path))
    Path("sources.yaml").write_text("sources: {shop_db: {tables: {orders: }}, support: {}}")
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", "sources.yaml")
    settings = load_settings()
    warehouse = open_warehouse(settings.warehouse)
    warehouse.prepare()
    warehouse.ensure_tables([ORDERS.definition])
    state = read_state(warehouse, [ORDERS])["orders"]
    ingest(ORDERS, open_source(SHOP_DB, settings), Destination(warehouse, settings.lake), state=state, run_id="run")
    return path
