"""Check of the alerts' channels: whether the mail server takes us in. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator

from resources.errors import PlatformError
from resources.notify import SmtpChannel, open_channels
from resources.settings import Settings
from shopsphere_assets.diagnosis.finding import Finding, Status, failed

AREA = "Alerts"


def check_alerts(settings: Settings) -> Iterator[Finding]:
    """What is told to whom when something breaks."""
    channels = open_channels(settings)
    if not channels:
        yield Finding(
            AREA,
            "channels",
            Status.EMBEDDED,
            "neither e-mail nor webhook is set: alerts are kept and logged",
            "docs/how-to/be-alerted.md says how to be told",
        )
    for channel in channels:
        if not isinstance(channel, SmtpChannel):
            yield Finding(AREA, channel.name, Status.OK, "set; whether it takes messages shows the first one")
            continue
        try:
            channel.try_out()
        except PlatformError as error:
            yield failed(AREA, channel.name, error)
        else:
            to = ", ".join(settings.alert_recipients)
            yield Finding(AREA, channel.name, Status.OK, f"the mail server takes us in; alerts go to {to}")
