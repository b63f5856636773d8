"""What the simulated sources hold, read without the platform's readers.

Belongs here: one frame of every row that a source gives, with what tells it from the others, and the same
identity for entries of the truth and of the quarantine. Not here: expectations.

A row's ``identity`` is its key in databases and services, where a later version takes the place of an earlier
one; in files, which keep what they once delivered, it is the key and the day; in the access log, whose lines
have no key, the file and the line.
"""

from __future__ import annotations

import json
import re
import zlib

import polars as pl
import psycopg
from psycopg import sql

from simulator.apis.store import STORED_TABLES
from simulator.files.support import is_truncated_on
from simulator.world import KEYS
from tests.end_to_end.pipeline import API_SOURCES, DATABASE_SOURCES, FILE_SOURCES, TABLES, Shop

SCHEMA = {"label": pl.String, "row_key": pl.String, "identity": pl.String, "day": pl.Int64}

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_RAGGED_KEY = re.compile(r'^"?(C99\d+)')


def delivered_rows(shop: Shop) -> pl.DataFrame:
    """Every row at the sources as the next complete read of them finds it: :data:`SCHEMA`, in source order."""
    parts = []
    for label in TABLES:
        source, name = label.split("/")
        if source in DATABASE_SOURCES:
            parts.append(_database_rows(shop, source, name))
        elif source in API_SOURCES:
            stored = STORED_TABLES[label]
            keys = [str(row[0]) for row in shop.store.rows(f"SELECT {stored.key} FROM {stored.name}")]
            parts.append(_keyed(label, keys))
        elif label == "web_logs/access_log":
            parts.append(_access_log_rows(shop))
        else:
            parts += _file_rows(shop, label)
    return pl.concat(parts)


def _keyed(label: str, keys: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"row_key": keys}, schema={"row_key": pl.String}).select(
        pl.lit(label).alias("label"),
        "row_key",
        pl.col("row_key").alias("identity"),
        pl.lit(None, pl.Int64).alias("day"),
    )


def _database_rows(shop: Shop, source: str, name: str) -> pl.DataFrame:
    label = f"{source}/{name}"
    statement = sql.SQL("select {}::text from {}").format(sql.Identifier(KEYS[label]), sql.Identifier(name))
    with psycopg.connect(shop.databases[source]) as connection:
        return _keyed(label, [key for (key,) in connection.execute(statement).fetchall()])


def _access_log_rows(shop: Shop) -> pl.DataFrame:
    lines = [pl.read_parquet(file) for file in sorted((shop.home / "truth" / "lines").glob("day=*.parquet"))]
    return pl.concat(lines).select(
        pl.lit("web_logs/access_log").alias("label"),
        "row_key",
        pl.format("{}:{}", pl.col("path").str.strip_prefix("web_logs/"), "line").alias("identity"),
        pl.lit(None, pl.Int64).alias("day"),
    )


def _file_rows(shop: Shop, label: str) -> list[pl.DataFrame]:
    parts = []
    for day in shop.days:
        rows = day.tables[label]
        if label == "support/tickets" and is_truncated_on(day) and day.number == shop.simulation.next_day - 1:
            rows = rows.head(whole_lines(shop, f"tickets-{day.moment.isoformat()}.json.gz"))
        if rows.height:
            key = pl.col(KEYS[label])
            parts.append(
                rows.select(
                    pl.lit(label).alias("label"),
                    key.alias("row_key"),
                    pl.format("{} of {}", key, pl.lit(day.moment.isoformat())).alias("identity"),
                    pl.lit(day.number, pl.Int64).alias("day"),
                )
            )
    return parts


def whole_lines(shop: Shop, name: str) -> int:
    """The number of whole lines in a compressed export of tickets that breaks off."""
    content = (shop.folder("support") / name).read_bytes()
    return zlib.decompressobj(wbits=31).decompress(content).count(b"\n")


def identities_in_truth(shop: Shop, truth: pl.DataFrame) -> pl.DataFrame:
    """The planted errors with ``label`` and ``identity``; a row of the access log that was doubled comes twice."""
    named = truth.with_columns(pl.format("{}/{}", "source", "table_name").alias("label"))
    date = (pl.lit(shop.simulation.parameters.start) + pl.duration(days=pl.col("day"))).dt.to_string("%Y-%m-%d")
    keyed = named.filter(pl.col("label") != "web_logs/access_log").with_columns(
        pl.when(pl.col("source").is_in(FILE_SOURCES))
        .then(pl.format("{} of {}", "row_key", date))
        .otherwise(pl.col("row_key"))
        .alias("identity")
    )
    logged = named.filter(pl.col("label") == "web_logs/access_log").join(
        _access_log_rows(shop).select("row_key", "identity"), on="row_key", how="left"
    )
    return pl.concat([keyed, logged])


def corrected_cells(corrections: pl.DataFrame) -> pl.DataFrame:
    """The cells that were loaded corrected: ``label``, ``row_key``, ``column_name``, ``original``, ``corrected``.

    A line of the access log has its place as its ``row_key``.
    """
    return corrections.filter("is_applied").select(
        pl.format("{}/{}", "source", "table_name").alias("label"),
        pl.coalesce("place", "row_key").alias("row_key"),
        *("column_name", "original", "corrected"),
    )


def identities_in_quarantine(quarantine: pl.DataFrame) -> pl.DataFrame:
    """The quarantine's entries with ``label`` and ``identity``."""
    identities = []
    for source, table, key, position, payload in quarantine.select(
        "source", "table_name", "row_key", "position", "payload"
    ).iter_rows():
        found = _DATE.search(position)
        if (source, table) == ("web_logs", "access_log"):
            identities.append(position)
        elif source in FILE_SOURCES and found is not None:
            ragged = _RAGGED_KEY.match(json.loads(payload).get("line", ""))
            identities.append(f"{ragged[1] if ragged else key or position.rpartition(':')[0]} of {found[0]}")
        else:
            identities.append(key)
    label = pl.format("{}/{}", "source", "table_name").alias("label")
    return quarantine.with_columns(label, pl.Series("identity", identities, dtype=pl.String))
