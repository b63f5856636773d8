"""A cell goes through a form field and comes back as it was, unless somebody changed it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.web.cells import CELL, ESCAPED, CellError, changed_cells, is_escaped, to_field
from shopsphere_assets.web.shown import pieces


def sent(field: str) -> str:
    """What a browser sends of a text field: its own line ends, no control characters."""
    text = "".join(c for c in field.replace("\r", "\n") if c == "\n" or c == "\t" or not (c < " " or c == "\x7f"))
    return text.encode("utf-8", "replace").decode().replace("\n", "\r\n")


def form(value: str | None, field: str) -> dict[str, str]:
    return {CELL + "a": field, **({ESCAPED + "a": "1"} if is_escaped(value) else {})}


@given(st.none() | st.text(st.characters(exclude_categories=())))
def test_what_nobody_changed_is_no_change(value: str | None) -> None:
    assert changed_cells(["a"], {"a": value}, form(value, sent(to_field(value)))) == {}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_change_beside_what_cannot_be_typed_keeps_the_rest(value: str) -> None:
    changed = changed_cells(["a"], {"a": value}, form(value, sent(to_field(value)) + "!"))
    assert changed == {"a": value + "!"}


def test_an_emptied_field_is_an_empty_cell_and_an_unknown_one_is_none() -> None:
    before = {"a": "1", "b": None}
    assert changed_cells(["a", "b"], before, {CELL + "a": "", CELL + "b": "", CELL + "c": "3"}) == {"a": None}
    assert changed_cells(["a", "b"], before, {}) == {}


def test_a_notation_that_cannot_be_read_is_told() -> None:
    with pytest.raises(CellError, match="a is written with"):
        changed_cells(["a"], {"a": "\x00"}, {CELL + "a": "\\u00", ESCAPED + "a": "1"})


def test_what_differs_and_what_cannot_be_seen_is_marked() -> None:
    assert pieces("a,b", "a.b") == [("a", ""), (",", "changed"), ("b", "")]
    assert pieces(" a\u200bb") == [("·", "hidden"), ("a", ""), ("U+200B", "hidden"), ("b", "")]
    assert "".join(text for text, _ in pieces("x" * 1000, "y")) == "x" * 1000
