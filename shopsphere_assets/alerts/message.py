"""The words of an alert's messages: plain text for everyone, simple HTML for those who see it, data for programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import jinja2

from resources.notify import Message
from shopsphere_assets.alerts.cause import PAGES, Alert

_LABEL_WIDTH = 19

_HTML = """\
<!doctype html>
<html lang="en"><body style="margin:0;padding:16px;font:15px/1.5 system-ui,sans-serif;color:#1c2330">
<p style="margin:0 0 12px;padding:8px 12px;border-left:4px solid {{ color }};font-size:17px">
<strong>{{ headline }}</strong></p>
<table style="border-collapse:collapse">
{% for label, text in lines %}
<tr><td style="padding:4px 16px 4px 0;color:#5b6472;vertical-align:top;white-space:nowrap">{{ label }}</td>
<td style="padding:4px 0;overflow-wrap:anywhere">
{%- if label in pages %}<a href="{{ text }}">{{ text }}</a>{% else %}{{ text }}{% endif -%}
</td></tr>
{% endfor %}
</table>
<p style="color:#5b6472;font-size:13px">One message per cause: this one is not repeated while it lasts, and you will be
told when it is mended. <code>shopsphere alerts</code> lists what is open. Personal values are shown by their shape
only.</p>
</body></html>
"""

_ENVIRONMENT = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
_COLORS = {"error": "#b3261e", "warning": "#b26a00", "resolved": "#1b7f4b"}


def opened_message(alert: Alert) -> Message:
    """What is told when an alert is opened."""
    word = "Failure" if alert.severity == "error" else "Warning"
    return _message(
        alert,
        event="opened",
        subject=f"[ShopSphere] {word}: {alert.title}",
        headline=alert.title,
        color=_COLORS["error" if alert.severity == "error" else "warning"],
        lines=[("since", moment(alert.opened_at)), *_seen(alert), *alert.details.items()],
        answers=None,
    )


def resolved_message(alert: Alert) -> Message:
    """What is told when its cause is mended."""
    end = alert.resolved_at or alert.last_seen_at
    lines = [
        ("since", moment(alert.opened_at)),
        ("mended", f"{moment(end)}, after {duration(end - alert.opened_at)}"),
        *_seen(alert),
        *((label, text) for label, text in alert.details.items() if label in PAGES),
    ]
    return _message(
        alert,
        event="resolved",
        subject=f"[ShopSphere] Mended: {alert.title}",
        headline=f"Mended: {alert.title}",
        color=_COLORS["resolved"],
        lines=lines,
        answers=f"{alert.alert_id}.opened",
    )


def _seen(alert: Alert) -> list[tuple[str, str]]:
    if alert.occurrences < 2:
        return []
    return [("seen", f"{alert.occurrences:,} times, last at {moment(alert.last_seen_at)}")]


def _message(
    alert: Alert,
    *,
    event: str,
    subject: str,
    headline: str,
    color: str,
    lines: list[tuple[str, str]],
    answers: str | None,
) -> Message:
    html = _ENVIRONMENT.from_string(_HTML).render(headline=headline, color=color, lines=lines, pages=PAGES)
    text = "\n".join([headline, "", *(f"{label + ':':<{_LABEL_WIDTH}} {value}" for label, value in lines)])
    return Message(
        id=f"{alert.alert_id}.{event}", subject=subject, text=text, html=html, data=_data(alert, event), answers=answers
    )


def _data(alert: Alert, event: str) -> dict[str, Any]:
    return {
        "event": event,
        "alert_id": alert.alert_id,
        "cause": alert.cause,
        "title": alert.title,
        "severity": alert.severity,
        "opened_at": alert.opened_at.isoformat(),
        "last_seen_at": alert.last_seen_at.isoformat(),
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
        "occurrences": alert.occurrences,
        "details": alert.details,
    }


def moment(when: datetime) -> str:
    """A moment for people."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """A length of time for people: its largest unit that is at least two."""
    minutes = length.total_seconds() / 60
    if minutes < 120:
        return f"{max(minutes, 0):.0f} minute{'' if round(minutes) == 1 else 's'}"
    return f"{minutes / 60:.0f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"
