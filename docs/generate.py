"""Writes the reference pages that follow from the code: raw tables, marts, corrections, command line.

Run it by ``make docs``. A test compares the pages with what
this module makes, so that they cannot fall behind. Belongs here: turning declarations into Markdown. Does not
belong here: anything that the contracts, the dbt project or the commands do not already say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml
from pandera.api.checks import Check

from shopsphere_assets.cli.main import app
from shopsphere_assets.corrections.registry import CORRECTORS, RULES, corrected_columns
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.ingestion import validate
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, HttpRead, RawTable, SourceSystem

DOCS = Path(__file__).resolve().parent
DBT_MODELS = DOCS.parent / "dbt_project" / "models"

_NOTE = "<!-- Made by docs/generate.py from the code; changes here are overwritten. -->"
_FEW = 10
_FORMATS = {
    "CombinedLog": "web-server log, combined format",
    "Csv": "CSV",
    "FixedWidth": "fixed width",
    "JsonLines": "JSON lines",
    "JsonRecords": "JSON",
    "Xml": "XML",
}
_KINDS = {DatabaseRead: "database", HttpRead: "HTTP API", FileRead: "files"}


def raw_tables() -> str:
    """The inventory of the sources and every raw table with its columns, from declarations and contracts."""
    systems = sorted(source_systems(), key=lambda system: system.name)
    inventory = [
        [
            f"[{system.title}](#{system.name})",
            _KINDS[type(system.tables[0].read)],
            system.description,
            ", ".join(f"[{t.name}](#{system.name}{t.name})" for t in system.tables),
            f"`SHOPSPHERE_{system.name.upper()}_URL`",
        ]
        for system in systems
    ]
    return _page(
        "Raw tables",
        "What is read from which system, what every column means, what it may be used for, and which rules a row "
        "must keep. The truth is in `shopsphere_assets/contracts/` (columns and rules) and "
        "`shopsphere_assets/defs/raw/` (where a table comes from).",
        "In the warehouse a raw table is `raw.<source>__<table>`; in Dagster its asset key is "
        "`raw/<source>/<table>`. Besides the contract's columns each has `_batch_id` (the batch that brought the "
        "row or marked it), `_position` (where the row stood in its source; null where its key says it), "
        "`_loaded_at` (when that batch began) and `_deleted_at` (when the row was found to be gone "
        "from its source; null while it is there). Times are UTC. "
        "The rules are explained in [rules.md](rules.md), the kinds of personal data and the purposes in "
        "[naming.md](../naming.md#personal-data).",
        "## Inventory",
        _table(["system", "kind", "what it tells", "tables", "setting"], inventory),
        *[part for system in systems for part in _system(system)],
    )


def _system(system: SourceSystem) -> list[str]:
    parts = [f"## {system.name}", f"{system.title}. {system.description}"]
    for table in system.tables:
        parts += _raw_table(table)
    return parts


def _raw_table(table: RawTable) -> list[str]:
    schema = table.contract.to_schema()
    rows = []
    for name, column in schema.columns.items():
        more = table.column_metadata(name)
        unit = f" Unit: {more['unit']}." if more["unit"] else ""
        rules = ["required"] * (not column.nullable) + [_rule(check) for check in column.checks]
        rows.append(
            [
                f"`{name}`",
                _type(str(table.definition.columns.field(name).type)),
                table.column_descriptions[name] + unit,
                more["personal"] or "",
                ", ".join(more["purposes"]),
                "; ".join(dict.fromkeys(rules)),
            ]
        )
    facts = [
        f"- Asset `{'/'.join(table.asset_key)}`, warehouse table `{table.definition}`",
        f"- Primary key: {', '.join(f'`{key}`' for key in table.key)}. Watermark: `{table.cursor}`",
        f"- Read from: {_origin(table)}",
    ]
    row_rules = [f"- `{check.name}`: {check.description}" for check in schema.checks]
    return [
        f"### {table.source}/{table.name}",
        " ".join((table.contract.__doc__ or "").split()),
        "\n".join(facts),
        _table(["column", "type", "meaning", "personal data", "may be used for", "rules"], rows),
        *(["Rules over several columns:\n\n" + "\n".join(row_rules)] if row_rules else []),
    ]


def _origin(table: RawTable) -> str:
    match table.read:
        case DatabaseRead() as read:
            return f"the table `{read.relation}`"
        case HttpRead() as read:
            return " and ".join(dict.fromkeys(f"`{e.method} {e.path}`" for e in read.endpoints))
        case FileRead() as read:
            return f"files `{read.pattern}` ({_FORMATS[type(read.format).__name__]})"


def rule_name(check: Check) -> str:
    """What the platform calls the rule of a check on one column."""
    return validate.RULES.get(str(check.name), str(check.name))


def _rule(check: Check) -> str:
    """The rule's name and, in short, what it demands."""
    name = rule_name(check)
    values = check.statistics or {}
    match name:
        case "allowed_values":
            allowed = values["allowed_values"]
            shown = ", ".join(map(str, allowed)) if len(allowed) <= _FEW else f"{len(allowed)} of them"
            return f"{name} ({shown})"
        case "minimum":
            above = "above " if check.name == "greater_than" else ""
            return f"{name} ({above}{values['min_value']:,})"
        case "maximum":
            return f"{name} ({values['max_value']:,})"
        case "length":
            return f"{name} ({values['min_value']} to {values['max_value']} characters)"
        case "format":
            return f"{name} (`{values.get('pattern') or values.get('string')}`)"
    return name


def _type(arrow: str) -> str:
    if arrow.startswith("decimal128"):
        return arrow.replace("decimal128", "decimal").replace(" ", "")
    if arrow.startswith("timestamp"):
        return "timestamp"
    return {"int64": "bigint", "string": "text", "bool": "boolean", "date32[day]": "date"}[arrow]


def marts() -> str:
    """Every published model with its columns, and who reads it, from the dbt project's YAML."""
    areas = {
        area.name: [m for file in sorted(area.glob("*__models.yml")) for m in _yaml(file)["models"]]
        for area in sorted((DBT_MODELS / "marts").iterdir())
        if area.is_dir()
    }
    exposures = _yaml(DBT_MODELS / "exposures.yml")["exposures"]
    readers: dict[str, list[str]] = {}
    for exposure in exposures:
        for name in _references(" ".join(exposure["depends_on"])):
            readers.setdefault(name, []).append(exposure["label"])
    overview = [
        [f"`{area}`", f"[{model['name']}](#{model['name']})", _one_line(model["description"])]
        for area, models in areas.items()
        for model in models
    ]
    declared = [
        [
            exposure["label"],
            exposure["type"],
            _one_line(exposure["description"]),
            ", ".join(f"[{name}](#{name})" for name in _references(" ".join(exposure["depends_on"]))),
        ]
        for exposure in exposures
    ]
    parts = []
    for area, models in areas.items():
        parts.append(f"## {area}")
        for model in models:
            parts += _mart(area, model, readers.get(model["name"], []))
    return _page(
        "Marts",
        "What is published, by business area. Every column's type and every `required` is a contract that the build "
        "enforces. [read-the-marts.md](../how-to/read-the-marts.md) shows how to read them; the truth is in "
        "`dbt_project/models/marts/`.",
        "Types are named as on PostgreSQL; on DuckDB `text` is `VARCHAR` and `numeric` is `DECIMAL`.",
        "## Overview",
        _table(["area", "table", "what it holds"], overview),
        "## Who reads them",
        "Declared exposures (`dbt_project/models/exposures.yml`):",
        _table(["reader", "kind", "what it shows", "reads"], declared),
        *parts,
    )


def _mart(area: str, model: dict[str, Any], readers: list[str]) -> list[str]:
    sql = (DBT_MODELS / "marts" / area / f"{model['name']}.sql").read_text(encoding="utf-8")
    sources = sorted(set(_references(sql)))
    rows = []
    for column in model["columns"]:
        meta = column.get("config", {}).get("meta", {})
        is_required = any(constraint["type"] == "not_null" for constraint in column.get("constraints", []))
        rows.append(
            [
                f"`{column['name']}`",
                column["data_type"].replace(" ", ""),
                "yes" if is_required else "",
                _one_line(column["description"]),
                meta.get("personal", ""),
                ", ".join(meta.get("purposes", [])),
            ]
        )
    facts = [f"- Published as `{area}.{model['name']}`", f"- Made of: {', '.join(f'`{s}`' for s in sources)}"]
    if readers:
        facts.append(f"- Read by: {', '.join(readers)}")
    headings = ["column", "type", "required", "meaning", "personal data", "may be used for"]
    if not any(row[4] for row in rows):
        headings, rows = headings[:4], [row[:4] for row in rows]
    return [f"### {model['name']}", _one_line(model["description"]), "\n".join(facts), _table(headings, rows)]


def _references(text: str) -> list[str]:
    return re.findall(r"ref\('(\w+)'\)", text)


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def corrections() -> str:
    """Every rule that corrects, and which columns are corrected by which kind of rules."""
    rules = [[f"`{rule.id}`", str(rule.version), "yes" if rule.is_sure else "no", rule.does] for rule in RULES]
    tables = [table for system in source_systems() for table in system.tables]
    columns: dict[str, dict[str, list[str]]] = {}
    for table in sorted(tables, key=lambda table: table.label):
        for name, column in corrected_columns(table.contract).by_name.items():
            if column.kind in CORRECTORS and name not in (*table.key, table.cursor):
                columns.setdefault(column.kind, {}).setdefault(table.label, []).append(f"`{name}`")
    kinds = [
        [f"`{kind}`", "; ".join(f"{label}: {', '.join(names)}" for label, names in columns[kind].items())]
        for kind in sorted(columns)
    ]
    return _page(
        "Corrections",
        "What corrects a cell, or suggests how it could be corrected. "
        "[correct-by-rule.md](../how-to/correct-by-rule.md) tells what becomes of it. "
        "The truth is in `shopsphere_assets/corrections/`.",
        "## Rules",
        "As they stand in `quality.corrections`. What is sure is applied where the row keeps its contract by it; "
        "anything else is suggested to a person.",
        _table(["rule", "version", "is sure", "what it does"], rules),
        "## Columns",
        "By the kind of correction that the contract declares or the column's type implies; keys and cursors are never "
        "corrected.",
        _table(["kind", "columns"], kinds),
    )


def command_line() -> str:
    """Every command with its arguments and options, from the help that the commands give themselves."""
    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in _commands(group):
        with command.make_context(f"shopsphere {name}", [], resilient_parsing=True) as context:
            records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
            usage = command.get_usage(context).removeprefix("Usage: ").strip()
        rows = [[f"`{option}`", text.replace("  [", " [")] for option, text in filter(None, records)]
        parts += [
            f"## shopsphere {name}",
            command.help.strip(),
            f"```text\n{usage}\n```",
            _table(["argument or option", "meaning"], rows),
        ]
    return _page(
        "Command line",
        "The commands of `shopsphere`, as `shopsphere <command> --help` shows them. It is installed at "
        "`.venv/bin/shopsphere`. Which settings they follow stands in [settings.md](../settings.md).",
        "An error that a person can act on is printed with what happened, where, and what to do; the exit status "
        "is then 1. A wrong option gives exit status 2.",
        *parts,
    )


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The commands of a group, and those of the groups in it, by the words that call them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", _NOTE, *parts]) + "\n"


def _table(headings: list[str], rows: Iterable[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line,
    "reference/corrections.md": corrections,
    "reference/marts.md": marts,
    "reference/raw-tables.md": raw_tables,
}
"""Every generated page below ``docs/`` and what makes it."""


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
