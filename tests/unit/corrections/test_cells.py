"""Each rule for a broken cell does what it says, leaves alone what it cannot know, and does nothing twice."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.contracts.base import COUNTRIES, CURRENCIES, PHONE_PATTERN, Correction
from shopsphere_assets.corrections import emails
from shopsphere_assets.corrections.base import Column, Neighbours, Proposal
from shopsphere_assets.corrections.registry import CORRECTORS, RULES

_MONEY, _MOMENT = pl.Decimal(18, 2), pl.Datetime("us", "UTC")
_STATUSES = ("pending", "paid", "shipped", "delivered", "cancelled", "returned", "wrong_item")
COLUMNS = {
    "email": Column("email", "email", pl.String()),
    "phone": Column("phone", "phone", pl.String()),
    "country": Column("country_code", "country", pl.String(), allowed=COUNTRIES),
    "currency": Column("currency", "currency", pl.String(), allowed=CURRENCIES),
    "language": Column("language", "language", pl.String()),
    "allowed_value": Column("status", "allowed_value", pl.String(), allowed=_STATUSES),
    "boolean": Column("is_gift", "boolean", pl.Boolean()),
    "date": Column("born_on", "date", pl.Date()),
    "moment": Column("placed_at", "moment", _MOMENT),
    "money": Column("amount", "number", _MONEY, unit="currency"),
    "grams": Column("weight_grams", "number", pl.Int64(), unit="grams"),
    "url": Column("url", "url", pl.String()),
    "path": Column("path", "path", pl.String()),
    "text": Column("title", "text", pl.String()),
}
IN_GERMANY = Neighbours(country="DE", currency="EUR")


def ask(kind: str, text: str) -> Proposal | None:
    """What the corrector of this kind of column says of a broken cell."""
    column = COLUMNS[kind]
    return CORRECTORS[column.kind](text, column, IN_GERMANY)


# What is surely meant, by kind: the broken cells and what they become.
SURE: dict[str, dict[str, str]] = {
    "email": {
        **dict.fromkeys(
            ("ada@@example.org", "<ada@example.org>", "ada @example.org", "ada@example..org", "mailto:ada@example.org",
             "Ada Lovelace <ada@example.org>", "ada@example.org;", "ada%40example.org", "ada(at)example.org",
             "ada at example dot org", "ada@example,org", "ａｄａ＠example.org",
             "'ada@example.org' ", "ada@example.org.", "ada@ example. org", "ada\u200b@example.org",
             "ada@example.org (work)", "ada&#64;example.org", "E-Mail: ada@example.org", "ada@example.org>",
             "a\x07da@example.org"),
            "ada@example.org",
        ),
        "a..da@example.org": "a.da@example.org",
    },
    "phone": {
        "Tel.: 030 1234567": "+49301234567",
        "+1 (650) 253-0000 mobile": "+16502530000",
        "030–1234567": "030-1234567",
        "٠٣٠ ١٢٣٤٥٦٧": "030 1234567",
    },
    "country": {
        **dict.fromkeys(("UK", "uk", "gb", "GBR", "826", "United Kingdom", "Great Britain", "England", " GB "), "GB"),
        **dict.fromkeys(("de", "Germany", "Deutschland", "DEU", "Allemagne"), "DE"),
        **dict.fromkeys(("USA", "U.S.A.", "United States", "us."), "US"),
        "EL": "GR",
        "Brasil": "BR",
    },
    "currency": {
        **dict.fromkeys(("eur", "EURO", "Euros", "€", " EUR", "EUR."), "EUR"),
        **dict.fromkeys(("usd", "US$", "US Dollar"), "USD"),
        **dict.fromkeys(("£", "British Pound", "gbp"), "GBP"),
        "R$": "BRL",
        "zł": "PLN",
    },
    "language": {"EN": "en", "english": "en", "pt-BR": "pt", "deu": "de", "français": "fr", "Deutsch": "de"},
    "allowed_value": {
        **dict.fromkeys(("PAID", "Paid ", "paid."), "paid"),
        **dict.fromkeys(("canceled", "CANCELLED", "cancelld"), "cancelled"),
        **dict.fromkeys(("Wrong Item", "wrong-item", "WRONG_ITEM", "wrongitem"), "wrong_item"),
        "shiped": "shipped",
        "pendign": "pending",
    },
    "boolean": {"ja": "true", "oui": "true", "Não": "false", "off": "false"},
    "date": {
        **dict.fromkeys(
            ("31.12.2025", "2025/12/31", "20251231", "12/31/2025", "31-12-2025", "Dec 31, 2025", "31 December 2025",
             "31. Dezember 2025", "31 de dezembro de 2025", "31 décembre 2025", "2025.12.31"),
            "2025-12-31",
        ),
        "04/04/2026": "2026-04-04",
    },
    "moment": {
        **dict.fromkeys(
            ("01.04.2026 10:15", "2026/04/01 10:15:00", "1775038500", "1775038500000", "20260401T101500Z",
             "Wed, 01 Apr 2026 12:15:00 +0200", "Apr 1, 2026 10:15 AM"),
            "2026-04-01T10:15:00.000000Z",
        ),
        "31.12.2025": "2025-12-31T00:00:00.000000Z",
    },
    "money": {
        **dict.fromkeys(("1.234,50", "1,234.50", "1 234,50", "1'234.50", "€ 1.234,50", "1234,50 EUR"), "1234.50"),
        "12.50-": "-12.50",
        "1.234.567": "1234567.00",
    },
    "grams": {"1.2 kg": "1200", "500 g": "500", "2 lb": "907", "3.0": "3", "8 oz": "227", "250 grams": "250"},
    "url": {
        "www.example.org/shop": "https://www.example.org/shop",
        "//example.org/shop": "https://example.org/shop",
        "http:/example.org": "http://example.org",
    },
    "path": {"products/1": "/products/1", "https://example.org/a?b=1": "/a?b=1"},
    "text": {
        "ZÃ¼rich": "Zürich", "GrÃ¶ÃŸe": "Größe", "itâ€™s": "it’s", "a\x07b": "ab", "\x1b[31mred\x1b[0m": "red",
        "ZÃ\x01¼rich": "Zürich", "a\x0bb": "a b",
    },
}  # fmt: skip

# What may have been meant: for a person to say.
SUGGESTED: dict[str, dict[str, str]] = {
    "email": {
        "john smith@example.org": "johnsmith@example.org",
        "ada@example.org, eve@example.org": "ada@example.org",
        "ada@gmail": "ada@gmail.com",
        ".ada@example.org": "ada@example.org",
        "a..da@docomo.ne.jp": "a.da@docomo.ne.jp",
    },
    "phone": {"030 1234567 or 89": "+49301234567", "ask for Tim 030 1234567": "+49301234567"},
    "currency": {"$": "USD"},
    "allowed_value": {"ship": "shipped", "cancel": "cancelled"},
    "date": {"2026-13-05": "2026-05-13", "31.12.25": "2025-12-31"},
    "money": {"1,234": "1234.00", "1O.00": "10.00", "-5.00": "5.00"},
    "url": {"example.org": "https://example.org"},
}

# What nobody can know.
UNKNOWN: dict[str, tuple[str, ...]] = {
    "email": (
        "ada",
        "@example.org",
        "ada@",
        "ada@example",
        "n/a",
        "",
        "ada@127.0.0.1",
        "a@b@example.org",
        "a(b)c@example",
    ),
    "phone": ("call office", "12", "x4711", "ask for Tim", ""),
    "country": ("XX", "ZZ", "00", "EN", "D", "Georgia", "Korea", ""),
    "currency": ("XXX", "DM", "dollar", "kr", "Fr.", "pesos", ""),
    "language": ("e", "zz", "7", ""),
    "allowed_value": ("done", "7", "unpaid", "paid?", "in transit", "refunded", "old", ""),
    "boolean": ("maybe", "2", ""),
    "date": ("31.02.2026", "2026-13-45", "yesterday", "0000-00-00", "03/04/2026", "May 2026", ""),
    "moment": ("2026-04-01T25:00:00Z", "soon", "03/04/2026 10:00", "12", ""),
    "money": ("abc", "--", "#REF", "7,5,1", "$12.50", "12.5055", ""),
    "grams": ("12-", "(12)", "12 pieces", "1.5", "heavy", "2 m", ""),
    "url": ("shop", "/cart", ""),
    "path": ("§§§", "a b", ""),
    "text": ("caf\ufffd",),
}


@pytest.mark.parametrize("kind", SURE)
def test_what_is_surely_meant_is_corrected(kind: str) -> None:
    found = {text: (p.corrected, p.rule.is_sure) if (p := ask(kind, text)) else None for text in SURE[kind]}
    assert found == {text: (corrected, True) for text, corrected in SURE[kind].items()}


@pytest.mark.parametrize("kind", SUGGESTED)
def test_what_may_have_been_meant_is_only_suggested(kind: str) -> None:
    found = {text: (p.corrected, p.rule.is_sure) if (p := ask(kind, text)) else None for text in SUGGESTED[kind]}
    assert found == {text: (corrected, False) for text, corrected in SUGGESTED[kind].items()}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_nobody_can_know_is_left_alone(kind: str) -> None:
    assert {text: ask(kind, text) for text in UNKNOWN[kind]} == dict.fromkeys(UNKNOWN[kind])


@pytest.mark.parametrize("kind", COLUMNS)
@given(text=st.text(max_size=30) | st.from_regex(r"[0-9a-zA-Z@<>.,: /+€$()-]{1,60}|[0-9.,]{1,60}", fullmatch=True))
def test_a_corrected_value_is_corrected_no_further(kind: str, text: str) -> None:
    for given_text in (text, *SURE.get(kind, {}).values()):
        first = ask(kind, given_text)
        again = ask(kind, first.corrected) if first and first.rule.is_sure else None
        assert again is None or not again.rule.is_sure or (first and again.corrected == first.corrected)


@given(st.text(max_size=40) | st.from_regex(r"[a-z .@<>,()\"']{1,40}", fullmatch=True))
def test_what_an_address_or_a_number_becomes_keeps_the_contract(text: str) -> None:
    address = ask("email", text)
    assert address is None or emails.is_address(address.corrected)
    number = ask("phone", text)
    assert number is None or re.match(PHONE_PATTERN, number.corrected)


@given(st.emails(domains=st.sampled_from(["example.org", "a-b.co.uk"])))
def test_an_address_that_is_one_stays_as_it_is(address: str) -> None:
    if emails.is_address(address):
        proposal = ask("email", address)
        assert proposal is not None
        assert proposal.corrected == address


def test_of_the_isemail_collection_nothing_deliverable_is_changed_and_what_is_mended_is_what_was_tested(
    repository: Path, record_property: Callable[[str, object], None]
) -> None:
    path = repository.parent / "shared" / "data" / "edge_cases" / "email_isemail.xml"
    if not path.exists():
        pytest.skip("the collection of e-mail addresses is not on this machine")
    cases = [
        ("".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) <= 0x2421 else c for c in text), test.findtext("category"))
        for test in ElementTree.parse(path).getroot().iter("test")
        if (text := test.findtext("address"))
    ]
    sure = {text: p.corrected for text, _ in cases if (p := ask("email", text)) and p.rule.is_sure}
    usual = {text for text, category in cases if category in ("ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN")}
    assert {text: now for text, now in sure.items() if text in usual and now != text} == {}
    changed = {text: now for text, now in sure.items() if now != text}
    record_property("addresses mended", f"{len(changed)} of {len(cases)}")
    assert len(changed) > 30
    # Without its comments, blanks and doubled dots each is one of the addresses that the collection is about.
    assert {now for now in changed.values() if len(now) < 30} == {
        "test@iana.org",
        "test@iana.com",
        "test.test@iana.org",
    }


def test_every_declared_kind_of_correction_has_a_corrector() -> None:
    assert set(typing.get_args(Correction)) == set(CORRECTORS)


def test_every_rule_has_an_id_of_its_own_and_says_what_it_does() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", rule.id) and rule.does for rule in RULES)
