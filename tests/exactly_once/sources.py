"""A shop whose tables and files a test changes while the platform reads them, on MariaDB or PostgreSQL.

Belongs here: what is at the sources and how it changes. Does not belong here: the platform, and what is expected.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

_MOMENT = {"mysql": "datetime(6)", "postgresql": "timestamptz"}
_FLAG = {"mysql": "tinyint(1)", "postgresql": "boolean"}
_NOW = {"mysql": "now(6)", "postgresql": "clock_timestamp()"}
_KEYS = {"refunds": "refund_id", "payments": "payment_id", "customers": "customer_id"}
_LONG_AGO = "'2026-01-01 12:00:00'"

# An event besides its number.
_EVENT = {
    "event_type": "page_view",
    "visitor_id": "v1",
    "customer_id": "1",
    "url": "https://shop.example/",
    **dict.fromkeys(("referrer", "utm_source", "utm_medium", "utm_campaign", "search_query", "product_id")),
    **dict.fromkeys(("order_id", "quantity", "user_agent", "ip_address")),
    "occurred_at": "2026-03-01T10:00:00.000Z",
    "received_at": "2026-03-01T10:00:00.000Z",
}


@dataclass(frozen=True)
class ShopSource:
    """Tables ``refunds``, ``customers`` and ``payments`` in a database, and a folder of event files.

    ``url``: of the database. ``files``: the folder below which event files are dropped.
    """

    url: str
    files: Path

    @property
    def dialect(self) -> str:
        """``mysql`` or ``postgresql``."""
        return self.url.partition(":")[0]

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection of its own; nothing is committed by itself."""
        parts = urlsplit(self.url)
        connection: Any
        if self.dialect == "postgresql":
            connection = psycopg.connect(self.url)
        else:
            connection = pymysql.connect(
                host=parts.hostname or "127.0.0.1",
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=parts.path[1:],
                charset="utf8mb4",
                init_command="SET time_zone = '+00:00'",
            )
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.connected() as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def create(self) -> None:
        """Create the tables, empty, and the folder."""
        moment, flag = _MOMENT[self.dialect], _FLAG[self.dialect]
        self.execute(
            "CREATE TABLE refunds (refund_id bigint PRIMARY KEY, order_id bigint, payment_id bigint,"
            f" reason varchar(40), currency varchar(3), amount decimal(18,2), refunded_at {moment},"
            f" updated_at {moment})",
            "CREATE TABLE payments (payment_id bigint PRIMARY KEY, order_id bigint, method varchar(20),"
            " status varchar(20), currency varchar(3), amount decimal(18,2), provider_reference varchar(40),"
            f" paid_at {moment}, updated_at {moment})",
            "CREATE TABLE customers (customer_id bigint PRIMARY KEY, email varchar(100), first_name varchar(50),"
            " last_name varchar(50), phone varchar(30), birth_date date, country_code varchar(2), locale varchar(10),"
            f" is_marketing_opt_in {flag}, registered_at {moment}, updated_at {moment})",
            "CREATE INDEX refunds_by_update ON refunds (updated_at)",
        )
        (self.files / "events").mkdir(parents=True)

    def insert(self, table: str, *keys: int, amount: str = "10.00") -> str:
        """The statement that inserts rows with these keys; ``amount`` decides whether they keep their contract."""
        now = _NOW[self.dialect]
        bad = amount.startswith("-")

        def row(key: int) -> str:
            match table:
                case "refunds":
                    return f"({key}, {key}, NULL, 'late', 'EUR', {amount}, {_LONG_AGO}, {now})"
                case "payments":
                    return f"({key}, {key}, 'card', 'captured', 'EUR', {amount}, 'p{key}', {_LONG_AGO}, {now})"
                case _:
                    email = "nobody" if bad else f"c{key}@example.org"
                    names = f"'{email}', 'Ada{key}', 'Løvelace', NULL, NULL, 'DE', 'de_DE'"
                    return f"({key}, {names}, true, {_LONG_AGO}, {now})"

        return f"INSERT INTO {table} VALUES {', '.join(map(row, keys))}"

    def update(self, table: str, key: int, amount: str) -> str:
        """The statement that changes a row, and repairs it where it was bad."""
        column = f"email = 'c{key}@example.org', last_name = '{amount}'" if table == "customers" else f"amount={amount}"
        now = _NOW[self.dialect]
        return f"UPDATE {table} SET {column}, updated_at = {now} WHERE {_KEYS[table]} = {key}"

    def delete(self, table: str, *keys: int) -> str:
        """The statement that deletes rows."""
        return f"DELETE FROM {table} WHERE {_KEYS[table]} IN ({', '.join(map(str, keys))})"

    def drop_events(self, name: str, numbers: Sequence[str]) -> None:
        """Put a file with these events into the folder; it is whole when it has its name."""
        lines = [json.dumps({**_EVENT, "event_id": number}) for number in numbers]
        unfinished = self.files / f"{name}.tmp"
        unfinished.write_text("\n".join(lines) + "\n")
        unfinished.rename(self.files / "events" / f"events-{name}.jsonl")


TABLES = tuple(_KEYS)


def first_state(shop: ShopSource) -> None:
    """What the shop holds before the first run: good and bad rows in every table."""
    shop.create()
    shop.execute(
        *(shop.insert(table, *range(1, 41)) for table in TABLES),
        *(shop.insert(table, *range(41, 45), amount="-1.00") for table in TABLES),
    )
    shop.drop_events("first", [f"e{n}" for n in range(30)])


def changed_state(shop: ShopSource) -> None:
    """What changes after it: new, changed, deleted, bad and repaired rows, and one more file."""
    for table in TABLES:
        shop.execute(
            shop.insert(table, *range(100, 120)),
            shop.insert(table, 120, 121, amount="-2.00"),
            *(shop.update(table, key, "77.00") for key in (1, 2, 41)),
            shop.delete(table, 3, 4, 42),
        )
        shop.execute(shop.update(table, 5, "5.55"), shop.update(table, 1, "78.00"))
    shop.drop_events("second", ["e1", *(f"f{n}" for n in range(30)), ""])


class Writers:
    """Threads that insert, change, repair and delete rows of their own and drop files, until they are stopped.

    A row that was ever good stays good, so that what a reader finds at the end does not depend on what it saw.
    ``seed`` decides what they do, the clock how much of it.
    """

    def __init__(self, shop: ShopSource, *, seed: int, count: int = 2, pause: float = 0.05) -> None:
        self._shop = shop
        self._stop = threading.Event()
        self._pause = pause
        self.operations = 0
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, seed), daemon=True) for number in range(1, count + 1)
        ]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _run(self, number: int, seed: int) -> None:
        try:
            self._write(number, random.Random(f"{seed}/{number}"))
        except BaseException as error:
            self.failures.append(error)

    def _write(self, number: int, chance: random.Random) -> None:
        next_key = 1_000_000 * number
        standing: dict[str, list[int]] = {table: [] for table in TABLES}
        bad: dict[str, list[int]] = {table: [] for table in TABLES}
        with self._shop.connected() as connection:
            cursor = connection.cursor()
            while not self._stop.is_set():
                for _ in range(chance.randint(1, 5)):
                    table, amount = chance.choice(TABLES), f"{chance.randint(1, 99_999) / 100:.2f}"
                    match chance.random():
                        case x if x < 0.4 or not standing[table]:
                            keys = list(range(next_key, next_key + chance.randint(1, 8)))
                            next_key += len(keys)
                            standing[table] += keys
                            cursor.execute(self._shop.insert(table, *keys))
                        case x if x < 0.5:
                            bad[table].append(next_key)
                            cursor.execute(self._shop.insert(table, next_key, amount="-" + amount))
                            next_key += 1
                        case x if x < 0.75:
                            cursor.execute(self._shop.update(table, chance.choice(standing[table]), amount))
                        case x if x < 0.82 and bad[table]:
                            standing[table].append(bad[table].pop(chance.randrange(len(bad[table]))))
                            cursor.execute(self._shop.update(table, standing[table][-1], amount))
                        case _:
                            keys = bad[table] if bad[table] and chance.random() < 0.2 else standing[table]
                            cursor.execute(self._shop.delete(table, keys.pop(chance.randrange(len(keys)))))
                    self.operations += 1
                # Some transactions are committed late: their rows carry a time that is over.
                time.sleep(chance.random() * 0.2 if chance.random() < 0.1 else 0)
                connection.commit()
                if standing["refunds"] and chance.random() < 0.05:
                    cursor.execute(self._shop.update("refunds", standing["refunds"][0], "1.00"))
                    connection.rollback()
                if chance.random() < 0.03:
                    name = f"{number}-{next_key}"
                    self._shop.drop_events(name, [f"{name}-{n}" for n in range(20)])
                    next_key += 1
                time.sleep(self._pause)
