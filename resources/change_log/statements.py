"""What the statements in a binlog mean for the tables whose changes are wanted.

Row changes are logged as rows; statements are logged where a table's structure changes, where it is emptied,
and where a session writes in another format, so that its changes are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Meaning = Literal["emptied", "altered", "replaced", "unlogged"]

_COMMENT = re.compile(r"/\*(?!!).*?\*/|--\s[^\n]*|#[^\n]*", re.DOTALL)
_BEGINNINGS: tuple[tuple[str, Meaning], ...] = (
    (r"TRUNCATE\b", "emptied"),
    (r"ALTER\s+(ONLINE\s+|IGNORE\s+)*TABLE\b.*\b(RENAME\s+(TO|AS|`)|EXCHANGE\s+PARTITION)", "replaced"),
    (r"ALTER\s+(ONLINE\s+|IGNORE\s+)*TABLE\b.*\b(DROP|TRUNCATE)\s+PARTITION", "replaced"),
    (r"ALTER\s+(ONLINE\s+|IGNORE\s+)*TABLE\b", "altered"),
    (r"(DROP\s+TABLE|RENAME\s+TABLE|CREATE\s+(OR\s+REPLACE\s+)?TABLE|DROP\s+(DATABASE|SCHEMA))\b", "replaced"),
    (r"(INSERT|UPDATE|DELETE|REPLACE|LOAD|MERGE|WITH|CALL|IMPORT)\b", "unlogged"),
)
_NAME = r"(?<![\w$`])`?{}`?(?![\w$`])"


def meaning(statement: str) -> Meaning | None:
    """What ``statement`` does to the tables that it names; None where that does not matter here."""
    plain = _COMMENT.sub(" ", statement).strip()
    for beginning, found in _BEGINNINGS:
        if re.match(beginning, plain, re.IGNORECASE | re.DOTALL):
            return found
    return None


def named_tables(statement: str, schema: str, tables: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of ``tables`` (schema and name) that the statement names, issued with ``schema`` as the default.

    On doubt a table counts as named: a name inside a text, for example.
    """
    return [(of, name) for of, name in tables if _names(statement, schema, of, name)]


def _names(statement: str, default: str, schema: str, name: str) -> bool:
    if re.match(r"\s*DROP\s+(DATABASE|SCHEMA)\b", statement, re.IGNORECASE):
        return bool(re.search(_NAME.format(re.escape(schema)), statement))
    for found in re.finditer(_NAME.format(re.escape(name)), statement, re.IGNORECASE):
        qualifier = re.search(r"`?([\w$]+)`?\s*\.\s*$", statement[: found.start()])
        if (qualifier[1] if qualifier else default).lower() == schema.lower():
            return True
    return False
