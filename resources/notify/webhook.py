"""A webhook: a JSON object posted to a URL.

The object has ``text``, which chat services (Slack, Mattermost, Rocket.Chat) show as it is, and the message's data.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import stamina

from resources.errors import PermanentError, PlatformError, TransientError
from resources.notify.message import Message, one_line

_TIMEOUT_SECONDS = 5.0
_ATTEMPTS = 3
_LONGEST_SECONDS = 15.0
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_SETTING = "SHOPSPHERE_ALERT_WEBHOOK_URL"


class WebhookChannel:
    """A URL that takes JSON. It is a secret: whoever knows it can post."""

    name = "webhook"

    def __init__(self, url: str, *, first_wait_seconds: float = 0.5) -> None:
        self._url = url
        self._first_wait_seconds = first_wait_seconds

    def deliver(self, message: Message) -> None:
        """Post the message; passing faults are tried again a few times.

        ``Idempotency-Key`` is the message's id: one that came twice is the same message.
        """
        body = {"text": f"{one_line(message.subject)}\n\n{message.text}", **message.data}
        with httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client:
            for attempt in stamina.retry_context(
                on=TransientError,
                attempts=_ATTEMPTS,
                timeout=_LONGEST_SECONDS,
                wait_initial=self._first_wait_seconds,
                wait_jitter=self._first_wait_seconds,
            ):
                with attempt:
                    self._post(client, body, message.id)

    def _post(self, client: httpx.Client, body: dict[str, object], key: str) -> None:
        try:
            answer = client.post(self._url, json=body, headers={"Idempotency-Key": one_line(key)})
        except httpx.TimeoutException:
            raise TransientError("the webhook did not answer in time", where=self._where, remedy=_LATER) from None
        except httpx.RequestError as error:
            raise self._no_connection(error) from None
        if answer.is_success:
            return
        what = f"the webhook answered {answer.status_code}"
        if answer.status_code in _PASSING_STATUS:
            raise TransientError(what, where=self._where, remedy=_LATER)
        raise PermanentError(what, where=self._where, remedy=f"copy the URL anew into {_SETTING}")

    def _no_connection(self, error: httpx.RequestError) -> PlatformError:
        words = one_line(str(error).replace(self._url, "the URL")) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return PermanentError(
                "the webhook's certificate is not trusted",
                where=self._where,
                remedy="name the server as its certificate does; an authority of your own is added by the "
                "environment variable SSL_CERT_FILE",
            )
        return TransientError(f"the webhook cannot be reached: {words}", where=self._where, remedy=_LATER)

    @property
    def _where(self) -> str:
        return f"webhook at {urlsplit(self._url).hostname}"


_LATER = f"check {_SETTING} and the network if it goes on"
