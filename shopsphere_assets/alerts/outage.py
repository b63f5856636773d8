"""When the warehouse itself is away: what is kept elsewhere then, and told without it.

Alerts are kept in the warehouse, so this one cannot be. What is known of it fits into the cursor of the sensor that
looks for causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from resources.errors import PlatformError
from resources.notify import Channel
from shopsphere_assets.alerts.cause import ERROR, WHAT_TO_DO, WHERE, Alert
from shopsphere_assets.alerts.message import opened_message, resolved_message


@dataclass(frozen=True)
class Outage:
    """Since when the warehouse is away, and by which channels that was told."""

    since: datetime
    seen_at: datetime
    told: tuple[str, ...] = ()
    what: str = ""
    where: str = ""
    remedy: str = ""


def still_away(
    outage: Outage | None, error: PlatformError, channels: Sequence[Channel], *, bound: timedelta, now: datetime
) -> Outage:
    """The outage at another look in vain; told once it has lasted longer than ``bound``."""
    current = replace(outage or Outage(now, now), seen_at=now, what=error.what, where=error.where, remedy=error.remedy)
    if now - current.since < bound:
        return current
    return _tell(current, channels, None)


def is_back(outage: Outage, channels: Sequence[Channel], *, now: datetime) -> None:
    """Tell those who were told of the outage that it is over."""
    _tell(outage, [channel for channel in channels if channel.name in outage.told], now)


def _tell(outage: Outage, channels: Sequence[Channel], resolved_at: datetime | None) -> Outage:
    alert = Alert(
        alert_id=f"warehouse-{outage.since:%Y%m%dT%H%M%S}",
        cause="warehouse/away",
        title=f"The warehouse cannot be used: {outage.what}",
        details={ERROR: outage.what, WHERE: outage.where, WHAT_TO_DO: outage.remedy},
        severity="error",
        opened_at=outage.since,
        last_seen_at=outage.seen_at,
        occurrences=1,
        notified_at=None,
        resolved_at=resolved_at,
    )
    told = list(outage.told)
    for channel in channels:
        if resolved_at is None and channel.name in told:
            continue
        try:
            channel.deliver(resolved_message(alert) if resolved_at else opened_message(alert))
        except PlatformError:
            # At the next look again; the channel itself is reported there.
            continue
        told.append(channel.name)
    return replace(outage, told=tuple(dict.fromkeys(told)))
