"""The dbt models as assets, their tests as checks; one dbt process a run."""

import atexit
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from importlib.metadata import version
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)
from packaging.version import Version

from resources.commit_points import CommitPoint, reached
from resources.settings import load_settings
from resources.warehouse.base import BUILD_PREFIX
from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.warehouse.conditions import AFTER_UPSTREAM
from shopsphere_assets.transformation.column_lineage import ColumnLineage
from shopsphere_assets.transformation.project import (
    PROJECT_DIR,
    dbt_environment,
    dbt_executable,
    dbt_target,
    prepare_manifest,
    target_folder,
)
from shopsphere_assets.transformation.results import record_results, record_start

WAREHOUSE_POOL = "warehouse"

_DBT_STOP_SECONDS = 5


class Translator(DagsterDbtTranslator):
    """Names, columns and automation of the dbt models' assets."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """``[layer or area, model]``; a source's key is the one its YAML names."""
        if dbt_resource_props["resource_type"] == "source":
            return super().get_asset_key(dbt_resource_props)
        area = dbt_resource_props["schema"].removeprefix(BUILD_PREFIX)
        return dg.AssetKey([area, dbt_resource_props["name"]])

    def get_automation_condition(self, dbt_resource_props: Mapping[str, Any]) -> dg.AutomationCondition[Any] | None:
        """Models follow what they are made of."""
        return AFTER_UPSTREAM

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The model's description alone; its SQL is a click away in the code reference."""
        return str(dbt_resource_props.get("description") or "")


class Dbt(DbtCliResource):
    """dbt, without what dagster-dbt does before each command.

    It asks dbt for its version, in a process of its own that takes more than a second, and sets up an adapter in
    this process, which only serves row counts and columns that nobody asks for here.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return None


@cache
def _project() -> DbtProject:
    settings = load_settings()
    prepare_manifest(settings)
    return DbtProject(
        project_dir=PROJECT_DIR,
        profiles_dir=PROJECT_DIR,
        target_path=target_folder(settings),
        target=dbt_target(settings),
    )


@dg.definitions
def dbt() -> dg.Definitions:
    """The assets of the dbt project and the resource that runs it."""
    project = _project()
    translator = Translator(
        settings=DagsterDbtTranslatorSettings(
            enable_code_references=True,
            # A raw table's asset is also the source of its rows' versions.
            enable_duplicate_source_asset_keys=True,
        )
    )

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        dagster_dbt_translator=translator,
        exclude="resource_type:unit_test",
        name="dbt_models",
        pool=WAREHOUSE_POOL,
    )
    def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform) -> Iterator[Any]:
        warehouse = platform.warehouse()
        with ExitStack() as stack:
            with faults(context):
                warehouse.prepare()
                warehouse.ensure_tables(
                    [definition for system in source_systems() for t in system.tables for definition in t.definitions]
                )
                stack.enter_context(warehouse.writer_lock())
                record_start(
                    warehouse, _selected_models(context), run_id=context.run.run_id, started_at=datetime.now(UTC)
                )
            reached(CommitPoint.BUILD_BEGUN)
            stack.enter_context(_environment(dbt_environment(platform.settings)))
            invocation = dbt.cli(
                ["build", "--exclude-resource-type", "unit_test"], context=context, raise_on_error=False
            )
            stack.enter_context(_ended(invocation.process))
            lineage = ColumnLineage(
                invocation.manifest,
                _known_columns(invocation.manifest),
                cache=target_folder(platform.settings) / "lineage",
            )
            for event in invocation.stream():
                yield _with_lineage(event, lineage, invocation, translator, project)
            reached(CommitPoint.BUILD_ENDED)
            results = invocation.target_path / "run_results.json"
            if results.exists():
                record_results(warehouse, results, run_id=context.run.run_id, finished_at=datetime.now(UTC))
        broken = invocation.get_error()
        if broken:
            raise dg.Failure(description=str(broken), allow_retries=False) from broken
        # Eight megabytes a run; those of a failed one stay for who looks into it, until maintenance.
        shutil.rmtree(invocation.target_path, ignore_errors=True)

    resource = Dbt(
        project_dir=str(project.project_dir),
        profiles_dir=str(project.profiles_dir),
        target=project.target,
        dbt_executable=dbt_executable(),
    )
    return dg.Definitions(assets=[dbt_models], resources={"dbt": resource})


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End dbt with the block: an interrupted run must leave nobody behind who still writes.

    Or with this process, as Dagster does not close the generator of a step that is interrupted between two events.
    """
    end = partial(_end, process)
    atexit.register(end)
    try:
        yield
    finally:
        end()
        atexit.unregister(end)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End dbt, if it has not ended; what it has not committed is undone by the database."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_DBT_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _selected_models(context: dg.AssetExecutionContext) -> set[str]:
    """The unique ids of the models that this run builds."""
    selected = context.selected_asset_keys
    translator = Translator()
    models = {i: node for i, node in _nodes().items() if node["resource_type"] == "model"}
    return {i for i, node in models.items() if translator.get_asset_key(node) in selected}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with ``variables``, which the dbt process inherits."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _known_columns(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns of every model, by its YAML, and of every source, by its contract."""
    raw = {tuple(t.asset_key): t.definition.columns.names for system in source_systems() for t in system.tables}
    columns = {i: list(node["columns"]) for i, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    for unique_id, source in manifest["sources"].items():
        key = source["config"]["meta"]["dagster"]["asset_key"]
        columns[unique_id] = raw.get(tuple(key), [])
    return columns


def _with_lineage(
    event: Any,
    lineage: ColumnLineage,
    invocation: DbtCliInvocation,
    translator: Translator,
    project: DbtProject,
) -> Any:
    """A model's event with its column lineage; any other event as it is."""
    if not isinstance(event, dg.Output):
        return event
    sources = lineage.of(str(event.metadata["unique_id"].value), invocation.target_path / "compiled")
    if sources is None:
        return event

    def key(unique_id: str) -> dg.AssetKey:
        return translator.get_asset_spec(invocation.manifest, unique_id, project).key

    dependencies = {
        column: [dg.TableColumnDep(asset_key=key(parent), column_name=name) for parent, name in parents]
        for column, parents in sources.items()
    }
    column_lineage = dg.TableColumnLineage(deps_by_column=dependencies)
    # The web server of Dagster's open edition keeps the lineage but draws none; the table is for people.
    records = [
        dg.TableRecord({"column": column, "is made of": ", ".join(_name(d) for d in parents) or "no column"})
        for column, parents in dependencies.items()
    ]
    return event.with_metadata(
        {
            **event.metadata,
            "dagster/column_lineage": column_lineage,
            "column lineage": dg.MetadataValue.table(records),
        }
    )


def _name(column: dg.TableColumnDep) -> str:
    return f"{column.asset_key.to_user_string()}.{column.column_name}"


def mart_keys() -> list[dg.AssetKey]:
    """The asset keys of the marts: the models in the schemas that are published."""
    translator = Translator()
    models = [node for node in _nodes().values() if node["resource_type"] == "model"]
    return [translator.get_asset_key(node) for node in models if node["schema"].startswith(BUILD_PREFIX)]


def result_nodes() -> set[str]:
    """The unique ids of the project's models and of the tests whose failure is an error."""
    return {i for i, node in _nodes().items() if str(node["config"].get("severity", "error")).lower() == "error"}


def _nodes() -> dict[str, Any]:
    nodes = json.loads(_project().manifest_path.read_text())["nodes"]
    return {i: node for i, node in nodes.items() if node["resource_type"] in ("model", "test")}
