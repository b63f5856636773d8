"""E-mail by SMTP, encrypted where the server can.

``smtps://`` speaks TLS from the first byte. ``smtp://`` turns to TLS (STARTTLS) where the server offers it, and
never sends a password without. Certificates are checked against the machine's authorities.
"""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime
from urllib.parse import unquote, urlsplit

from resources.errors import PermanentError, PlatformError, TransientError, redact
from resources.notify.message import Message, one_line

_LOG = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_PORTS = {"smtp": 587, "smtps": 465}
_SETTING = "SHOPSPHERE_ALERT_SMTP_URL"


class SmtpChannel:
    """A mail server: ``smtp://user:password@host:port`` or ``smtps://…``."""

    name = "e-mail"

    def __init__(self, url: str, *, sender: str, recipients: Sequence[str]) -> None:
        parts = urlsplit(url)
        self._is_implicit_tls = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS.get(parts.scheme, 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender
        self._recipients = list(recipients)

    def deliver(self, message: Message) -> None:
        """Send the message to every recipient. One whom the server refuses is logged and does not hinder the others."""
        mail = self._mail(message)
        try:
            with self._connection() as server:
                refused = server.send_message(mail)
        except PlatformError:
            raise
        except (smtplib.SMTPException, OSError) as error:
            raise self._fault(error) from None
        for recipient, (code, words) in refused.items():
            _LOG.warning("the mail server refuses %s: %s %s", recipient, code, _decoded(words))

    def try_out(self) -> None:
        """Connect and log in without sending anything; raises as :meth:`deliver` does."""
        try:
            with self._connection() as server:
                server.noop()
        except PlatformError:
            raise
        except (smtplib.SMTPException, OSError) as error:
            raise self._fault(error) from None

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        domain = Address(addr_spec=self._sender).domain
        mail["Subject"] = one_line(message.subject)
        mail["From"] = Address("ShopSphere", addr_spec=self._sender)
        mail["To"] = [Address(addr_spec=recipient) for recipient in self._recipients]
        mail["Date"] = localtime()
        mail["Message-ID"] = f"<{one_line(message.id)}@{domain}>"
        if message.answers:
            mail["In-Reply-To"] = mail["References"] = f"<{one_line(message.answers)}@{domain}>"
        # Nobody's absence is to be answered with a notice of it (RFC 3834).
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        return mail

    def _connection(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        name = socket.gethostname()
        server: smtplib.SMTP
        if self._is_implicit_tls:
            server = smtplib.SMTP_SSL(
                self._host, self._port, local_hostname=name, timeout=_TIMEOUT_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, local_hostname=name, timeout=_TIMEOUT_SECONDS)
        try:
            server.ehlo()
            if not self._is_implicit_tls and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            elif not self._is_implicit_tls and self._user:
                raise PermanentError(
                    "the mail server offers no encryption, and a password is not sent without",
                    where=self._where,
                    remedy=f"use a server or port with TLS (smtps://), or take the password out of {_SETTING}",
                )
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    @property
    def _where(self) -> str:
        return f"mail server {self._host}:{self._port}"

    def _fault(self, error: Exception) -> PlatformError:
        match error:
            case smtplib.SMTPAuthenticationError():
                return PermanentError(
                    f"the mail server refuses user and password ({error.smtp_code})",
                    where=self._where,
                    remedy=f"correct them in {_SETTING}, special characters percent-encoded",
                )
            case ssl.SSLCertVerificationError():
                return PermanentError(
                    f"the mail server's certificate is not trusted: {error.verify_message}",
                    where=self._where,
                    remedy="name the server as its certificate does; an authority of your own is added by the "
                    "environment variable SSL_CERT_FILE",
                )
            case smtplib.SMTPRecipientsRefused():
                codes = [code for code, _ in error.recipients.values()]
                words = "; ".join(f"{who}: {code} {_decoded(said)}" for who, (code, said) in error.recipients.items())
                what = f"the mail server refuses every recipient: {words}"
                return self._by_code(what, max(codes), "correct SHOPSPHERE_ALERT_EMAIL_TO")
            case smtplib.SMTPSenderRefused():
                what = f"the mail server refuses the sender: {error.smtp_code} {_decoded(error.smtp_error)}"
                return self._by_code(what, error.smtp_code, "correct SHOPSPHERE_ALERT_EMAIL_FROM")
            case smtplib.SMTPResponseException():
                what = f"the mail server answered {error.smtp_code} {_decoded(error.smtp_error)}"
                return self._by_code(what, error.smtp_code, "ask those who run the mail server")
            case smtplib.SMTPNotSupportedError():
                return PermanentError(
                    f"the mail server cannot do what is needed: {error}",
                    where=self._where,
                    remedy="use another server or port",
                )
        words = _decoded(str(error)) or type(error).__name__
        return TransientError(
            f"the mail server cannot be reached: {words}",
            where=self._where,
            remedy=f"check host and port in {_SETTING} and the network if it goes on",
        )

    def _by_code(self, what: str, code: int, remedy: str) -> PlatformError:
        """4xx codes may pass, 5xx do not (RFC 5321, 4.2.1)."""
        if 400 <= code < 500:
            return TransientError(what, where=self._where, remedy="try again later")
        return PermanentError(what, where=self._where, remedy=remedy)


def _decoded(words: bytes | str) -> str:
    return one_line(redact(words.decode("utf-8", "replace") if isinstance(words, bytes) else words))
