"""Checks of the settings themselves: what is set, and names that look like settings but are none.

A mistyped name is the quietest of all mistakes: the part it was meant for stays embedded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dotenv import dotenv_values

from resources.settings import Settings
from shopsphere_assets.diagnosis.finding import Finding, Status, counted, suggestion

AREA = "Settings"
_PREFIX = "SHOPSPHERE_"
# Set by the platform for dbt, and by those who run its tests.
_OTHER_PREFIXES = ("SHOPSPHERE_DBT_", "SHOPSPHERE_TEST_")


def check_variables(settings: Settings) -> Iterator[Finding]:
    """What is set, and variables that no setting is called."""
    given = sorted(settings.model_fields_set)
    if given:
        yield Finding(AREA, "settings", Status.OK, f"{counted(len(given), 'setting')}: {', '.join(given)}")
    else:
        yield Finding(AREA, "settings", Status.EMBEDDED, "nothing is set: every part is the platform's own")
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(_variables() - known):
        yield Finding(
            AREA,
            variable,
            Status.WARNING,
            "there is no such setting; it has no effect",
            f"{suggestion(variable, sorted(known))} docs/settings.md lists all",
        )


def _variables() -> set[str]:
    """The names, in capitals as the settings are matched, of all variables that look like settings."""
    file = Path(str(Settings.model_config["env_file"]))
    names = {name.upper() for name in (*os.environ, *(dotenv_values(file) if file.is_file() else ()))}
    return {name for name in names if name.startswith(_PREFIX) and not name.startswith(_OTHER_PREFIXES)}
