"""What every contract declares, and what the shared rules accept and refuse."""

from __future__ import annotations

import typing
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from shopsphere_assets.contracts import crm_files, hubspot, shop_db
from shopsphere_assets.contracts.base import Contract, Correction, PersonalData, Purpose
from shopsphere_assets.ingestion.raw_table import RawTable
from tests.raw_tables import ALL_TABLES

ALLOWED_TYPES = (pl.Int64(), pl.String(), pl.Boolean(), pl.Date(), pl.Decimal(18, 2), pl.Datetime("us", "UTC"))


def accepted(contract: type[Contract], column: str, *values: str) -> list[bool]:
    """Whether the column's checks let each value pass."""
    frame = pl.LazyFrame({column: pl.Series(values, dtype=pl.String)})
    verdicts = [
        check(frame, column).check_output.collect().to_series() for check in contract.to_schema().columns[column].checks
    ]
    return pl.select(pl.all_horizontal(verdicts)).to_series().to_list()


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.label)
def test_every_contract_says_what_it_and_its_columns_are(table: RawTable) -> None:
    assert (table.contract.__doc__ or "").strip().endswith((".", ")."))
    for name in table.column_types:
        assert table.column_descriptions[name].endswith((".", "?")), name
        metadata = table.column_metadata(name)
        assert set(metadata) == {"unit", "personal", "purposes", "correction", "references", "imputation"}
        assert metadata["correction"] in (None, *typing.get_args(Correction))
        assert metadata["personal"] in (None, *typing.get_args(PersonalData))
        assert metadata["purposes"]
        assert set(metadata["purposes"]) <= set(typing.get_args(Purpose))


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.label)
def test_every_contract_has_a_key_a_cursor_and_types_that_every_warehouse_holds(table: RawTable) -> None:
    assert table.key[0] in table.required_columns
    assert table.cursor in table.required_columns
    assert table.column_types[table.cursor] == pl.Datetime("us", "UTC")
    assert all(dtype in ALLOWED_TYPES for dtype in table.column_types.values())
    assert not any(name.startswith("_") for name in table.column_types)


def test_there_is_a_contract_for_every_raw_table() -> None:
    assert [table.label for table in ALL_TABLES] == [
        *("catalogue_db/categories", "catalogue_db/inventory", "catalogue_db/prices", "catalogue_db/products"),
        *("crm_files/contacts", "crm_files/interactions", "crm_files/loyalty_accounts", "crm_files/suppliers"),
        *("hubspot/campaigns", "hubspot/contacts", "hubspot/email_events"),
        "reviews/reviews",
        *("shop_db/addresses", "shop_db/customers", "shop_db/order_items", "shop_db/orders"),
        *("shop_db/payments", "shop_db/refunds"),
        "support/tickets",
        *("web_logs/access_log", "web_logs/events"),
    ]


def test_addresses_that_shops_accept_are_accepted() -> None:
    good = (
        *("ada@example.org", "ada.lovelace+shop@example.co.uk", "o'hara@example.ie", "a@b.cd", "jürgen@example.de"),
        *(
            "user%internal@example.org",
            "#!$%&'*+-/=?^_`{}|~@example.org",
            "x@xn--mnchen-3ya.de",
            "1@1.com",
            "a-b@c-d.museum",
        ),
        "l" * 64 + "@" + "d" * 63 + ".com",
    )
    assert dict(zip(good, accepted(shop_db.Customers, "email", *good), strict=True)) == dict.fromkeys(good, True)


def test_what_is_no_address_is_refused() -> None:
    bad = (
        *("", " ", "ada", "ada@", "@example.org", "ada@@example.org", "ada@example", "ada@.org", "ada@example..org"),
        *(".ada@example.org", "ada.@example.org", "a..da@example.org", "ada@-example.org", "ada@example-.org"),
        *("ada @example.org", "ada@example.org ", "ada@example.org\n", "ada@exa mple.org", "<ada@example.org>"),
        *(
            "a\x00da@example.org",
            "\x07@example.org",
            "ada@example.org, eve@example.org",
            "ada@127.0.0.1",
            '"a"@example.org',
        ),
        *("l" * 65 + "@example.org", "ada@" + "d" * 64 + ".org", "a@" + ".".join(["d" * 60] * 5) + ".org", "n/a"),
    )
    assert dict(zip(bad, accepted(shop_db.Customers, "email", *bad), strict=True)) == dict.fromkeys(bad, False)


def test_addresses_are_judged_as_the_isemail_collection_judges_them(repository: Path) -> None:
    path = repository.parent / "shared" / "data" / "edge_cases" / "email_isemail.xml"
    if not path.exists():
        pytest.skip("the collection of e-mail addresses is not on this machine")
    cases = [
        (_with_controls(test.findtext("address") or ""), test.findtext("category"))
        for test in ElementTree.parse(path).getroot().iter("test")
    ]
    verdicts = accepted(shop_db.Customers, "email", *(address for address, _ in cases))
    # Deliverable addresses, found in the DNS or not; the rest is wrong, deprecated or exotic (comments, quotes).
    usual = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN"}
    agreed = Counter((category in usual) == verdict for (_, category), verdict in zip(cases, verdicts, strict=True))
    refused = [a for (a, category), good in zip(cases, verdicts, strict=True) if category in usual and not good]
    # A top-level domain alone is valid and of no use to a shop.
    assert refused == ["test@io"]
    assert agreed[True] / len(cases) > 0.99, agreed


def _with_controls(address: str) -> str:
    """The collection writes control characters as the Unicode pictures of them."""
    return "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) <= 0x2421 else c for c in address)


def test_names_of_real_people_are_accepted() -> None:
    names = (
        *(
            "Ada",
            "Jürgen",
            "José",
            "Zoë",
            "Łukasz",
            "Nguyễn",
            "Ângela",
            "João",
            "SÃO JOÃO",
            "Âu",
            "Ãnt",
            "O'Brien",
            "D’Arcy",
        ),
        *("Müller-Lüdenscheidt", "李", "Иван", "محمد", "Ng", "X", "Testa", "Nader", "Åsa", "Ærø", "Þóra", "Đặng", "Ça"),
    )
    verdicts = accepted(crm_files.Contacts, "last_name", *names)
    assert dict(zip(names, verdicts, strict=True)) == dict.fromkeys(names, True)


def test_text_read_with_the_wrong_character_set_is_refused() -> None:
    words = ("Zürich", "José", "Łódź", "Ångström", "naïve", "Größe", "São Paulo", "Đặng", "it’s", "10 €")
    broken = [word.encode().decode(codec, "replace") for word in words for codec in ("cp1252", "latin-1")]
    assert dict(zip(broken, accepted(hubspot.Contacts, "city", *broken), strict=True)) == dict.fromkeys(broken, False)
    assert accepted(hubspot.Contacts, "city", *words) == [True] * len(words)
    for text in (
        "ZÃ¼rich",
        "JosÃ©",
        "GrÃ¶ÃŸe",
        "itâ€™s",
        "10 â‚¬",
        "MichaÅ‚",
        "KubÃ­Ä\x8dek",
        "ÅšwiÄ…tek",
        "caf\ufffd",
        "a\x07b",
        "a\x00b",
        "a\x7fb",
    ):
        assert accepted(hubspot.Contacts, "city", text) == [False], text
    assert accepted(hubspot.Contacts, "city", "line\none\ttab\r\n") == [True]


def test_stand_ins_are_not_names() -> None:
    stand_ins = ("N/A", "n/a", " test ", "NULL", "none", "-", "--", "?", "TBD", "", "  ", "\t")
    assert accepted(crm_files.Contacts, "last_name", *stand_ins) == [False] * len(stand_ins)


def test_telephone_numbers_are_digits_with_the_usual_separators() -> None:
    good = ("+49 30 1234567", "(030) 123-4567", "555.123.4567", "+1 (555) 123-4567", "112233", "030/123456")
    bad = ("call me", "12", "+", "٠٣٠١٢٣٤٥", "030 1234567 or 89", "-", "1" * 30)
    assert accepted(shop_db.Customers, "phone", *good, *bad) == [True] * len(good) + [False] * len(bad)


def test_postal_codes_of_many_countries_are_accepted() -> None:
    good = ("10115", "SW1A 1AA", "01310-100", "1000-001", "K1A 0B1", "D02 AF30", "101", "123-4567", "AD500")
    bad = ("-", "?", "1", "12345678901", "§", " 10115", "1011\n")
    assert accepted(shop_db.Addresses, "postal_code", *good, *bad) == [True] * len(good) + [False] * len(bad)
