"""The life of alerts in ``quality.alerts``: opened, seen again, resolved; and what was told of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from resources.warehouse import Warehouse
from resources.warehouse.system_tables import ALERT_DELIVERIES, ALERTS
from shopsphere_assets.alerts.cause import LABELS, Alert, Cause

SETTLING = timedelta(minutes=10)
"""What comes back within this time was not mended: the alert goes on, and nobody is told that it had ended."""

_REMEMBERED = timedelta(days=8)
_OF_INTEREST = f"SELECT * FROM {ALERTS} WHERE resolved_at IS NULL OR last_seen_at >= $1 ORDER BY opened_at, cause"


@dataclass(frozen=True)
class Changes:
    """What became of alerts at one look, by their causes."""

    opened: list[str]
    seen_again: list[str]
    resolved: list[str]


@dataclass(frozen=True)
class _Diff:
    """``seen``: alert, moment and number of occurrences more; among them resolved ones that go on."""

    opened: list[tuple[Cause, int, datetime]]
    seen: list[tuple[Alert, datetime, int]]
    resolved: list[Alert]

    @property
    def is_empty(self) -> bool:
        return not (self.opened or self.seen or self.resolved)


def open_alerts(warehouse: Warehouse) -> list[Alert]:
    """The alerts that are open, the oldest first."""
    found = warehouse.query(f"SELECT * FROM {ALERTS} WHERE resolved_at IS NULL ORDER BY opened_at, cause")
    return [Alert.of(row) for row in found.to_pylist()]


def mended_alerts(warehouse: Warehouse, *, since: datetime) -> list[Alert]:
    """The alerts that were resolved ``since`` then, the latest first."""
    found = warehouse.query(f"SELECT * FROM {ALERTS} WHERE resolved_at >= $1 ORDER BY resolved_at DESC, cause", [since])
    return [Alert.of(row) for row in found.to_pylist()]


def update(warehouse: Warehouse, present: Sequence[Cause], gone: Collection[str], *, now: datetime) -> Changes:
    """Enter the causes that are ``present``, and resolve the open alerts whose cause is ``gone``.

    Evidence that is not newer than what an alert of its cause has seen changes nothing, so that the same look may
    be taken twice.
    """
    since = [now - _REMEMBERED]
    if not _compare(warehouse.query(_OF_INTEREST, since), present, gone, now).is_empty:
        with warehouse.transaction() as transaction:
            diff = _compare(transaction.query(_OF_INTEREST, since), present, gone, now)
            rows = [_row(cause, count, last, now) for cause, count, last in diff.opened]
            transaction.append(ALERTS.schema, ALERTS.name, pa.Table.from_pylist(rows, schema=ALERTS.columns))
            for alert, seen_at, count in diff.seen:
                transaction.execute(
                    f"UPDATE {ALERTS} SET last_seen_at = $2, occurrences = $3, resolved_at = NULL WHERE alert_id = $1",
                    [alert.alert_id, seen_at, alert.occurrences + count],
                )
            for alert in diff.resolved:
                transaction.execute(f"UPDATE {ALERTS} SET resolved_at = $2 WHERE alert_id = $1", [alert.alert_id, now])
        return Changes(
            [cause.key for cause, _, _ in diff.opened],
            [alert.cause for alert, _, _ in diff.seen],
            [alert.cause for alert in diff.resolved],
        )
    return Changes([], [], [])


def _compare(known: pa.Table, present: Sequence[Cause], gone: Collection[str], now: datetime) -> _Diff:
    latest: dict[str, Alert] = {}
    for alert in map(Alert.of, known.to_pylist()):
        latest[alert.cause] = alert
    diff = _Diff([], [], [])
    for key, causes in _by_key(present).items():
        before = latest.get(key)
        new = [cause for cause in causes if before is None or cause.seen_at > before.last_seen_at]
        if not new:
            continue
        moments = sorted({cause.seen_at for cause in new})
        if before is None or (before.resolved_at is not None and before.resolved_at <= now - SETTLING):
            diff.opened.append((new[0], len(moments), moments[-1]))
        else:
            diff.seen.append((before, moments[-1], len(moments)))
    seen = {alert.cause for alert, _, _ in diff.seen}
    diff.resolved.extend(
        alert for key, alert in latest.items() if alert.resolved_at is None and key in gone and key not in seen
    )
    return diff


def _by_key(causes: Iterable[Cause]) -> dict[str, list[Cause]]:
    found: dict[str, list[Cause]] = {}
    for cause in sorted(causes, key=lambda cause: cause.seen_at):
        found.setdefault(cause.key, []).append(cause)
    return found


def _row(cause: Cause, occurrences: int, last_seen_at: datetime, now: datetime) -> dict[str, Any]:
    details = {label: cause.details[label] for label in LABELS if cause.details.get(label)}
    return {
        "alert_id": secrets.token_hex(8),
        "cause": cause.key,
        "title": cause.title,
        "body": json.dumps(details, ensure_ascii=False),
        "severity": cause.severity,
        "opened_at": min(cause.seen_at, now),
        "last_seen_at": last_seen_at,
        "occurrences": occurrences,
        "notified_at": None,
        "resolved_at": None,
    }


def untold(warehouse: Warehouse, event: str, channel: str, *, now: datetime) -> list[Alert]:
    """The alerts of which ``channel`` is yet to tell that they were ``opened`` or ``resolved``, the oldest first.

    What was mended before anybody heard of it, and what only told of a change, is not told to be mended.
    """
    told = f"SELECT 1 FROM {ALERT_DELIVERIES} AS told WHERE told.alert_id = alerts.alert_id AND told.channel = $1"
    parameters: list[Any] = [channel, event]
    if event == "opened":
        which = "resolved_at IS NULL"
    else:
        which = f"resolved_at <= $3 AND cause NOT LIKE 'schema/%' AND EXISTS ({told} AND told.event = 'opened')"
        parameters.append(now - SETTLING)
    found = warehouse.query(
        f"SELECT * FROM {ALERTS} AS alerts WHERE {which} AND NOT EXISTS ({told} AND told.event = $2)"
        " ORDER BY opened_at, cause",
        parameters,
    )
    return [Alert.of(row) for row in found.to_pylist()]


def mark_told(
    warehouse: Warehouse, alert: Alert, event: str, channel: str, *, channels: Collection[str], now: datetime
) -> None:
    """Note that ``channel`` has told of ``alert``; ``channels``: all that are in use."""
    row = {"alert_id": alert.alert_id, "event": event, "channel": channel, "delivered_at": now}
    with warehouse.transaction() as transaction:
        transaction.append(
            ALERT_DELIVERIES.schema,
            ALERT_DELIVERIES.name,
            pa.Table.from_pylist([row], schema=ALERT_DELIVERIES.columns),
        )
        if event == "opened":
            told = transaction.query(
                f"SELECT channel FROM {ALERT_DELIVERIES} WHERE alert_id = $1 AND event = 'opened'", [alert.alert_id]
            )
            if set(channels) <= set(told.column(0).to_pylist()):
                transaction.execute(
                    f"UPDATE {ALERTS} SET notified_at = $2 WHERE alert_id = $1 AND notified_at IS NULL",
                    [alert.alert_id, now],
                )
