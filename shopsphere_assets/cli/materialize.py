"""Runs the main job in this process: ingest, build, check, publish; with its progress shown.

A source that cannot be read does not hold up the others: the marts are built from what there is, except
those made of a table whose blocking checks failed.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from resources.errors import PermanentError, TransientError
from resources.settings import load_settings
from resources.warehouse import Publication, open_warehouse
from shopsphere_assets.definitions import defs
from shopsphere_assets.defs.operations.schedules import BUILD_JOB, INGEST_JOB
from shopsphere_assets.defs.raw.factory import NOTES
from shopsphere_assets.defs.warehouse.conditions import PUBLICATION_KEY

_OWN_ERRORS = (TransientError.__name__, PermanentError.__name__)


@dataclass
class Outcome:
    """What a run of the main job did."""

    rows: list[dict[str, int | str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    materialized: int = 0
    checks_passed: int = 0
    is_published: bool = False
    publication: Publication | None = None
    seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether everything was read, built, checked and published."""
        return not self.failures and self.publication is not None


_POOL_SECONDS = 3_600
_POOL_OVERFLOW = 20


def materialize(console: Console, *, verbose: bool = False) -> Outcome:
    """Run the jobs ``ingest`` and ``build`` on the instance of ``DAGSTER_HOME``."""
    began = time.perf_counter()
    outcome = Outcome()
    location = dg.Definitions.merge(defs())
    with dg.DagsterInstance.get() as instance, _progress(console, verbose) as handler:
        # Otherwise each of some two thousand reads and writes of a run's records connects anew.
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=_POOL_SECONDS, max_overflow=_POOL_OVERFLOW)
        ingest = location.resolve_job_def(INGEST_JOB)
        blocked = _execute(ingest, instance, outcome, handler, "Ingesting", None)
        build = location.resolve_job_def(BUILD_JOB)
        selection = None
        if blocked:
            graph = location.resolve_asset_graph()
            behind = dg.AssetSelection.assets(*blocked).downstream().resolve(graph)
            selection = sorted(set(build.asset_layer.executable_asset_keys) - behind)
            outcome.warnings.append(
                f"not built, because a check of what they are made of failed: {len(behind) - len(blocked)} assets"
            )
        _execute(build, instance, outcome, handler, "Building", selection)
    if outcome.is_published:
        outcome.publication = open_warehouse(load_settings().warehouse).current_publication()
    outcome.seconds = time.perf_counter() - began
    return outcome


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    outcome: Outcome,
    handler: "_Handler",
    title: str,
    selection: list[dg.AssetKey] | None,
) -> set[dg.AssetKey]:
    """Run one job and note what it did; returns the assets of which a blocking check failed."""
    handler.begin(title, len(selection if selection is not None else set(job.asset_layer.executable_asset_keys)))
    result = job.with_logger_defs({"progress": _logger(handler)}).execute_in_process(
        instance=instance,
        raise_on_error=False,
        asset_selection=selection,
        # Without this Dagster adds a logger of its own, which prints every event.
        run_config={"loggers": {"progress": {}}},
    )
    blocked: set[dg.AssetKey] = set()
    for event in result.all_events:
        if event.is_step_failure:
            if _is_interrupted(event):
                # Dagster takes Ctrl-C for the failure of the step that it ended.
                raise KeyboardInterrupt
            if event.step_failure_data.error and "AssetCheckFailed" in (event.step_failure_data.error.cls_name or ""):
                continue  # told by the check itself
            outcome.failures.append((event.step_key or "", _cause(event)))
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if evaluation.passed:
                outcome.checks_passed += 1
            elif evaluation.severity == dg.AssetCheckSeverity.ERROR:
                outcome.failures.append((evaluation.asset_key.to_user_string(), _failed_check(evaluation)))
                blocked.add(evaluation.asset_key)
            else:
                outcome.warnings.append(_warning(evaluation))
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            outcome.materialized += 1
            outcome.is_published |= event.asset_key == PUBLICATION_KEY
            _note_rows(event, outcome)
    return blocked


def _is_interrupted(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
            return True
        error = error.cause
    return False


def _failed_check(evaluation: dg.AssetCheckEvaluation) -> str:
    numbers = [
        f"{name} {value.value}"
        for name, value in evaluation.metadata.items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)
    ]
    return f"check {evaluation.check_name} failed{': ' if numbers else ''}{', '.join(numbers)}"


def _warning(evaluation: dg.AssetCheckEvaluation) -> str:
    asset = evaluation.asset_key.to_user_string()
    count = evaluation.metadata.get("dagster_dbt/failed_row_count")
    rows = f"{count.value:,} rows" if isinstance(count, dg.IntMetadataValue) else "rows"
    reference = re.match(r"relationships_.+?_(\w+_id)__\w+?__ref_(\w+?)_$", evaluation.check_name)
    if reference:
        column = reference[1].removeprefix(f"{evaluation.asset_key.path[-1].partition('_')[2]}_")
        return f"{asset}: {rows} name a {column} that {reference[2]} does not hold (late, or in quarantine)"
    return f"{asset}: {evaluation.description or f'{rows} fail {evaluation.check_name}'}"


def _note_rows(event: dg.DagsterEvent, outcome: Outcome) -> None:
    materialization = event.step_materialization_data.materialization
    path = materialization.asset_key.path
    if path[0] != "raw":
        return
    values = {name: getattr(value, "value", 0) for name, value in materialization.metadata.items()}
    notes = str(values.get(NOTES) or "").splitlines()
    outcome.warnings += [f"{'/'.join(path[1:])}: {note.removeprefix('- ')}" for note in notes]
    names = ("rows read", "rows loaded", "rows quarantined", "rows excluded")
    outcome.rows.append({"table": "/".join(path[1:]), **{name: int(values.get(name) or 0) for name in names}})


def _cause(event: dg.DagsterEvent) -> str:
    """The platform's own words, or else the innermost error's; the stack is in Dagster's records."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None and error.cls_name not in _OWN_ERRORS:
        error = error.cause
    if error is None:
        return "unknown"
    message = error.message.strip()
    return message.partition(": ")[2] if error.cls_name in _OWN_ERRORS else message


def show(outcome: Outcome, console: Console) -> None:
    """Print the summary of a run."""
    table = Table(title="What was read", title_justify="left")
    table.add_column("table")
    for name in ("read", "loaded", "quarantined", "excluded"):
        table.add_column(name, justify="right")
    for row in sorted(outcome.rows, key=lambda row: row["table"]):
        table.add_row(str(row["table"]), *[f"{row[f'rows {n}']:,}" for n in table_columns()])
    if outcome.rows:
        table.add_section()
        table.add_row("all", *[f"{sum(int(r[f'rows {n}']) for r in outcome.rows):,}" for n in table_columns()])
        console.print(table)
    for warning in outcome.warnings[:10]:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    if len(outcome.warnings) > 10:
        console.print(f"[yellow]…[/] and {len(outcome.warnings) - 10} more warnings, all in the UI")
    for name, cause in outcome.failures:
        console.print(f"[red]failed:[/] {escape(name)}", highlight=False)
        console.print(cause, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{outcome.materialized} assets materialized, {outcome.checks_passed} checks passed, {outcome.seconds:.0f} s"
    )
    if outcome.publication:
        published = outcome.publication
        console.print(
            f"[green]Published[/] version {published.version}: {published.tables} tables, {published.rows:,} rows"
        )
    else:
        console.print("[red]Nothing was published[/]; readers keep the version they had.")


def table_columns() -> tuple[str, ...]:
    """The counts of the summary."""
    return ("read", "loaded", "quarantined", "excluded")


class _Handler(logging.Handler):
    """Moves the progress bar with Dagster's events."""

    def __init__(self, progress: Progress, *, verbose: bool) -> None:
        super().__init__()
        self._progress = progress
        self._verbose = verbose
        self._task = progress.add_task("Starting", total=None)

    def begin(self, title: str, total: int) -> None:
        """A new job of ``total`` assets."""
        self._progress.update(self._task, description=title, total=total, completed=0)

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one of Dagster's log records."""
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if self._verbose:
            self._progress.console.print(record.getMessage(), highlight=False, markup=False, soft_wrap=True)
        if event is not None and event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            self._progress.advance(self._task)


def _logger(handler: _Handler) -> dg.LoggerDefinition:
    @dg.logger
    def progress_logger(_context: dg.InitLoggerContext) -> logging.Logger:
        # Dagster logs its events, such as materializations, at this level.
        logger = logging.Logger("shopsphere.run", level=logging.DEBUG)
        logger.addHandler(handler)
        return logger

    return progress_logger


@contextmanager
def _progress(console: Console, verbose: bool) -> Iterator[_Handler]:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as progress:
        handler = _Handler(progress, verbose=verbose)
        if verbose:
            yield handler
        else:
            with _quiet_output(console):
                yield handler


@contextmanager
def _quiet_output(console: Console) -> Iterator[None]:
    """dbt's own lines are in Dagster's compute logs; here they would tear the progress bar."""
    console.file = sys.stdout  # else the bar would follow dbt's lines
    with Path(os.devnull).open("w") as nowhere:
        before, sys.stdout = sys.stdout, nowhere
        try:
            yield
        finally:
            sys.stdout = before


def fail_abandoned_runs() -> None:
    """Mark runs whose process died with an earlier demo as failed, so that they hold no place in the queue."""
    under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=under_way)):
            instance.report_run_failed(run, "the process that ran it was stopped")
