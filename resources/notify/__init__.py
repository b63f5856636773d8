"""Telling people and programs outside: e-mail by SMTP, and a webhook.

Belongs here: delivering one message by one channel, with its time limits and errors. Not here: what a message
says, and whether and when it is due (``shopsphere_assets/alerts``).
"""

from __future__ import annotations

from resources.notify.message import Channel, Message
from resources.notify.smtp import SmtpChannel
from resources.notify.webhook import WebhookChannel
from resources.settings import Settings

__all__ = ["Channel", "Message", "SmtpChannel", "WebhookChannel", "open_channels"]


def open_channels(settings: Settings) -> list[Channel]:
    """The channels that are configured; nothing connects before a message is delivered."""
    channels: list[Channel] = []
    if settings.alert_smtp_url is not None:
        channels.append(
            SmtpChannel(
                settings.alert_smtp_url.get_secret_value(),
                sender=settings.alert_email_from or "",
                recipients=settings.alert_recipients,
            )
        )
    if settings.alert_webhook_url is not None:
        channels.append(WebhookChannel(settings.alert_webhook_url.get_secret_value()))
    return channels
