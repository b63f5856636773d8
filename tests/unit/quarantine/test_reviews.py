"""The figures of manual reviews: known examples from the papers that the formulas are from."""

from __future__ import annotations

import pytest

from shopsphere_assets.quarantine.reviews import agreements, cohen, fleiss, wilson

# J. L. Fleiss (1971) as retold in textbooks: ten subjects, fourteen raters, five categories.
FLEISS = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]


def test_wilsons_interval_is_that_of_the_tables() -> None:
    share = wilson(8, 10)
    assert (share.value, round(share.low, 4), round(share.high, 4)) == (0.8, 0.4902, 0.9433)
    assert wilson(0, 10).low == 0
    assert round(wilson(0, 10).high, 4) == 0.2775
    assert wilson(10, 10).high == pytest.approx(1)


def test_cohens_kappa_is_that_of_the_textbook() -> None:
    # 20 and 15 of 50 agree.
    pairs = [("right", "right")] * 20 + [("right", "wrong")] * 5 + [("wrong", "right")] * 10 + [("wrong", "wrong")] * 15
    observed, kappa = cohen(pairs)
    assert observed == 0.7
    assert kappa == pytest.approx(0.4)
    assert cohen([("right", "right")] * 3) == (1.0, None)


def test_fleiss_kappa_is_that_of_the_textbook() -> None:
    rows = [[str(category) for category, n in enumerate(row) for _ in range(n)] for row in FLEISS]
    observed, kappa = fleiss(rows)
    assert (round(observed, 3), round(kappa or 0, 3)) == (0.378, 0.21)


def test_every_two_reviewers_are_compared_and_all_of_them_where_there_are_more() -> None:
    rows = [
        {"ada": "right", "bob": "right", "eve": "right"},
        {"ada": "wrong", "bob": "right", "eve": "wrong"},
        {"ada": "wrong", "bob": "wrong"},
    ]
    found = agreements(rows)
    assert [(a.reviewers, a.measure, a.samples) for a in found] == [
        (("ada", "bob"), "Cohen's kappa", 3),
        (("ada", "eve"), "Cohen's kappa", 2),
        (("bob", "eve"), "Cohen's kappa", 2),
        (("ada", "bob", "eve"), "Fleiss' kappa", 2),
    ]
    assert agreements([{"ada": "right"}]) == []
