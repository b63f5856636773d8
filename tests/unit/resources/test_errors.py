"""Errors say what, where and what to do, and never show a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import PermanentError, PlatformError, TransientError, redact, safe_url


@pytest.mark.parametrize("kind", [TransientError, PermanentError])
def test_an_error_says_what_where_and_what_to_do(kind: type[PlatformError]) -> None:
    error = kind("the server is away", where="shop_db", remedy="start it")
    assert str(error) == "the server is away\n  where: shop_db\n  what to do: start it"
    assert (error.what, error.where, error.remedy) == ("the server is away", "shop_db", "start it")


def test_what_may_pass_and_what_will_not_are_told_apart_by_class() -> None:
    assert not issubclass(TransientError, PermanentError)
    assert not issubclass(PermanentError, TransientError)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:s3cret@db.example.org:3306/shop",
        "postgresql+psycopg://ada:s3cret@db/shop?sslmode=require",
        "postgresql://ada:%40s3cret%2F%3A@[::1]:5432/shop",
        "mysql://:s3cret@db/shop",
        "HTTPS://ada:s3cret@example.org",
        "s3://key:s3cret@bucket/folder",
    ],
)
def test_no_message_shows_the_password_of_a_url(url: str) -> None:
    error = PermanentError(f"cannot open {url}, really", where=url, remedy="look")
    for text in (str(error), error.what, error.where, repr(error), redact(url), safe_url(url)):
        assert "s3cret" not in text
    assert "cannot open" in error.what
    assert error.what.endswith(", really")


def test_a_text_without_a_password_stays_as_it_is() -> None:
    for text in ("mysql://ada@db/shop", "at 12:30 ada@example.org wrote", "https://example.org/a:b", "", "a: b@c"):
        assert redact(text) == text


def test_a_safe_url_names_user_host_and_database() -> None:
    assert safe_url("mysql://ada:s3cret@db:3306/shop?password=s3cret#s3cret") == "mysql://ada@db:3306/shop"
    assert safe_url("postgresql://db/shop") == "postgresql://db/shop"
    assert safe_url("/var/lib/files") == "/var/lib/files"


@given(st.text(st.characters(categories=["L", "N"]), min_size=4), st.sampled_from(["mysql", "postgresql", "https"]))
def test_no_password_of_letters_and_digits_survives(secret: str, scheme: str) -> None:
    hidden = f"<{secret}>".replace("<", "zq").replace(">", "qz")
    assert hidden not in redact(f"failed: {scheme}://ada:{hidden}@db:1/shop ({scheme}://eve:{hidden}@db)")
    assert hidden not in safe_url(f"{scheme}://ada:{hidden}@db:1/shop")
