"""Another company's shop by configuration alone: the CDNOW purchases, from a real MariaDB to published marts.

What the file says and what the marts say must agree to the cent, day by day.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql
import pytest
import yaml

from resources.settings import Settings

_LOOKBACK = timedelta(hours=Settings.model_fields["lookback_hours"].default)


@dataclass
class Day:
    """The sales of a day."""

    orders: int = 0
    units: int = 0
    gross_amount: Decimal = Decimal("0.00")


@dataclass(frozen=True)
class Purchase:
    """A line of the file."""

    customer_id: int
    purchased_on: date
    quantity: int
    dollars: Decimal


@pytest.fixture(scope="module")
def purchases(repository: Path) -> list[Purchase]:
    """The purchases as the file has them."""
    path = repository.parent / "shared" / "data" / "cdnow" / "CDNOW_master.txt"
    if not path.exists():
        pytest.skip(f"the CDNOW purchases are not at {path}")
    lines = [line.split() for line in path.read_text().splitlines()[1:] if line.strip()]
    return [
        Purchase(int(who), date(int(on[:4]), int(on[4:6]), int(on[6:])), int(many), Decimal(dollars))
        for who, on, many, dollars in lines
    ]


@pytest.fixture
def environment(mariadb_url: str, purchases: list[Purchase], repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of docs/how-to/your-own-shop.md, on a MariaDB that holds the purchases."""
    parts = urlsplit(mariadb_url)
    connection = pymysql.connect(
        host=str(parts.hostname),
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/"),
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE purchases (purchase_id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, customer_id INT NOT NULL,"
            " purchased_on DATE NOT NULL, quantity INT NOT NULL, dollars DECIMAL(10, 2) NOT NULL, KEY (purchased_on))"
        )
        cursor.executemany(
            "INSERT INTO purchases (customer_id, purchased_on, quantity, dollars) VALUES (%s, %s, %s, %s)",
            [(p.customer_id, p.purchased_on, p.quantity, p.dollars) for p in purchases],
        )
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", mariadb_url)
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", str(repository / "docs" / "how-to" / "cdnow.yml"))


def shopsphere(*arguments: str, expected: int = 0) -> str:
    """What the command prints."""
    command = [str(Path(sys.executable).with_name("shopsphere")), *arguments]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == expected, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def published_days() -> dict[date, Day]:
    """The published sales by day."""
    text = shopsphere(
        "sql", "select sales_date, orders, units, gross_amount, currency from fct_daily_sales", "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["currency"] for row in rows} == {"USD"}
    return {
        date.fromisoformat(row["sales_date"]): Day(int(row["orders"]), int(row["units"]), Decimal(row["gross_amount"]))
        for row in rows
    }


def counts() -> dict[str, tuple[int, ...]]:
    """Per raw table: rows read, loaded, quarantined and excluded, by all batches together."""
    tables = json.loads(shopsphere("status", "--json"))["tables"]
    names = ("rows_read", "rows_loaded", "rows_quarantined", "rows_excluded")
    return {table["table"]: tuple(table[name] for name in names) for table in tables}


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("environment")
def test_the_marts_agree_with_the_file_to_the_cent(purchases: list[Purchase]) -> None:
    expected: dict[date, Day] = defaultdict(Day)
    for purchase in purchases:
        day = expected[purchase.purchased_on]
        day.orders += 1
        day.units += purchase.quantity
        day.gross_amount += purchase.dollars

    shopsphere("run")
    found = published_days()
    assert found == expected
    assert sum(day.gross_amount for day in found.values()) == sum(p.dollars for p in purchases)
    every = len(purchases)
    assert counts() == dict.fromkeys(("shop_db/orders", "shop_db/order_items"), (every, every, 0, 0))

    # The second run reads the look-back again, which changes nothing.
    shopsphere("run")
    newest = max(p.purchased_on for p in purchases)
    again = every + sum(p.purchased_on >= newest - _LOOKBACK for p in purchases)
    assert counts() == dict.fromkeys(("shop_db/orders", "shop_db/order_items"), (again, again, 0, 0))
    assert published_days() == expected
    assert json.loads(shopsphere("status", "--json"))["publication"]["version"] == 2


@pytest.mark.usefixtures("environment")
def test_the_doctor_finds_the_example_in_order() -> None:
    report = json.loads(shopsphere("doctor", "--json"))
    assert report["is_healthy"]
    assert report["counts"]["warning"] == 0
    said = {finding["subject"]: finding["what"] for finding in report["findings"]}
    assert "1,000 rows sampled, all good" in said["shop_db/orders"]
    assert "1,000 rows sampled, all good" in said["shop_db/order_items"]


@pytest.mark.usefixtures("environment")
def test_a_mapping_of_a_column_that_is_not_there_names_the_column(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = yaml.safe_load((repository / "docs" / "how-to" / "cdnow.yml").read_text())
    tables = mapping["sources"]["shop_db"]["tables"]
    tables["order_items"]["columns"]["line_amount"] = "dolars"
    del tables["orders"]["columns"]["placed_at"]
    Path("wrong.yml").write_text(yaml.safe_dump(mapping))
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", "wrong.yml")
    report = json.loads(shopsphere("doctor", "--json", expected=1))
    failed = {f["subject"]: f for f in report["findings"] if f["status"] == "failed"}
    assert set(failed) == {"shop_db/orders.placed_at", "shop_db/order_items.line_amount"}
    assert "did you mean dollars?" in failed["shop_db/order_items.line_amount"]["what_to_do"]
    assert "purchased_on" in failed["shop_db/orders.placed_at"]["what_to_do"]
