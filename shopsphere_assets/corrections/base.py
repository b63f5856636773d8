"""What every correction is made of: rules with a version, proposals, and the column that a cell stands in.

Does not belong here: any rule.

A rule is *sure* where it is practically never wrong: the row is then loaded with the corrected cell. What it gives
otherwise is a suggestion for a person. Every rule gives the same again for what it gave: a corrected value is
corrected no further.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from shopsphere_assets.contracts.base import Contract

COUNTRY = "country"
CURRENCY = "currency"
EMAIL = "email"
FIRST_NAME = "first_name"
LAST_NAME = "last_name"
STREET = "street"
CITY = "city"
REGION = "region"
POSTAL_CODE = "postal_code"


@dataclass(frozen=True)
class Rule:
    """A rule that corrects: ``id`` and ``version`` stand with every cell that it corrected.

    The version rises when the rule gives something else for the same cell. ``does``: what it does, for a person.
    """

    id: str
    does: str
    is_sure: bool = True
    version: int = 1


@dataclass(frozen=True)
class Proposal:
    """What a cell should be, by which rule. ``corrected``: as text, as a source would give it."""

    corrected: str
    rule: Rule


@dataclass(frozen=True)
class Column:
    """What a contract says of a column as far as it matters for corrections.

    ``kind``: the string id of its correction. ``allowed``: every value that it may have, where the contract lists
    them.
    """

    name: str
    kind: str
    dtype: pl.DataType
    unit: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Neighbours:
    """What the row of a cell says elsewhere: its country and currency, where it has them."""

    country: str | None = None
    currency: str | None = None


Corrector = Callable[[str, Column, Neighbours], Proposal | None]
"""From a broken cell as text: what it should be; None where no rule says so."""

CELLS: dict[str, type[pl.DataType] | pl.DataType] = {
    "_row": pl.UInt32,
    "column": pl.String,
    "original": pl.String,
    "corrected": pl.String,
    "rule": pl.String,
    "version": pl.String,
    "is_sure": pl.Boolean,
}
"""Proposals for the cells of a frame: ``_row`` is the row's number in it."""


def no_cells() -> pl.DataFrame:
    """No proposals."""
    return pl.DataFrame(schema=CELLS)


def cells(column: str, rows: pl.Series, original: pl.Series, proposals: list[Proposal | None]) -> pl.DataFrame:
    """:data:`CELLS` of those ``proposals`` that there are and that change something."""
    found = [
        (row, column, text, p.corrected, p.rule.id, str(p.rule.version), p.rule.is_sure)
        for row, text, p in zip(rows.to_list(), original.to_list(), proposals, strict=True)
        if p is not None and p.corrected != text
    ]
    return pl.DataFrame(found, schema=CELLS, orient="row")


@dataclass(frozen=True)
class Columns:
    """The columns of a contract by name; and by kind where only one is of that kind."""

    by_name: Mapping[str, Column]

    @cached_property
    def _by_kind(self) -> dict[str, str]:
        kinds = [column.kind for column in self.by_name.values()]
        return {column.kind: name for name, column in self.by_name.items() if kinds.count(column.kind) == 1}

    def one(self, kind: str) -> str | None:
        """The name of the one column of this kind; None where there is none or more than one."""
        return self._by_kind.get(kind)


def columns_of(contract: type[Contract]) -> Columns:
    """The columns of ``contract`` with the correction that each declares, or that its type implies."""
    found = {}
    for name, column in contract.to_schema().columns.items():
        metadata = column.metadata or {}
        allowed: tuple[str, ...] = ()
        for check in column.checks:
            if check.name == "isin":
                allowed = tuple(map(str, (check.statistics or {})["allowed_values"]))
        dtype = column.dtype.type
        kind = metadata.get("correction") or _implied(dtype, allowed)
        found[name] = Column(name, kind, dtype, metadata.get("unit"), allowed)
    return Columns(found)


def _implied(dtype: pl.DataType, allowed: tuple[str, ...]) -> str:
    if allowed:
        return "allowed_value"
    if dtype == pl.Date:
        return "date"
    if isinstance(dtype, pl.Datetime):
        return "moment"
    if dtype == pl.Boolean:
        return "boolean"
    return "text" if dtype == pl.String else "number"


_INVISIBLE = {
    **dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff")),
    **dict.fromkeys(n for n in range(0xA0) if unicodedata.category(chr(n)) == "Cc" and chr(n) not in "\t\n\r\x0b\x0c"),
}


def visible(text: str) -> str:
    """``text`` without what nobody sees: control characters and zero-width ones; blanks of any kind become blanks."""
    return " ".join(text.translate(_INVISIBLE).split())


def folded(text: str) -> str:
    """``text`` for comparing: no accents, no case, no punctuation, single blanks."""
    plain = unicodedata.normalize("NFKD", text.replace("'", "").replace("’", "")).casefold()
    kept = "".join(" " if not c.isalnum() else c for c in plain if not unicodedata.combining(c))
    return " ".join(kept.split())
