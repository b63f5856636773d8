"""``shopsphere sql``: ask the current publication."""

from __future__ import annotations

import csv
import json
import math
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer


class Format(StrEnum):
    """How the rows are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, such as 'select * from fct_daily_sales limit 5'.")],
    form: Annotated[Format, typer.Option("--format", help="How the rows are shown.")] = Format.TABLE,
    version: Annotated[int | None, typer.Option(help="An earlier publication instead of the current one.")] = None,
) -> None:
    """Ask the published marts (read-only, also while a run writes)."""
    from resources.settings import load_settings
    from resources.warehouse import open_warehouse

    answer = open_warehouse(load_settings().warehouse).read_publication(query, version=version)
    # By position: two columns may have one name.
    rows = list(zip(*(column.to_pylist() for column in answer.columns), strict=True))
    match form:
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(answer.column_names)
            writer.writerows([[_plain(value) for value in row] for row in rows])
        case Format.JSON:
            records = [dict(zip(answer.column_names, map(_finite, row), strict=True)) for row in rows]
            json.dump(records, sys.stdout, indent=2, ensure_ascii=False, default=_plain)
            sys.stdout.write("\n")
        case Format.TABLE:
            _table(answer.column_names, rows)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    from decimal import Decimal

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=f"{len(rows):,} row{'' if len(rows) == 1 else 's'}", caption_justify="left")
    for position, name in enumerate(names):
        is_number = any(
            isinstance(row[position], int | float | Decimal) and not isinstance(row[position], bool)
            for row in rows[:100]
        )
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text(_plain(value)) for value in row])
    Console().print(table)


def _plain(value: Any) -> str:
    """A value as text: decimals with all their places, moments with their time zone, nothing for null."""
    from datetime import datetime
    from decimal import Decimal

    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(value)


def _finite(value: Any) -> Any:
    """A value for JSON, which knows no infinity and no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
