"""``shopsphere sql``: ask the current publication."""

from __future__ import annotations

import csv
import json
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
    rows = answer.to_pylist()
    match form:
        case Format.CSV:
            writer = csv.writer(sys.stdout)
            writer.writerow(answer.column_names)
            writer.writerows([[_plain(v) for v in row.values()] for row in rows])
        case Format.JSON:
            json.dump([{k: _json(v) for k, v in row.items()} for row in rows], sys.stdout, indent=2, ensure_ascii=False)
            sys.stdout.write("\n")
        case Format.TABLE:
            _table(answer.column_names, rows)


def _table(names: list[str], rows: list[dict[str, Any]]) -> None:
    from decimal import Decimal

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=f"{len(rows):,} row{'' if len(rows) == 1 else 's'}", caption_justify="left")
    for position, name in enumerate(names):
        values = [list(row.values())[position] for row in rows[:100]]
        is_number = any(isinstance(v, int | float | Decimal) and not isinstance(v, bool) for v in values)
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text("" if v is None else _plain(v)) for v in row.values()])
    Console().print(table)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else str(value)


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else _plain(value)
