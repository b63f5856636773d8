"""The reference of all settings (docs/settings.md), made from the class that reads them.

``python -m shopsphere_assets.diagnosis.settings_reference > docs/settings.md`` writes it anew.
"""

from __future__ import annotations

from typing import Any

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from resources.settings import Settings

_INTRODUCTION = """\
# Settings

<!-- Generated: python -m shopsphere_assets.diagnosis.settings_reference > docs/settings.md -->

Settings come from the environment or from a file `.env` in the folder where a command is started (copy
`.env.example`); the environment wins. Whatever is not set is *embedded*: a source is simulated, the warehouse is a
DuckDB file, the lake a folder and Dagster's records a PostgreSQL database, all below `SHOPSPHERE_HOME`.

`shopsphere doctor` tells what is set, whether it can be reached, and which variables look like settings but are none.

- URLs of databases hold a password and are treated as secrets, as are tokens: they appear in no log, message or page.
- Special characters in a user or password are written in percent-encoding: `p@ss` as `p%40ss`.
- A MySQL or MariaDB database is `mysql://user:password@host:3306/database`, a PostgreSQL database
  `postgresql://user:password@host:5432/database`, an SQLite file `sqlite:///absolute/path.db`.
- The warehouse is `duckdb:///absolute/path.duckdb` (optionally with `?memory_limit=2GB&threads=4`) or a PostgreSQL URL.
- A folder is a path or a `file://` URL.

"""


def settings_reference() -> str:
    """The whole page."""
    lines = ["| variable | what it is | unset |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        what = f"{field.description or ''}{_bounds(field)}{' Secret.' if _is_secret(field) else ''}"
        lines.append(f"| `SHOPSPHERE_{name.upper()}` | {what} | {_unset(name, field.default)} |")
    return _INTRODUCTION + "\n".join(lines) + "\n"


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation) or field.annotation is SecretStr


def _unset(name: str, default: Any) -> str:
    if default is not None:
        return f"`{default}`"
    return "embedded" if name.endswith("_url") and not name.startswith("alert_") else "none"


def _bounds(field: FieldInfo) -> str:
    words = []
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge):
                words.append(f"at least {ge}")
            case annotated_types.Gt(gt):
                words.append(f"above {gt}")
            case annotated_types.Le(le):
                words.append(f"at most {le}")
    return f" ({', '.join(words)})" if words else ""


if __name__ == "__main__":
    print(settings_reference(), end="")
