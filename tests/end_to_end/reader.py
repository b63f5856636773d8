"""A reader of marts in a process of its own: ``python -m tests.end_to_end.reader platform|tool URL QUERY``.

``platform`` asks as ``shopsphere sql`` does. ``tool`` knows nothing of the platform: it opens the current
publication with the engine's own driver, as an analyst's program would. Either asks until its standard input is
closed and prints one JSON list per answer; an error is an answer with the error's text.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

PACE_SECONDS = 0.05
"""How long a reader rests between two questions: the builds need the processor too."""

Ask = Callable[[], Sequence[Any]]


def platform_reader(url: str, query: str) -> Ask:
    """Asks through the platform's warehouse."""
    from resources.warehouse import open_warehouse

    warehouse = open_warehouse(url)

    def ask() -> list[Any]:
        [row] = warehouse.read_publication(query).to_pylist()
        return list(row.values())

    return ask


def tool_reader(location: str, query: str) -> Ask:
    """Asks with the engine's driver: ``location`` is a PostgreSQL URL or the path of a DuckDB publication."""
    if location.startswith("postgresql://"):
        import psycopg

        connection = psycopg.connect(location, autocommit=True)

        def ask_server() -> Sequence[Any]:
            [row] = connection.execute(query.encode()).fetchall()
            return list(row)

        return ask_server
    import duckdb

    def ask_file() -> Sequence[Any]:
        with duckdb.connect(location, read_only=True) as publication:
            [row] = publication.execute(query).fetchall()
            return list(row)

    return ask_file


def answer_of(ask: Ask) -> list[str]:
    """The values of one answer as text, or the text of what went wrong."""
    try:
        return [str(value) for value in ask()]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def main() -> None:
    """Ask until standard input is closed."""
    kind, where, query = sys.argv[1:]
    ask = {"platform": platform_reader, "tool": tool_reader}[kind](where, query)
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    while not stop.wait(PACE_SECONDS):
        sys.stdout.write(json.dumps(answer_of(ask)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
