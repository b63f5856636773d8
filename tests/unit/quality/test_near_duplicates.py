"""The search for near-duplicates: what it finds and leaves, and how well on real labelled people."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.quality.near_duplicates import PEOPLE, REVIEWS, Method, find_duplicates

LAMP = "The lamp is bright and sturdy and it came within two days so I would buy it again at any time"


def reviews(*texts: str | None) -> pl.DataFrame:
    keys = [str(number) for number in range(len(texts))]
    return pl.DataFrame({"key": keys, "text": list(texts)}, schema={"key": pl.String, "text": pl.String})


def test_repeated_and_nearly_repeated_reviews_are_told_apart_from_others() -> None:
    found = find_duplicates(
        reviews(
            LAMP,
            LAMP.replace("sturdy", "robust"),
            "  the LAMP is bright, and sturdy; and it came within two days, so I would buy it again at any time! ",
            "The lamp is dim and I would not buy it again",
            None,
            "",
            "Léger et pratique",
            "leger et pratique.",
        ),
        REVIEWS,
    )
    assert found.rows == 6
    assert found.exact.rows() == [("0", "2"), ("6", "7")]
    [(left, right, similarity)] = found.near.rows()
    assert (left, right) == ("0", "1")
    # 19 shingles of three words each, of which one other word makes three others.
    assert similarity == pytest.approx(16 / 22)


@pytest.mark.parametrize("texts", [[], [None], ["one"], ["", None]])
def test_nothing_or_one_row_has_no_duplicates(texts: list[str | None]) -> None:
    found = find_duplicates(reviews(*texts), REVIEWS)
    assert (found.exact.height, found.near.height, found.compared) == (0, 0, 0)


def test_a_field_that_one_lacks_does_not_count_and_one_field_alone_is_not_enough() -> None:
    people = pl.DataFrame(
        {
            "key": ["a", "b", "c"],
            "name": ["Ann Smith", "Anne Smith", "Ann Smith"],
            "email": ["ann.smith", "ann.smith", None],
            "address": ["1 Long Street Leeds", None, None],
        }
    )
    found = find_duplicates(people, PEOPLE)
    assert found.near.select("left", "right").rows() == [("a", "b")]


@given(st.lists(st.text(alphabet="ab \u00e9\U0001f600", max_size=8), max_size=12))
def test_similarities_are_those_of_the_sets_for_any_text(texts: list[str]) -> None:
    """Each pair found has the Jaccard index that sets of Python give, and nothing is found twice."""
    method = replace(REVIEWS, unit="characters", length=2, threshold=0.3)
    found = find_duplicates(reviews(*texts), method)
    pairs = [(left, right) for left, right, _ in found.near.rows()]
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    for left, right, similarity in found.near.rows():
        one, other = (_bigrams(texts[int(key)]) for key in (left, right))
        assert similarity == pytest.approx(len(one & other) / len(one | other))
        assert similarity >= 0.3


def _bigrams(text: str) -> set[str]:
    words = " ".join("".join(c if c.isalnum() else " " for c in text.replace("\u00e9", "e")).split())
    return {f" {words} "[place : place + 2] for place in range(len(words) + 1)}


def test_a_text_that_very_many_have_in_part_does_not_compare_all_with_all() -> None:
    texts = [f"{LAMP} number {n}" for n in range(2_000)]
    found = find_duplicates(reviews(*texts), replace(REVIEWS, common=1.0))
    assert found.compared <= 2_000 * 10 * REVIEWS.bands


PEOPLE_FILES = Path(__file__).resolve().parents[4] / "shared" / "data" / "people"


def _read(name: str) -> pl.DataFrame:
    path = PEOPLE_FILES / name
    if not path.is_file():
        pytest.skip(f"{path} is not here: it is real data that is not part of the project")
    frame = pl.read_csv(path, infer_schema=False)
    return frame.rename(str.strip).with_columns(pl.all().str.strip_chars())


def _fake_1000() -> tuple[pl.DataFrame, pl.Series]:
    frame = _read("fake_1000.csv")
    name = pl.concat_str("first_name", "surname", separator=" ", ignore_nulls=True)
    return frame.select("city", "email", "dob", key="unique_id", name=name), frame.get_column("cluster")


def _febrl1() -> tuple[pl.DataFrame, pl.Series]:
    frame = _read("febrl1.csv")
    records = frame.select(
        key="rec_id",
        name=pl.concat_str("given_name", "surname", separator=" "),
        street=pl.concat_str("street_number", "address_1", "address_2", separator=" "),
        place=pl.concat_str("suburb", "postcode", "state", separator=" "),
        birth_date="date_of_birth",
    )
    return records, frame.get_column("rec_id").str.split("-").list.get(1)


@pytest.mark.parametrize(
    ("data", "least_precision", "least_recall"), [(_fake_1000, 0.97, 0.70), (_febrl1, 0.99, 0.98)]
)  # fmt: skip
def test_real_people_with_typing_errors_are_found(
    data: Callable[[], tuple[pl.DataFrame, pl.Series]],
    least_precision: float,
    least_recall: float,
    record_property: Callable[[str, object], None],
) -> None:
    records, person = data()
    method: Method = PEOPLE
    found = find_duplicates(records, method)
    pairs = {frozenset(pair) for frame in (found.exact, found.near) for pair in frame.select("left", "right").rows()}
    by_person = pl.DataFrame({"key": records.get_column("key"), "person": person}).group_by("person").agg("key")
    truth = {frozenset(pair) for keys in by_person.get_column("key") for pair in itertools.combinations(keys, 2)}
    precision, recall = len(pairs & truth) / len(pairs), len(pairs & truth) / len(truth)
    record_property("near_duplicates", f"{data.__name__}: precision {precision:.3f}, recall {recall:.3f}")
    print(f"{data.__name__}: precision {precision:.3f}, recall {recall:.3f} of {len(truth)} pairs")
    assert precision >= least_precision
    assert recall >= least_recall
