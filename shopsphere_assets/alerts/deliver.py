"""Delivers what is due by every channel; one that fails neither holds up the others nor loses anything.

A message counts as delivered when its channel has taken it over and that is committed. Killed in between, it is
delivered once more, under the same id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from resources.errors import PlatformError
from resources.notify import Channel, Message
from resources.warehouse import Warehouse
from shopsphere_assets.alerts.cause import Alert
from shopsphere_assets.alerts.message import opened_message, resolved_message
from shopsphere_assets.alerts.store import mark_told, untold

_LOG = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_MESSAGES: dict[str, Callable[[Alert], Message]] = {"opened": opened_message, "resolved": resolved_message}


class LogChannel:
    """Stands in where no channel is configured: each alert is logged once."""

    name = "log"

    def deliver(self, message: Message) -> None:
        """Log the message."""
        _LOG.warning("%s\n%s", message.subject, message.text)


@dataclass(frozen=True)
class Pause:
    """A channel that has failed: how often in a row, and when it is tried again."""

    failures: int
    until: datetime

    @classmethod
    def after(cls, failures: int, now: datetime) -> Pause:
        """The pause after so many failures: doubling, an hour at most, lest a refused password locks the account."""
        return cls(failures, now + min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE))


@dataclass
class Delivered:
    """``messages``: how many were taken over; ``errors`` and ``pauses`` by channel."""

    messages: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)


def deliver_due(
    warehouse: Warehouse,
    channels: Sequence[Channel],
    *,
    pauses: dict[str, Pause] | None = None,
    seconds: float = 30.0,
    now: datetime | None = None,
) -> Delivered:
    """Deliver every message that is due by every channel, the oldest first.

    What ``seconds`` do not suffice for is left for the next time. ``pauses``: what the last call gave. Raises
    :class:`PlatformError` where the warehouse cannot be read or written.
    """
    deadline = time.monotonic() + seconds
    now = now or datetime.now(UTC)
    using: Sequence[Channel] = channels or [LogChannel()]
    names = [channel.name for channel in using]
    done = Delivered()
    for channel in using:
        pause = (pauses or {}).get(channel.name)
        if pause is not None and now < pause.until:
            done.pauses[channel.name] = pause
            continue
        for alert, event in _due(warehouse, channel, now):
            if time.monotonic() > deadline:
                return done
            # Held meanwhile, so that what was delivered can be noted at once and is not delivered again.
            with warehouse.writer_lock():
                try:
                    channel.deliver(_MESSAGES[event](alert))
                except PlatformError as error:
                    done.errors[channel.name] = str(error)
                    done.pauses[channel.name] = Pause.after(pause.failures + 1 if pause else 1, now)
                    break
                mark_told(warehouse, alert, event, channel.name, channels=names, now=now)
            done.messages += 1
    return done


def _due(warehouse: Warehouse, channel: Channel, now: datetime) -> list[tuple[Alert, str]]:
    return [(alert, event) for event in _MESSAGES for alert in untold(warehouse, event, channel.name, now=now)]
