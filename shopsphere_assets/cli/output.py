"""What the commands' results look like: tables for people and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def print_json(value: Any) -> None:
    """Write ``value`` to the standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def counts_table(title: str, counts: Sequence[str]) -> Table:
    """An empty table of raw tables, with columns of numbers with these headings."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("table", no_wrap=True)
    for heading in counts:
        table.add_column(heading, justify="right")
    return table
