"""What people decide about quarantined rows: edit, re-admit, accept, exclude, reopen; one by one or many at once.

A row goes back by the way by which all rows come: judged by the same contract, landed in the lake, and merged in one
transaction with the ledger entry, the settlement and the decision. Who decides holds the writer lock from looking at
the entry to the commit: of two people, or a person and a source, the second finds what the first has done.

Does not belong here: what becomes of a settled entry when its row is read again (``ingestion.settlement``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import uuid4

import polars as pl

from resources.errors import PermanentError
from resources.reading import POSITION, Chunk
from shopsphere_assets.ingestion.batch import load_chunks
from shopsphere_assets.ingestion.coerce import coerce
from shopsphere_assets.ingestion.decisions import SETTLING, TAKEN_IN, Action, Decision
from shopsphere_assets.ingestion.ledger import read_state, utc_now
from shopsphere_assets.ingestion.raw_table import BATCH_ID, DELETED_AT, RawTable
from shopsphere_assets.ingestion.validate import Judge, divide
from shopsphere_assets.quarantine.entries import Detail, Quarantine, Reason, Row, read_details

Wish = Literal["edit", "readmit", "accept", "exclude", "reopen"]

ACTIONS: dict[Wish, Action] = {
    "edit": "edited",
    "readmit": "readmitted",
    "accept": "accepted",
    "exclude": "excluded",
    "reopen": "reopened",
}
"""What a person may wish, and the decision that it is kept as."""

NEEDS_REASON: tuple[Wish, ...] = ("accept", "exclude")

_KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class Order:
    """What somebody wants done, and why. ``cells``: new values of some columns; None empties a cell.

    ``with_suggestions``: put in what the rules suggest first.
    """

    wish: Wish
    by: str
    reason: str | None = None
    cells: Mapping[str, str | None] = field(default_factory=dict)
    with_suggestions: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of an order for one entry: done where ``problem`` is None, else why nothing was changed.

    ``broken``: the rules that the row still breaks. ``batch_id``: the batch that carried it out.
    """

    quarantine_id: str
    label: str = ""
    row_key: str = ""
    problem: str | None = None
    broken: tuple[Reason, ...] = ()
    batch_id: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was done, or would be."""
        return self.problem is None


def decide(
    quarantine: Quarantine,
    ids: Sequence[str],
    order: Order,
    *,
    versions: Mapping[str, int] | None = None,
    dry_run: bool = False,
) -> list[Outcome]:
    """Do what ``order`` says with the entries ``ids``, in one batch per table; the outcomes in their order.

    ``versions``: of entries as the person saw them; one that was decided on since is left alone. ``dry_run``: only
    tell what would become of it. Raises :class:`PlatformError` where the order makes no sense or the warehouse cannot
    be written; what was committed for other tables by then stays.
    """
    order = _checked(order)
    found = read_details(quarantine, ids)
    outcomes = {i: Outcome(i, problem="there is no such entry in the quarantine") for i in ids}
    labels = dict.fromkeys(detail.entry.label for detail in found.values())
    for label in labels:
        chosen = [i for i in dict.fromkeys(ids) if i in found and found[i].entry.label == label]
        table = quarantine.tables.get(label)
        if table is None:
            what = f"the platform does not read {label} any more"
            outcomes |= {i: replace(_outcome(found[i]), problem=what) for i in chosen}
            continue
        outcomes |= {
            outcome.quarantine_id: outcome
            for outcome in _decide(quarantine, table, chosen, order, versions or {}, dry_run=dry_run)
        }
    return [outcomes[i] for i in dict.fromkeys(ids)]


def _checked(order: Order) -> Order:
    by = _plain(order.by).strip()
    reason = _plain(order.reason or "").strip() or None
    if not by:
        raise PermanentError("nobody decides", where="the name of who decides", remedy="give a name")
    if order.wish in NEEDS_REASON and reason is None:
        raise PermanentError(
            f"a row is {ACTIONS[order.wish]} for a reason", where="the reason", remedy="say why, in a few words"
        )
    cells = {name: None if value is None else _whole(value) for name, value in order.cells.items()}
    return replace(order, by=by, reason=reason, cells=cells)


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _plain(text: str) -> str:
    """``text`` without what PostgreSQL cannot store."""
    return _whole(text).replace("\x00", "\\0")


def _outcome(detail: Detail) -> Outcome:
    return Outcome(detail.entry.quarantine_id, detail.entry.label, detail.entry.row_key)


@dataclass(frozen=True)
class _Candidate:
    """An entry that the order may be carried out for, and its row as it would be."""

    detail: Detail
    row: Row

    @property
    def quarantine_id(self) -> str:
        return self.detail.entry.quarantine_id

    def decision(self, order: Order) -> Decision:
        before = self.detail.draft
        return Decision(
            quarantine_id=self.quarantine_id,
            action=ACTIONS[order.wish],
            decided_by=order.by,
            reason=order.reason,
            payload_before=json.dumps(before, ensure_ascii=False),
            payload_after=json.dumps(self.row, ensure_ascii=False) if self.row != before else None,
        )


def _decide(
    quarantine: Quarantine,
    table: RawTable,
    ids: Sequence[str],
    order: Order,
    versions: Mapping[str, int],
    *,
    dry_run: bool,
) -> list[Outcome]:
    """Carry out an order for entries of one table."""
    warehouse = quarantine.warehouse
    with nullcontext() if dry_run else warehouse.writer_lock():
        # Under the lock: nobody else changes what is looked at here before it is acted upon.
        found = read_details(quarantine, ids)
        details = {i: found[i] for i in ids if i in found}
        outcomes = {i: _outcome(detail) for i, detail in details.items()}
        candidates = []
        for i, detail in details.items():
            problem = _why_not(detail, table, order, versions.get(i))
            if problem is None:
                candidates.append(_Candidate(detail, _row(detail, order)))
            else:
                outcomes[i] = replace(outcomes[i], problem=problem)
        chunks: list[Chunk] = []
        judge: Judge = partial(divide, only_storable=True) if order.wish == "accept" else divide
        if order.wish in ("readmit", "accept"):
            for i, problem, broken in _refused(quarantine, table, candidates, judge):
                outcomes[i] = replace(outcomes[i], problem=problem, broken=broken)
            candidates = [c for c in candidates if outcomes[c.quarantine_id].is_done]
            if candidates:
                chunks = [_chunk(table, candidates, [c.detail.entry.position for c in candidates])]
        elif order.wish == "reopen":
            chunks = _withdrawn(quarantine, table, candidates)
        if candidates and not dry_run:
            warehouse.ensure_tables(table.definitions)
            report = load_chunks(
                table,
                chunks,
                quarantine.destination,
                run_id=str(uuid4()),
                kind="readmission",
                order_by=table.cursor,
                watermark=read_state(warehouse, [table])[table.name].watermark,
                decisions=[candidate.decision(order) for candidate in candidates],
                judge=judge,
            )
            assert report is not None
            for candidate in candidates:
                i = candidate.quarantine_id
                outcomes[i] = replace(outcomes[i], batch_id=report.batch_id)
    return list(outcomes.values())


def _why_not(detail: Detail, table: RawTable, order: Order, version: int | None) -> str | None:
    """Why an order cannot be carried out, whatever the row holds."""
    entry = detail.entry
    last = detail.history[-1] if detail.history else None
    if version is not None and version != detail.version and last is not None:
        when = f"{last.decided_at:%Y-%m-%d %H:%M} UTC"
        return f"meanwhile {last.decided_by} has {last.action} it ({when}): look again before you decide"
    if order.wish == "reopen":
        if entry.settlement is None:
            return "it is open"
        if entry.settlement not in SETTLING:
            return f"it is {entry.settlement}: the row stands at its source no longer as it was set aside"
        return None
    if entry.settlement in SETTLING and last is not None:
        return f"it is settled already: {entry.settlement} by {last.decided_by}; reopen it to decide anew"
    if entry.settlement is not None:
        return f"it is settled already: {entry.settlement}"
    unknown = [name for name in order.cells if name not in table.column_types]
    if unknown:
        return f"{table.label} has no column {', '.join(unknown)[:200]}"
    if order.with_suggestions and not detail.suggested:
        return "no rule suggests anything for it"
    if order.wish == "edit" and _row(detail, order) == detail.draft:
        return "nothing of it was changed"
    return None


def _row(detail: Detail, order: Order) -> Row:
    before = detail.with_suggestions if order.with_suggestions else detail.draft
    return {**before, **order.cells}


def _chunk(table: RawTable, candidates: Sequence[_Candidate], positions: Sequence[str | None]) -> Chunk:
    """The candidates' rows as a source gives them whose every value is text."""
    columns = {name: [c.row.get(name) for c in candidates] for name in table.column_types}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(table.column_types, pl.String()))
    return Chunk(frame.with_columns(pl.Series(POSITION, positions, dtype=pl.String)), bytes_read=0)


def _refused(
    quarantine: Quarantine, table: RawTable, candidates: Sequence[_Candidate], judge: Judge
) -> list[tuple[str, str, tuple[Reason, ...]]]:
    """The entries whose rows cannot be taken in: identifier, why, and the rules that they break."""
    if not candidates:
        return []
    # Each row's entry as its position, by which it is known again when it was judged.
    divided = judge(table, _chunk(table, candidates, [c.quarantine_id for c in candidates]))
    refused = []
    for i, text in divided.quarantined.select("position", "reasons").iter_rows():
        broken = tuple(Reason(r["rule"], r["column"], r["value"]) for r in json.loads(text))
        rules = ", ".join(reason.rule for reason in broken)
        refused.append((i, f"the row still breaks {rules}", broken))
    by_id = {candidate.quarantine_id: candidate for candidate in candidates}
    as_read = _as_read(table, candidates)
    latest = _latest_cursor(quarantine, table)
    standing = _standing(quarantine, table, divided.valid)
    for row in divided.valid.iter_rows(named=True):
        candidate = by_id[row[POSITION]]
        before, in_raw = as_read[candidate.quarantine_id], standing.get(_key(table, row))
        problem = _why_not_in_raw(table, candidate, before, row, latest, in_raw)
        if problem is not None:
            refused.append((candidate.quarantine_id, problem, ()))
    return refused


def _latest_cursor(quarantine: Quarantine, table: RawTable) -> datetime:
    """The latest moment that a re-admitted row may be dated: later versions from the source must be able to follow."""
    return read_state(quarantine.warehouse, [table])[table.name].watermark or utc_now()


def _as_read(table: RawTable, candidates: Sequence[_Candidate]) -> dict[str, dict[str, Any]]:
    """Key and cursor of the candidates' rows as they were read, in the contract's types, by identifier."""
    types = {name: table.column_types[name] for name in dict.fromkeys((*table.key, table.cursor))}
    payloads = [candidate.detail.entry.payload for candidate in candidates]
    texts = {name: [payload.get(name) for payload in payloads] for name in types}
    typed, _ = coerce(pl.DataFrame(texts, schema=dict.fromkeys(types, pl.String())), types)
    return {c.quarantine_id: row for c, row in zip(candidates, typed.iter_rows(named=True), strict=True)}


def _why_not_in_raw(
    table: RawTable,
    candidate: _Candidate,
    before: dict[str, Any],
    row: dict[str, Any],
    latest: datetime,
    standing: dict[str, Any] | None,
) -> str | None:
    """Why a good row, of which ``before`` is the key and the cursor as read, must not be merged into raw, if so.

    ``standing``: the row under its key in raw.
    """
    entry = candidate.detail.entry
    is_usable = all(before[name] is not None for name in table.key) and not any(
        reason.column in table.key for reason in entry.reasons
    )
    if is_usable and _key(table, before) != _key(table, row):
        return f"the key ({', '.join(table.key)}) says which row it is and cannot be changed; exclude the entry instead"
    cursor, read_cursor = row[table.cursor], before[table.cursor]
    if cursor is not None and cursor != read_cursor and cursor > max(latest, entry.changed_at or latest):
        return (
            f"{table.cursor} lies after {latest:%Y-%m-%d %H:%M:%S} UTC, up to where the table was read: later versions "
            "from the source could not replace the row"
        )
    if standing is None:
        return None
    in_raw = standing[table.cursor]
    if in_raw is not None and (cursor is None or in_raw > cursor):
        return f"raw holds a newer version of the row, of {in_raw:%Y-%m-%d %H:%M:%S} UTC"
    return None


def _key(table: RawTable, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in table.key)


def _standing(quarantine: Quarantine, table: RawTable, rows: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What raw holds under the keys of ``rows``, by key: the cursor, the batch, and whether it is marked as deleted."""
    names = list(dict.fromkeys((*table.key, table.cursor, BATCH_ID, DELETED_AT)))
    columns = ", ".join(f'"{name}"' for name in names)
    key = ", ".join(f'"{name}"' for name in table.key)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for part in rows.select(table.key).unique().iter_slices(_KEYS_AT_ONCE):
        values = [value for row in part.iter_rows() for value in row]
        width = len(table.key)
        marks = [
            "(" + ", ".join(f"${first + n + 1}" for n in range(width)) + ")" for first in range(0, len(values), width)
        ]
        sql = f"SELECT {columns} FROM {table.definition} WHERE ({key}) IN ({', '.join(marks)})"
        # As polars reads it, moments are in UTC whatever the session's time zone.
        frame = pl.DataFrame(quarantine.warehouse.query(sql, values))
        typed = frame.with_columns(pl.col(pl.Datetime).dt.convert_time_zone("UTC"))
        found |= {_key(table, row): row for row in typed.iter_rows(named=True)}
    return found


def _withdrawn(quarantine: Quarantine, table: RawTable, candidates: Sequence[_Candidate]) -> list[Chunk]:
    """The keys of the raw rows that the reopened entries brought and that no other version has replaced."""
    taken_in = {}
    for candidate in candidates:
        batches = [past.batch_id for past in candidate.detail.history if past.action in TAKEN_IN]
        if candidate.detail.entry.settlement in TAKEN_IN and batches:
            taken_in[candidate.quarantine_id] = (candidate, batches[-1])
    if not taken_in:
        return []
    chunk = _chunk(table, [c for c, _ in taken_in.values()], list(taken_in))
    types = {name: table.column_types[name] for name in table.key}
    keys, _ = coerce(chunk.rows, types)
    standing = _standing(quarantine, table, keys.drop_nulls())
    keep = [
        (row := standing.get(key)) is not None and row[BATCH_ID] == batch and row[DELETED_AT] is None
        for key, (_, batch) in zip(keys.iter_rows(), taken_in.values(), strict=True)
    ]
    gone = keys.filter(pl.Series(keep, dtype=pl.Boolean))
    return [Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=gone)] if gone.height else []
