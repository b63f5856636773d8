"""What a person sees of the command line: help, and errors in words instead of stacks."""

from __future__ import annotations

import pytest

from shopsphere_assets.cli.main import app
from tests.unit.cli.conftest import Shopsphere

COMMANDS = (
    *("demo", "run", "reconcile", "backfill", "replay", "status", "report", "alerts", "sql", "doctor", "simulate"),
    "steward",
)
GROUPS = {"quarantine": ("list", "show", "edit", "readmit", "accept", "exclude", "reopen", "sample", "reviews")}


def test_all_commands_are_there_and_no_others() -> None:
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == set(COMMANDS)
    assert {group.name for group in app.registered_groups} == set(GROUPS)


def test_without_arguments_the_commands_are_listed(shopsphere: Shopsphere) -> None:
    answer = shopsphere()
    assert all(command in answer.output + answer.errors for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"{group} {name}" for group in GROUPS for name in GROUPS[group])])
def test_every_command_and_option_is_explained(shopsphere: Shopsphere, command: str) -> None:
    answer = shopsphere(*command.split(), "--help")
    assert answer.status == 0
    assert f"Usage: shopsphere {command}" in answer.output
    boxed = [line.strip("│ ") for line in answer.output.splitlines() if line.startswith("│")]
    options = [line for line in boxed if line.startswith(("--", "*"))]
    assert options
    # A name, perhaps a type, and then words.
    assert all(len(line.split()) > 3 for line in options), options


def test_an_unknown_option_is_a_usage_error(shopsphere: Shopsphere) -> None:
    answer = shopsphere("sql", "select 1", "--fromat", "csv")
    assert answer.status == 2
    assert "No such option" in answer.usage_error


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SHOPSPHERE_WAREHOUSE_URL", "oracle://writer:hidden@db/marts"),
        ("SHOPSPHERE_WAREHOUSE_URL", "postgresql://writer:hidden@127.0.0.1:1/marts"),
        ("SHOPSPHERE_REPORTING_TIME_ZONE", "Europe/Atlantis [/x]"),
        ("SHOPSPHERE_HOME", "/proc/nowhere"),
        ("SHOPSPHERE_SOURCES_FILE", "/there/is/no/file.yaml"),
    ],
)
def test_a_wrong_setting_is_told_in_words_and_without_secrets(
    shopsphere: Shopsphere, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    answer = shopsphere("status")
    assert answer.status == 1
    assert answer.errors.startswith("error:")
    assert "\n  where: " in answer.errors
    assert "\n  what to do: " in answer.errors
    assert "Traceback" not in answer.errors
    assert "hidden" not in answer.output + answer.errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--days", "3", "--until", "2026-06-30"), "--days and --until contradict each other"),
        (("--days", "0"), "Invalid value for '--days'"),
        (("--scale", "0"), "Invalid value for '--scale'"),
        (("--error-rate", "1.5"), "Invalid value for '--error-rate'"),
        (("--until", "tomorrow"), "Invalid value for '--until'"),
    ],
)
def test_parameters_of_a_simulation_that_cannot_be_are_refused(
    shopsphere: Shopsphere, arguments: tuple[str, ...], told: str
) -> None:
    answer = shopsphere("simulate", *arguments)
    assert answer.status in (1, 2)
    assert told in answer.usage_error
    assert "Traceback" not in answer.errors


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_that_cannot_be_is_a_usage_error(shopsphere: Shopsphere, port: str) -> None:
    answer = shopsphere("demo", "--port", port)
    assert answer.status == 2
    assert "Invalid value for '--port'" in answer.usage_error
