"""What ``shopsphere doctor`` says of the alerts' channels."""

from __future__ import annotations

import pytest

from resources.settings import load_settings
from shopsphere_assets.diagnosis.alerts import check_alerts
from shopsphere_assets.diagnosis.finding import Status
from tests.receivers import mail_server


def test_nothing_set_is_no_fault() -> None:
    [finding] = check_alerts(load_settings())
    assert finding.status == Status.EMBEDDED


def test_the_mail_server_is_tried_without_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_ALERT_EMAIL_TO", "ann@example.com")
    monkeypatch.setenv("SHOPSPHERE_ALERT_EMAIL_FROM", "shopsphere@example.com")
    monkeypatch.setenv("SHOPSPHERE_ALERT_WEBHOOK_URL", "https://hooks.example.com/T0KEN")
    with mail_server() as mailbox:
        monkeypatch.setenv("SHOPSPHERE_ALERT_SMTP_URL", f"smtp://127.0.0.1:{mailbox.port}")
        findings = list(check_alerts(load_settings()))
        assert [finding.status for finding in findings] == [Status.OK, Status.OK]
        assert mailbox.mails == []
        monkeypatch.setenv("SHOPSPHERE_ALERT_SMTP_URL", f"smtp://ann:s3cret@127.0.0.1:{mailbox.port}")
        [failed, _] = check_alerts(load_settings())
    assert failed.status == Status.FAILED
    assert "offers no encryption" in failed.what
    assert "s3cret" not in str(findings) + str(failed)
    assert "T0KEN" not in str(findings)
