"""The settings of the alerts: wrong ones are refused at once, and named."""

from __future__ import annotations

import pytest

from resources.errors import PermanentError
from resources.settings import load_settings

GOOD = {
    "SMTP_URL": "smtps://reader:p%40ss@mail.example.com",
    "EMAIL_TO": "ann@example.com, bob@example.com",
    "EMAIL_FROM": "shopsphere@example.com",
    "WEBHOOK_URL": "https://hooks.example.com/T0KEN",
}


def set_all(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    for name, value in {**GOOD, **changed}.items():
        monkeypatch.setenv(f"SHOPSPHERE_ALERT_{name}", value)


def test_several_addresses_stand_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch)
    settings = load_settings()
    assert settings.alert_recipients == ["ann@example.com", "bob@example.com"]
    assert "T0KEN" not in repr(settings)
    assert "p%40ss" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SMTP_URL", "mail.example.com:587", "SHOPSPHERE_ALERT_SMTP_URL: Value error, write it as smtp://host"),
        ("SMTP_URL", "https://mail.example.com", "SHOPSPHERE_ALERT_SMTP_URL: Value error, write it as smtp://host"),
        ("WEBHOOK_URL", "hooks.example.com/T0KEN", "SHOPSPHERE_ALERT_WEBHOOK_URL: Value error, write it as http://"),
        ("EMAIL_TO", "ann@example.com\r\nBcc: eve@example.com", "SHOPSPHERE_ALERT_EMAIL_TO"),
        ("EMAIL_FROM", "shopsphere", "SHOPSPHERE_ALERT_EMAIL_FROM"),
        ("EMAIL_TO", "", "SHOPSPHERE_ALERT_SMTP_URL needs SHOPSPHERE_ALERT_EMAIL_TO"),
    ],
)
def test_wrong_ones_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    set_all(monkeypatch, **{name: value})
    with pytest.raises(PermanentError) as refused:
        load_settings()
    assert words in str(refused.value)
    assert "T0KEN" not in str(refused.value)
