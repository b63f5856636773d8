"""Loads one table with dlt. Run by the Python of dlt's own environment; imports nothing of this project.

``--tuned`` is dlt at its fastest as far as its documentation tells: rows as Arrow through ConnectorX, no
normalisation row by row, files that several workers load at once, in the format the destination takes fastest.
``--arrow`` is what its documentation recommends first where speed matters, without further settings. Without either
dlt does what it does when nothing is said: rows as Python dictionaries through SQLAlchemy.
"""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import Any

_ARROW_ROWS = 200_000
# Files of seven chunks each. Where the last chunk fills a file dlt writes another one without rows, which its
# loader of Parquet files does not survive; five, ten and twenty million rows do not end so.
_FILE_ROWS = 1_400_000


def main() -> None:
    """Load or merge the table; what goes wrong ends the process with dlt's own message."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="mysql:// or postgresql://")
    parser.add_argument("--target", required=True, help="postgresql:// or duckdb:///")
    parser.add_argument("--folder", type=Path, required=True, help="where dlt keeps its state and its files")
    parser.add_argument("--table", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--cursor", required=True)
    parser.add_argument("--since", type=datetime.fromisoformat, help="merge what changed after this moment")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--arrow", action="store_true", help="the pyarrow backend, and nothing else")
    arguments = parser.parse_args()
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["DLT_DATA_DIR"] = str(arguments.folder)
    if arguments.tuned:
        os.environ["NORMALIZE__WORKERS"] = os.environ["LOAD__WORKERS"] = str(os.cpu_count())
        os.environ["DATA_WRITER__FILE_MAX_ITEMS"] = str(_FILE_ROWS)

    # After the environment, from which dlt takes its settings.
    import dlt
    from dlt.sources.sql_database import sql_table

    driver = "mysql+pymysql" if arguments.source.startswith("mysql") else "postgresql+psycopg2"
    options: dict[str, Any] = {"backend": "pyarrow"} if arguments.arrow else {}
    if arguments.tuned:
        options = {
            "backend": "connectorx",
            "chunk_size": _ARROW_ROWS,
            "backend_kwargs": {"return_type": "arrow_stream", "conn": arguments.source, "batch_size": _ARROW_ROWS},
            "reflection_level": "full_with_precision",
        }
    if arguments.since:
        # As its users write it; MariaDB's column has no zone, so neither has the value.
        options["incremental"] = dlt.sources.incremental(
            arguments.cursor, initial_value=arguments.since.replace(tzinfo=None)
        )
    resource = sql_table(
        credentials=driver + arguments.source[arguments.source.index(":") :], table=arguments.table, **options
    )
    is_postgres = arguments.target.startswith("postgresql")
    path = arguments.target.removeprefix("duckdb://")
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(arguments.folder),
        destination=dlt.destinations.postgres(arguments.target) if is_postgres else dlt.destinations.duckdb(path),
        dataset_name="bench",
    )
    pipeline.run(
        resource,
        primary_key=arguments.key,
        write_disposition="merge" if arguments.since else "replace",
        # Into PostgreSQL by ADBC: half of the work that CSV takes.
        **({"loader_file_format": "parquet"} if arguments.tuned else {}),
    )


if __name__ == "__main__":
    main()
