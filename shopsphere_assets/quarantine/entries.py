"""What is in the quarantine: lists of entries, one entry with all that is known of it, and counts per rule.

Belongs here: reading. Does not belong here: decisions (``decisions``), which change something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import polars as pl

from resources.errors import PermanentError
from resources.warehouse import Warehouse
from shopsphere_assets.ingestion.batch import Destination
from shopsphere_assets.ingestion.decisions import id_lists
from shopsphere_assets.ingestion.ledger import utc_now
from shopsphere_assets.ingestion.raw_table import RawTable

State = Literal["open", "readmitted", "accepted", "excluded", "superseded", "deleted", "settled", "all"]
"""What to list: entries with this settlement, all that are settled, or all."""

STATES: tuple[State, ...] = get_args(State)

Row = Mapping[str, str | None]
"""The cells of a row as text."""

_ID = re.compile(r"[0-9a-f]{32}")
_RULE = '"rule":"([^"]*)"'


@dataclass(frozen=True)
class Quarantine:
    """Where the entries are, and the raw tables that they can go to, by ``source/table``."""

    destination: Destination
    tables: Mapping[str, RawTable]

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse."""
        return self.destination.warehouse


@dataclass(frozen=True)
class Filter:
    """Which entries; all conditions hold. ``text``: stands in the row, its key or the reasons, in any case.

    ``older_than`` and ``newer_than``: since when it is in the quarantine.
    """

    state: State = "open"
    source: str | None = None
    table: str | None = None
    rule: str | None = None
    column: str | None = None
    text: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    has_suggestion: bool = False


@dataclass(frozen=True)
class Reason:
    """A rule that a row breaks; ``column`` is None for one over several."""

    rule: str
    column: str | None
    value: str | None


@dataclass(frozen=True)
class Suggestion:
    """What a rule would correct in the row, but is not sure of."""

    column: str
    original: str | None
    corrected: str | None
    rule: str
    rule_version: str


@dataclass(frozen=True)
class PastDecision:
    """A decision in an entry's history."""

    action: str
    decided_by: str
    decided_at: datetime
    reason: str | None
    payload_before: Row
    payload_after: Row | None
    batch_id: str | None


@dataclass(frozen=True)
class Entry:
    """A quarantined row as it was read. ``suggestions``: how many there are."""

    quarantine_id: str
    source: str
    table_name: str
    row_key: str
    payload: Row
    reasons: tuple[Reason, ...]
    position: str | None
    changed_at: datetime | None
    quarantined_at: datetime
    settled_at: datetime | None
    settlement: str | None
    batch_id: str
    suggestions: int = 0

    @property
    def label(self) -> str:
        """``source/table``."""
        return f"{self.source}/{self.table_name}"

    @property
    def state(self) -> str:
        """``open``, or why it is settled."""
        return self.settlement or "open"


@dataclass(frozen=True)
class Detail:
    """An entry with all that is known of it. ``draft``: the row as people left it, as read where nobody changed it."""

    entry: Entry
    draft: Row
    suggested: tuple[Suggestion, ...]
    history: tuple[PastDecision, ...]

    @property
    def version(self) -> int:
        """Grows with every decision."""
        return len(self.history)

    @property
    def with_suggestions(self) -> Row:
        """The draft with every suggestion in it."""
        return {**self.draft, **{s.column: s.corrected for s in self.suggested}}


@dataclass(frozen=True)
class RuleCount:
    """How many entries of a table break a rule."""

    source: str
    table_name: str
    rule: str
    entries: int


def count_entries(quarantine: Quarantine, wanted: Filter) -> int:
    """How many entries there are."""
    where, values = _where(wanted)
    found = quarantine.warehouse.query(f"SELECT count(*) AS n FROM quarantine.rows AS q WHERE {where}", values)
    return int(found.column(0)[0].as_py())


def list_entries(quarantine: Quarantine, wanted: Filter, *, limit: int = 50, offset: int = 0) -> list[Entry]:
    """Entries, the latest first."""
    where, values = _where(wanted)
    found = quarantine.warehouse.query(
        f"SELECT {_COLUMNS} FROM quarantine.rows AS q WHERE {where}"
        f" ORDER BY q.quarantined_at DESC, q.quarantine_id LIMIT {int(limit)} OFFSET {int(offset)}",
        values,
    )
    return [_entry(row) for row in found.to_pylist()]


def count_rules(quarantine: Quarantine, wanted: Filter) -> list[RuleCount]:
    """How many entries break each rule, the most frequent first. An entry counts with each of its rules."""
    where, values = _where(wanted)
    # A quotation mark within a value is escaped in JSON: what the pattern finds is a rule's name.
    if quarantine.warehouse.dialect == "duckdb":
        rules = f"unnest(regexp_extract_all(q.reasons, '{_RULE}', 1))"
    else:
        rules = f"(regexp_matches(q.reasons, '{_RULE}', 'g'))[1]"
    found = quarantine.warehouse.query(
        "SELECT source, table_name, rule, count(*) AS entries"
        f" FROM (SELECT q.source, q.table_name, {rules} AS rule FROM quarantine.rows AS q WHERE {where}) AS broken"
        " GROUP BY 1, 2, 3 ORDER BY entries DESC, source, table_name, rule",
        values,
    )
    return [RuleCount(**row) for row in found.to_pylist()]


def read_details(quarantine: Quarantine, ids: Sequence[str]) -> dict[str, Detail]:
    """What is known of the entries with these identifiers, by identifier; of those that there are."""
    details: dict[str, Detail] = {}
    known = sorted({i for i in ids if _ID.fullmatch(i)})
    query = quarantine.warehouse.query
    for part in id_lists(pl.Series("quarantine_id", known, dtype=pl.String)):
        is_among = f"quarantine_id IN ({part})"
        suggested: dict[str, dict[str, Suggestion]] = {}
        # Of several for a column the latest holds.
        for row in query(
            "SELECT quarantine_id, column_name, original, corrected, rule, rule_version FROM quality.corrections"
            f" WHERE {is_among} AND NOT is_applied ORDER BY corrected_at, correction_id"
        ).to_pylist():
            entry_id, column = row.pop("quarantine_id"), row.pop("column_name")
            suggested.setdefault(entry_id, {})[column] = Suggestion(column=column, **row)
        history: dict[str, list[PastDecision]] = {}
        for row in query(
            "SELECT quarantine_id, action, decided_by, decided_at, reason, payload_before, payload_after, batch_id"
            f" FROM quarantine.decisions WHERE {is_among} ORDER BY decided_at, decision_id"
        ).to_pylist():
            after = row.pop("payload_after")
            past = PastDecision(
                payload_before=json.loads(row.pop("payload_before")),
                payload_after=json.loads(after) if after is not None else None,
                **{name: row[name] for name in row if name != "quarantine_id"},
            )
            history.setdefault(row["quarantine_id"], []).append(past)
        for row in query(f"SELECT {_COLUMNS} FROM quarantine.rows AS q WHERE q.{is_among}").to_pylist():
            entry = _entry(row)
            past_decisions = tuple(history.get(entry.quarantine_id, ()))
            edits = [past.payload_after for past in past_decisions if past.payload_after is not None]
            columns = tuple(suggested.get(entry.quarantine_id, {}).values())
            details[entry.quarantine_id] = Detail(
                replace(entry, suggestions=len(columns)),
                edits[-1] if edits else entry.payload,
                columns,
                past_decisions,
            )
    return details


def read_detail(quarantine: Quarantine, quarantine_id: str) -> Detail:
    """What is known of an entry. Raises :class:`PermanentError` where there is none."""
    found = read_details(quarantine, [quarantine_id])
    if quarantine_id not in found:
        raise PermanentError(
            "there is no such entry in the quarantine",
            where=quarantine_id[:100],
            remedy="`shopsphere quarantine list` shows the identifiers",
        )
    return found[quarantine_id]


_COLUMNS = (
    "q.quarantine_id, q.source, q.table_name, q.row_key, q.payload, q.reasons, q.position, q.changed_at,"
    " q.quarantined_at, q.settled_at, q.settlement, q.batch_id,"
    " (SELECT count(DISTINCT c.column_name) FROM quality.corrections AS c"
    " WHERE c.quarantine_id = q.quarantine_id AND NOT c.is_applied) AS suggestions"
)

_STATE_CONDITIONS: dict[State, str] = {
    "open": "q.settled_at IS NULL",
    "readmitted": "q.settlement = 'readmitted'",
    "accepted": "q.settlement = 'accepted'",
    "excluded": "q.settlement = 'excluded'",
    "superseded": "q.settlement = 'superseded'",
    "deleted": "q.settlement = 'deleted at the source'",
    "settled": "q.settled_at IS NOT NULL",
    "all": "true",
}


def _where(wanted: Filter) -> tuple[str, list[Any]]:
    """The SQL condition and its parameters, the same on both engines."""
    conditions = [_STATE_CONDITIONS[wanted.state]]
    values: list[Any] = []

    def add(condition: str, *more: Any) -> None:
        names = [f"${len(values) + n}" for n in range(1, len(more) + 1)]
        values.extend(more)
        conditions.append(condition.format(*names))

    if wanted.source is not None:
        add("q.source = {}", _storable(wanted.source))
    if wanted.table is not None:
        add("q.table_name = {}", _storable(wanted.table))
    if wanted.rule is not None:
        add("strpos(q.reasons, {}) > 0", f'"rule":{_json(wanted.rule)}')
    if wanted.column is not None:
        add("strpos(q.reasons, {}) > 0", f'"column":{_json(wanted.column)}')
    if wanted.text:
        add(
            "(strpos(lower(q.row_key), lower({0})) > 0 OR strpos(lower(q.payload), lower({1})) > 0"
            " OR strpos(lower(q.reasons), lower({1})) > 0)",
            _storable(wanted.text),
            _json(wanted.text)[1:-1],
        )
    if wanted.older_than is not None:
        add("q.quarantined_at <= {}", utc_now() - wanted.older_than)
    if wanted.newer_than is not None:
        add("q.quarantined_at >= {}", utc_now() - wanted.newer_than)
    if wanted.has_suggestion:
        conditions.append(
            "EXISTS (SELECT 1 FROM quality.corrections AS c"
            " WHERE c.quarantine_id = q.quarantine_id AND NOT c.is_applied)"
        )
    return " AND ".join(conditions), values


def _json(text: str) -> str:
    return json.dumps(_storable(text, nul=None), ensure_ascii=False)


def _storable(text: str, nul: str | None = "\\0") -> str:
    """``text`` as a warehouse can compare it: no half characters, no NUL."""
    whole = text.encode("utf-8", "replace").decode()
    return whole if nul is None else whole.replace("\x00", nul)


def _entry(row: dict[str, Any]) -> Entry:
    reasons = tuple(Reason(r["rule"], r.get("column"), r.get("value")) for r in json.loads(row.pop("reasons")))
    return Entry(payload=json.loads(row.pop("payload")), reasons=reasons, **row)
