"""dbt run inside the tests' process, which spares its start and the parsing with every build."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

from dbt.cli.main import dbtRunner

from tests.integration.dbt.warehouses import PROJECT, Warehouse

INCREMENTAL = "config.materialized:incremental"
"""Selects the incremental models."""


class Project:
    """The dbt project in ``folder`` on one warehouse."""

    def __init__(self, warehouse: Warehouse, folder: Path = PROJECT) -> None:
        self.warehouse = warehouse
        self.folder = folder
        self.parse()

    def parse(self) -> None:
        """Take in what changed in the project's files."""
        self._runner = dbtRunner()
        self._runner = dbtRunner(manifest=self._invoke("parse"))

    def run(self, *arguments: str) -> None:
        """Build models; a failure is an error that shows dbt's words."""
        self._invoke("run", *arguments)

    def full_queries(self) -> dict[str, str]:
        """The SQL of a full build of every incremental model, by its table."""
        compiled = self._invoke("compile", "--full-refresh", "--select", INCREMENTAL).results
        nodes = [result.node for result in compiled if result.node.resource_type == "model"]
        return {f"{node.schema}.{node.name}": node.compiled_code for node in nodes}

    def contents(self) -> dict[str, Any]:
        """Columns, types and rows of every model."""
        return {
            f"{schema}.{table}": (self.warehouse.columns(schema, table), self.warehouse.rows(schema, table))
            for schema, table in self.warehouse.tables()
        }

    def _invoke(self, *arguments: str) -> Any:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOPSPHERE_", "DBT_", "PG"))}
        folders = [f"--project-dir={self.folder}", f"--profiles-dir={self.folder}"]
        with mock.patch.dict(os.environ, kept | self.warehouse.environment, clear=True):
            done = self._runner.invoke(
                ["--quiet", "--no-use-colors", "--log-level-file=none", "--no-write-json", *arguments, *folders]
            )
        if not done.success:
            messages = [f"{r.node.name}: {r.message}" for r in getattr(done.result, "results", []) if r.message]
            raise AssertionError(f"dbt {' '.join(arguments)} failed: {done.exception}\n" + "\n".join(messages))
        return done.result
