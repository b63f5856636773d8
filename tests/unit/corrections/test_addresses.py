"""Addresses are written as their country writes them, and good ones are not harmed; measured on labelled ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.contracts import hubspot, shop_db
from shopsphere_assets.corrections import addresses, streets
from shopsphere_assets.corrections.registry import corrected_columns

ADDRESSES = corrected_columns(shop_db.Addresses)


def rows(*lines: tuple[str, str]) -> pl.DataFrame:
    """Addresses of which only country and street tell."""
    return pl.DataFrame(
        [{"line1": line, "city": None, "state": None, "postal_code": None, "country_code": c} for c, line in lines],
        schema=dict.fromkeys(("line1", "city", "state", "postal_code", "country_code"), pl.String),
    )


def standard(**cells: str) -> dict[str, str]:
    """What an address becomes: the changed cells."""
    row = dict.fromkeys(("line1", "city", "state", "postal_code", "country_code")) | cells
    frame = pl.DataFrame([row], schema=dict.fromkeys(row, pl.String))
    found = addresses.standardise(frame, ADDRESSES).filter("is_sure")
    return dict(found.select("column", "corrected").rows())


STREETS = {
    "US": {
        "123 N. Main St.": "123 North Main Street",
        "12 St Marks Pl": "12 St Marks Place",
        "100 MAIN ST APT 4": "100 Main Street Apt 4",
        "5 Dr Martin Luther King Jr Dr": "5 Dr Martin Luther King Jr Drive",
        "1600 Pennsylvania Ave NW": "1600 Pennsylvania Avenue Northwest",
        "4 W 5th Ave, Suite 3": "4 West 5th Avenue, Suite 3",
        "1 mcdonald rd": "1 McDonald Road",
        " 7  Elm Street": "7 Elm Street",
    },
    "GB": {"10 KING'S RD": "10 King's Road", "Flat 3, 12 Station Rd": "Flat 3, 12 Station Road"},
    "DE": {
        "Hauptstr. 5": "Hauptstraße 5",
        "Goethe Str. 3": "Goethe Straße 3",
        "HAUPTSTRASSE 12A": "Hauptstraße 12A",
        "Bahnhofstr.12": "Bahnhofstraße 12",
        "Str. des 17. Juni 135": "Straße des 17. Juni 135",
    },
    "FR": {
        "12 av Victor Hugo": "12 avenue Victor Hugo",
        "12 bis, bd. Foch": "12 bis, boulevard Foch",
        "12 RUE DE L'ÉGLISE": "12 rue de l'Église",
    },
    "BR": {"R. das Flores, 12": "Rua das Flores, 12", "av. brasil, 3": "Avenida Brasil, 3"},
}
LEFT_ALONE = {
    "US": ("123 Main Street", "S 5 St", "12 Ave H", "99 E Ave", "12 St James", "1 La St Claire Way"),
    "GB": ("1 High Street", "St Mary's Church", "The Old Forge"),
    "DE": ("Am Mühlbach 3", "Strehlener Platz 1", "Straßburger Platz 2", "Königsallee 1"),
    "FR": ("1 rue de la Paix", "r de paris", "Résidence Ste Anne"),
    "BR": ("Rua Sete de Setembro, 4", "Alameda dos Ipês 3"),
    "CH": ("Hauptstr. 5", "BAHNHOFSTRASSE 1"),
    "JP": ("1-2-3 GINZA",),
}


@pytest.mark.parametrize("country", STREETS)
def test_a_street_is_written_in_full_and_in_the_case_of_its_country(country: str) -> None:
    found = {line: standard(country_code=country, line1=line).get("line1") for line in STREETS[country]}
    assert found == STREETS[country]


@pytest.mark.parametrize("country", LEFT_ALONE)
def test_a_street_that_is_in_order_or_of_another_country_is_left_alone(country: str) -> None:
    found = {line: standard(country_code=country, line1=line) for line in LEFT_ALONE[country]}
    assert found == {line: {} for line in LEFT_ALONE[country]}


@pytest.mark.parametrize(
    ("country", "code", "expected"),
    [
        ("US", "021341234", "02134-1234"),
        ("US", "2134", "02134"),
        ("GB", "sw1a1aa", "SW1A 1AA"),
        ("DE", "D-10115", "10115"),
        ("DE", "1O115", "10115"),
        ("FR", "6000", "06000"),
        ("BR", "01310100", "01310-100"),
        *[(c, good, None) for c, good in (("US", "02134"), ("GB", "M1 1AE"), ("DE", "10115"), ("BR", "01310-100"))],
        *[(c, bad, None) for c, bad in (("US", "ABCDE"), ("BR", "0131010"), ("DE", "123"), ("CA", "k1a0b1"))],
    ],
)
def test_a_postal_code_gets_the_form_of_its_country(country: str, code: str, expected: str | None) -> None:
    assert standard(country_code=country, postal_code=code).get("postal_code") == expected


def test_towns_and_states_are_written_as_the_country_writes_them() -> None:
    cities = {
        "FR": ("SAINT-DENIS-SUR-LOIRE", "Saint-Denis-sur-Loire"),
        "DE": ("FRANKFURT AM MAIN", "Frankfurt am Main"),
    }
    for country, (given_city, expected) in cities.items():
        assert standard(country_code=country, city=given_city) == {"city": expected}
    assert standard(country_code="US", state="California") == {"state": "CA"}
    assert standard(country_code="BR", state="são paulo") == {"state": "SP"}
    assert standard(country_code="GB", state="Kent") == {}


def test_a_state_that_does_not_agree_with_the_postal_code_is_only_suggested() -> None:
    frame = rows(("US", "1 Main Street"), ("US", "2 Main Street"), ("BR", "Rua A, 1")).with_columns(
        state=pl.Series(["NY", "NY", "RJ"]), postal_code=pl.Series(["90012", "10001", "01310-100"])
    )
    found = addresses.standardise(frame, ADDRESSES)
    assert found.select("_row", "original", "corrected", "is_sure").rows() == [
        (0, "NY", "CA", False),
        (2, "RJ", "SP", False),
    ]


WORDS = (
    *("12", "5b", "N.", "S", "st", "St.", "MAIN", "Hauptstr.", "av", "R.", "de", "la", "D'ARC", "mcleod", "AVE", "NW"),
    *("Apt", ",", "Ste", "-x", "CT", "RD", "rue", "Pl."),
)


@given(st.sampled_from(addresses.COUNTRIES), st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_is_standard_is_standardised_no_further(country: str, words: list[str]) -> None:
    once = addresses.street(country, " ".join(words))
    again = addresses.street(country, once.corrected) if once else None
    assert again is None or once is None or again.corrected == once.corrected


# Letters exchanged ----------------------------------------------------------------------------------------------


def _mended(frame: pl.DataFrame, known: pl.DataFrame | None = None) -> list[tuple[str, str]]:
    return streets.mend(frame, ADDRESSES, known).select("original", "corrected").rows()


def test_letters_are_put_back_where_many_rows_have_the_street_so() -> None:
    many = [("US", f"{n} Main Street") for n in range(1, 9)] + [("DE", f"Lindenstraße {n}") for n in range(1, 9)]
    slips = [("US", "4 Mian Street"), ("US", "5 aMin Street"), ("US", "6 Main Stretes"), ("DE", "Lindentsraße 3")]
    assert _mended(rows(*many, *slips)) == [
        ("4 Mian Street", "4 Main Street"),
        ("5 aMin Street", "5 Main Street"),
        ("Lindentsraße 3", "Lindenstraße 3"),
    ]


def test_what_other_rows_of_the_table_have_counts_and_what_other_countries_have_does_not() -> None:
    known = streets.places(rows(*[("GB", f"{n} Mill Lane") for n in range(6)]), ADDRESSES)
    assert _mended(rows(("GB", "1 Mlil Lane"), ("US", "1 Mlil Lane")), known) == [("1 Mlil Lane", "1 Mill Lane")]
    assert _mended(rows(("GB", "1 Mlil Lane"))) == []


def test_a_street_that_several_people_have_is_no_slip() -> None:
    many = [("FR", f"{n} rue Marie") for n in range(8)] + [("FR", f"{n} rue Maire") for n in range(2)]
    assert _mended(rows(*many)) == []


def test_a_table_without_streets_is_not_looked_at() -> None:
    columns = corrected_columns(hubspot.Campaigns)
    frame = pl.DataFrame({"name": ["MAIN ST"]})
    assert addresses.standardise(frame, columns).is_empty()
    assert streets.mend(frame, columns).is_empty()


# Labelled addresses ---------------------------------------------------------------------------------------------

_SAME = {
    **{short: full.lower() for short, full in addresses.US_KINDS.items()},
    **{short: full.lower() for short, full in addresses.DIRECTIONS.items()},
}


def _comparable(part: str) -> list[str]:
    """Words in small letters and in full; what they are called tells whether a part was kept."""
    words = re.sub(r"[.,]", " ", part).lower().split()
    return [_SAME.get(word, word) for word in words]


@pytest.fixture(scope="module")
def labelled(repository: Path) -> list[list[tuple[str, str]]]:
    """American addresses, each as (label, words)."""
    path = repository.parent / "shared" / "data" / "edge_cases" / "addresses_labeled.xml"
    if not path.exists():
        pytest.skip("the collection of labelled addresses is not on this machine")
    return [[(part.tag, part.text or "") for part in address] for address in ElementTree.parse(path).getroot()]


def test_labelled_addresses_keep_their_parts(
    labelled: list[list[tuple[str, str]]], record_property: Callable[[str, object], None]
) -> None:
    """No word of a real address becomes another one, and only kinds and directions of streets are written in full."""
    harmed, changed = [], 0
    in_full = {"StreetNamePostType", "StreetNamePreType", "StreetNamePreDirectional", "StreetNamePostDirectional"}
    for parts in labelled:
        line = " ".join(text for _, text in parts)
        proposal = addresses.street("US", line)
        words = (proposal.corrected if proposal else line).split()
        given_words = [(label, word) for label, text in parts for word in text.split()]
        changed += words != [word for _, word in given_words]
        if len(words) != len(given_words) or any(
            _comparable(word) != _comparable(now)
            or (word.lower().strip(".,") != now.lower().strip(".,") and label not in in_full)
            for (label, word), now in zip(given_words, words, strict=True)
        ):
            harmed.append(line)
    record_property("labelled addresses", f"{len(labelled)} of which changed {changed}, harmed {len(harmed)}")
    assert len(labelled) > 500
    assert changed > 100
    assert len(harmed) / len(labelled) <= 0.001, harmed
