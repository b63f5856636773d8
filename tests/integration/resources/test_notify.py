"""E-mail and webhook against a real mail server and a real web server on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.errors import PermanentError, TransientError
from resources.notify import Message, SmtpChannel, WebhookChannel
from tests.receivers import USER, certificate, mail_server, web_server

MESSAGE = Message(
    id="4f2a.opened",
    subject="[ShopSphere] orders: 31 % of the rows broke their contract",
    text="What is wrong: größer als je zuvor.",
    html="<p>What is wrong: <b>größer</b> als je zuvor.</p>",
    data={"event": "opened", "occurrences": 1},
)
TO = ["ann@example.com", "bob@example.com"]


def smtp(url: str) -> SmtpChannel:
    return SmtpChannel(url, sender="shopsphere@example.com", recipients=TO)


def test_a_mail_has_a_text_and_a_page_and_an_id_that_stays(tmp_path: Path) -> None:
    with mail_server() as mailbox:
        smtp(f"smtp://127.0.0.1:{mailbox.port}").deliver(MESSAGE)
    [mail] = mailbox.mails
    assert mailbox.recipients == [TO]
    assert mail["Subject"] == MESSAGE.subject
    assert mail["From"] == "ShopSphere <shopsphere@example.com>"
    assert mail["Message-ID"] == "<4f2a.opened@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == MESSAGE.text
    assert html.get_content().strip() == MESSAGE.html


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_password_goes_encrypted_and_only_to_a_server_whose_certificate_is_trusted(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = certificate(tmp_path)
    is_implicit = scheme == "smtps"
    with mail_server(
        starttls=None if is_implicit else context, implicit_tls=context if is_implicit else None
    ) as mailbox:
        url = f"{scheme}://{USER}@127.0.0.1:{mailbox.port}"
        with pytest.raises(PermanentError, match="certificate is not trusted"):
            smtp(url).deliver(MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        smtp(url).deliver(MESSAGE)
        with pytest.raises(PermanentError, match="refuses user and password") as refused:
            smtp(f"{scheme}://reader:wr0ng@127.0.0.1:{mailbox.port}").deliver(MESSAGE)
    assert mailbox.was_encrypted == [True]
    assert "wr0ng" not in str(refused.value)


def test_a_password_is_not_sent_to_a_server_without_encryption() -> None:
    with mail_server() as mailbox, pytest.raises(PermanentError, match="offers no encryption"):
        smtp(f"smtp://{USER}@127.0.0.1:{mailbox.port}").deliver(MESSAGE)
    assert mailbox.mails == []


def test_faults_that_may_pass_are_told_from_those_that_do_not() -> None:
    with mail_server() as mailbox:
        channel = smtp(f"smtp://127.0.0.1:{mailbox.port}")
        mailbox.answers += ["451 try later", "554 unwanted"]
        with pytest.raises(TransientError, match="451 try later"):
            channel.deliver(MESSAGE)
        with pytest.raises(PermanentError, match="554 unwanted"):
            channel.deliver(MESSAGE)
    with pytest.raises(TransientError, match="cannot be reached"):
        channel.deliver(MESSAGE)


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r", "\u2028", "\x0b", "\x85", "%0d%0a"])
def test_nothing_in_a_subject_or_id_becomes_a_header_or_a_second_mail(line_end: str) -> None:
    evil = f"broken{line_end}Bcc: eve@example.com{line_end}{line_end}.{line_end}MAIL FROM:<eve@example.com>"
    message = Message(id=evil, subject=evil, text=f"a\r\n.\r\nRCPT TO:<eve@example.com>\r\n{evil}", html="<p></p>")
    with mail_server() as mailbox:
        smtp(f"smtp://127.0.0.1:{mailbox.port}").deliver(message)
    [mail] = mailbox.mails
    assert mail["Bcc"] is None
    assert mailbox.recipients == [TO]
    assert mail["Subject"].startswith("broken")
    text = mail.get_body(("plain",))
    assert text is not None
    assert "RCPT TO:<eve@example.com>" in text.get_content()


def test_a_webhook_gets_text_data_and_an_id_that_stays() -> None:
    with web_server() as inbox:
        WebhookChannel(inbox.url).deliver(MESSAGE)
    assert inbox.bodies == [{"text": f"{MESSAGE.subject}\n\n{MESSAGE.text}", "event": "opened", "occurrences": 1}]
    assert inbox.keys == ["4f2a.opened"]


def test_a_webhook_is_tried_again_after_a_passing_fault_and_not_after_another() -> None:
    with web_server() as inbox:
        channel = WebhookChannel(inbox.url, first_wait_seconds=0.01)
        inbox.answers += [503, 429]
        channel.deliver(MESSAGE)
        assert (len(inbox.bodies), inbox.requests) == (1, 3)
        inbox.answers += [404]
        with pytest.raises(PermanentError, match="answered 404") as refused:
            channel.deliver(MESSAGE)
        inbox.answers += [302, 500, 500, 500]
        with pytest.raises(PermanentError, match="answered 302"):
            channel.deliver(MESSAGE)
        with pytest.raises(TransientError, match="answered 500"):
            channel.deliver(MESSAGE)
    assert "T0KEN" not in str(refused.value)
    with pytest.raises(TransientError, match="cannot be reached") as away:
        channel.deliver(MESSAGE)
    assert "T0KEN" not in str(away.value)
