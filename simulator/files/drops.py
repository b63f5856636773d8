"""The sink that drops the day's files into their folders.

Belongs here: which file goes where, what is sent late, and the truth about what the files add. Does not
belong here: formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from simulator.files.crm_files import contacts_file, interactions_file, loyalty_file, suppliers_file
from simulator.files.support import is_truncated_on, tickets_file, truncated
from simulator.files.web_logs import access_file, event_files
from simulator.files.writing import Planted, truth_frame, write_atomically, write_parquet_atomically
from simulator.sinks import Day


class FileDrops:
    """The drop folder: a sink for the world's days.

    ``folder``: where the files appear, by source and table. ``truth_folder``: outside it, what the files
    add to the world's truth (``day=NNNN-files.parquet``), where each request stands in the access logs
    (``lines/day=NNNN.parquet``), and whole files that are still to be sent (``pending/``).
    """

    def __init__(self, folder: Path | str, truth_folder: Path | str) -> None:
        self.folder = Path(folder)
        self.truth_folder = Path(truth_folder)

    def write(self, day: Day) -> None:
        """Write the day's files, each whole or not at all; the same day gives the same bytes."""
        self._send_pending(day)
        planted: list[Planted] = []
        for table, path, content, errors in self._files(day):
            write_atomically(self.folder / path, content)
            planted += errors
            if table == "web_logs/access_log":
                self._note_lines(day, path)
        write_parquet_atomically(
            self.truth_folder / f"day={day.number:04d}-files.parquet", truth_frame(day.number, planted)
        )

    def _files(self, day: Day) -> Iterator[tuple[str, str, bytes, list[Planted]]]:
        """The day's files: table, path inside the folder, content, planted errors."""
        date = day.moment.isoformat()
        for table, rows in day.tables.items():
            if rows.is_empty():
                continue
            match table:
                case "web_logs/events":
                    for name, content in event_files(day, rows).items():
                        yield table, f"web_logs/events/{name}", content, []
                case "web_logs/access_log":
                    yield table, f"web_logs/access/access-{date}.log", access_file(rows), []
                case "crm_files/contacts":
                    content, errors = contacts_file(day, rows)
                    yield table, f"crm_files/contacts/contacts-{date}.csv", content, errors
                case "crm_files/loyalty_accounts":
                    yield table, f"crm_files/loyalty/loyalty-{date}.txt", loyalty_file(rows), []
                case "crm_files/interactions":
                    content = interactions_file(day, rows)
                    yield table, f"crm_files/interactions/interactions-{date}.json", content, []
                case "crm_files/suppliers":
                    yield table, f"crm_files/suppliers/suppliers-{date}.xml", suppliers_file(day, rows), []
                case "support/tickets":
                    name, content = tickets_file(day, rows)
                    path = f"support/{name}"
                    if is_truncated_on(day):
                        write_atomically(self._pending_folder(day.number) / path, content)
                        error = Planted("support", "tickets", path, "truncated_file", "line.truncated", False)
                        yield table, path, truncated(content), [error]
                    else:
                        yield table, path, content, []

    def _pending_folder(self, day_number: int) -> Path:
        return self.truth_folder / "pending" / f"day={day_number:04d}"

    def _send_pending(self, day: Day) -> None:
        """Send again, whole and under the same name, what earlier days sent in part."""
        for folder in sorted((self.truth_folder / "pending").glob("day=*")):
            if int(folder.name.removeprefix("day=")) >= day.number:
                continue
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.name.endswith(".tmp"):
                    write_atomically(self.folder / path.relative_to(folder), path.read_bytes())
                    path.unlink()

    def _note_lines(self, day: Day, path: str) -> None:
        """Note where each request stands: the log has no column for the world's own row key."""
        rows = day.tables["web_logs/access_log"]
        frame = rows.select(
            pl.lit("web_logs").alias("source"),
            pl.lit("access_log").alias("table_name"),
            pl.col("log_line_id").alias("row_key"),
            pl.lit(path).alias("path"),
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"),
        )
        write_parquet_atomically(self.truth_folder / "lines" / f"day={day.number:04d}.parquet", frame)
