"""What Dagster shows of the platform: names, automation and descriptions, and that they load with nothing up.

The names are kept in ``snapshots/code_location.txt``. After an intended change write it anew, look at its
difference and commit it: ``SHOPSPHERE_TEST_UPDATE_SNAPSHOTS=1 pytest tests/unit/defs``.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.ingestion.raw_table import RawTable
from tests import code_location

UPDATE_VARIABLE = "SHOPSPHERE_TEST_UPDATE_SNAPSHOTS"
SNAPSHOT = Path(__file__).with_name("snapshots") / "code_location.txt"

RAW_TABLES = [table for system in source_systems() for table in system.tables]

# Descriptions are written for people: none of these comes from a person's hand.
JUNK = re.compile(r"<\w+[ .]|object at 0x|\bNone\b|\bnan\b|TODO|FIXME|\{\{|\{%|#{3,}|```|  {2,}|[A-Z]\w+\(|\\n")


def _snapshot() -> str:
    """The code location in readable lines."""
    location, repository = code_location.definitions(), code_location.repository()
    graph = location.resolve_asset_graph()
    lines = ["# Assets: key | group | kinds | pool | automation"]
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        condition = node.automation_condition
        columns = (
            node.group_name,
            " ".join(sorted(node.kinds)),
            " ".join(sorted(node.pools or ())),
            (condition.get_label() or "unnamed condition") if condition else "by sensor",
        )
        lines.append(" | ".join((key.to_user_string(), *map(str, columns))))
    lines += ["", "# Checks of raw tables: asset | check | blocking"]
    for check in sorted(graph.asset_check_keys):
        if check.asset_key.path[0] == "raw":
            blocking = "blocking" if graph.get(check).blocking else "not blocking"
            lines.append(f"{check.asset_key.to_user_string()} | {check.name} | {blocking}")
    lines += ["", "# Checks of models: asset | number"]
    models = Counter(c.asset_key.to_user_string() for c in graph.asset_check_keys if c.asset_key.path[0] != "raw")
    lines += [f"{asset} | {count}" for asset, count in sorted(models.items())]
    lines += ["", "# Jobs: name | assets or ops"]
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            assets = len(set(job.asset_layer.executable_asset_keys))
            ops = ", ".join(sorted(node.name for node in job.nodes)) if not assets else f"{assets} assets"
            lines.append(f"{job.name} | {ops}")
    lines += ["", "# Schedules: name | job | cron | time zone | at first"]
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        when = f"{schedule.job_name} | {schedule.cron_schedule} | {schedule.execution_timezone}"
        lines.append(f"{schedule.name} | {when} | {schedule.default_status.value}")
    lines += ["", "# Sensors: name | kind | every seconds | at first | target"]
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        selection = sensor.asset_selection
        if selection is None and sensor.targets:
            selection = sensor.targets[0].resolvable_to_job.selection  # type: ignore[union-attr]
        target = sorted(key.to_user_string() for key in selection.resolve(graph)) if selection else []
        shown = (", ".join(target) or "nothing") if len(target) < 10 else f"{len(target)} assets"
        how = f"{sensor.sensor_type.value} | {sensor.minimum_interval_seconds} | {sensor.default_status.value}"
        lines.append(f"{sensor.name} | {how} | {shown}")
    return "\n".join(lines) + "\n"


def test_all_keys_checks_jobs_schedules_and_sensors_are_as_written_down() -> None:
    found = _snapshot()
    if os.environ.get(UPDATE_VARIABLE):
        SNAPSHOT.write_text(found, encoding="utf-8")
    assert found.splitlines() == SNAPSHOT.read_text(encoding="utf-8").splitlines(), (
        f"if this change is meant, run the tests once with {UPDATE_VARIABLE}=1 and look at the difference"
    )


def test_it_loads_with_nothing_set_nothing_up_and_no_connection() -> None:
    loaded = code_location.load_in_a_process_of_its_own()
    assert loaded.status == 0, loaded.errors
    assert loaded.output.endswith(" assets\n")
    assert loaded.made == {"dbt"}, "nothing but the parsed dbt project is to be made"


@pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.label)
def test_every_raw_table_is_an_asset_with_its_three_blocking_checks(table: RawTable) -> None:
    graph = code_location.definitions().resolve_asset_graph()
    key = dg.AssetKey(table.asset_key)
    assert graph.get(key).is_executable
    checks = {check.name: graph.get(check).blocking for check in graph.get_check_keys_for_assets({key})}
    assert checks == {"quarantine_share": True, "ledger_closes": True, "unique_key": True, "quality": False}


@pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.label)
def test_personal_columns_are_tagged_with_their_kind_and_all_with_their_purposes(table: RawTable) -> None:
    schema = code_location.specs()["/".join(table.asset_key)].metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == list(table.column_types)
    for column in schema.columns:
        stated = table.column_metadata(column.name)
        assert column.tags.get("personal") == stated["personal"]
        assert {tag.removeprefix("purpose/") for tag in column.tags if tag != "personal"} == set(stated["purposes"])
        assert column.constraints.nullable == (column.name not in table.required_columns)


def test_columns_that_are_personal_anywhere_are_tagged_everywhere() -> None:
    untagged = [
        f"{asset}.{column.name}"
        for asset, spec in code_location.specs().items()
        if asset.startswith("raw/")
        for column in spec.metadata["dagster/column_schema"].columns
        if re.search(r"email|phone|first_name|last_name|full_name|ip_address|street|birth", column.name)
        and not re.search(r"^email_(id|event|type|opt|campaign)|_email_id$|is_email|email_status", column.name)
        and "personal" not in column.tags
    ]
    assert not untagged


def test_every_asset_says_what_it_is_whose_it_is_and_what_its_columns_are() -> None:
    wrong = []
    for asset, spec in code_location.specs().items():
        if not spec.owners or not all(owner.startswith("team:") for owner in spec.owners):
            wrong.append(f"{asset} is owned by {spec.owners}")
        if spec.group_name in (None, "default") or not spec.kinds:
            wrong.append(f"{asset}: group {spec.group_name}, kinds {spec.kinds}")
        description = (spec.description or "").strip()
        if len(description) < 20 or not description[0].isupper() or not description.endswith((".", ")")):
            wrong.append(f"{asset} is described as {description!r}")
        wrong += _junk(asset, description)
        if asset == "publication" or spec.group_name == "quality":  # about many tables
            continue
        for column in spec.metadata["dagster/column_schema"].columns:
            name = f"{asset}.{column.name}"
            if not column.description or not column.type or column.type == "string":
                wrong.append(f"{name} is a {column.type}, described as {column.description!r}")
            wrong += _junk(name, column.description or "")
    assert not wrong


def _junk(name: str, text: str) -> list[str]:
    found = JUNK.search(text)
    return [f"{name}: {found.group()!r} in {text!r}"] if found else []


def test_jobs_schedules_and_sensors_say_what_they_do() -> None:
    repository = code_location.repository()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    told: list[tuple[str, str | None]] = [(job.name, job.description) for job in jobs]
    told += [(schedule.name, schedule.description) for schedule in repository.schedule_defs]
    told += [(sensor.name, sensor.description) for sensor in repository.sensor_defs]
    for name, description in told:
        assert len(description or "") > 10, name
        assert not _junk(name, description or "")


def test_everything_downstream_of_raw_tables_leads_to_the_publication() -> None:
    graph = code_location.definitions().resolve_asset_graph()
    marts = {
        key
        for key in graph.get_all_asset_keys()
        if key.path[-1].startswith(("dim_", "fct_")) and key != dg.AssetKey("publication")
    }
    assert graph.get(dg.AssetKey("publication")).parent_keys == marts
    # Nothing else is built that no mart needs.
    needed = dg.AssetSelection.assets("publication").upstream().resolve(graph)
    quality = dg.AssetSelection.groups("quality").resolve(graph)
    assert graph.get_all_asset_keys() == needed | quality
