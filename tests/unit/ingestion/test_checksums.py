"""Checksums: the same numbers in SQL and in polars, whatever the keys, and chunks that cover every key once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.ingestion.checksums import (
    CHANGED_AT,
    Difference,
    Interval,
    Selection,
    Sums,
    _grouped,
    _microseconds,
    _sums,
    chunk_width,
    differences,
    hash_positions,
    portions,
)

LOWEST, HIGHEST = -(2**63), 2**63 - 1
POSITIONS = st.one_of(st.integers(LOWEST, HIGHEST), st.sampled_from([LOWEST, -1, 0, 1, HIGHEST]))
WIDTHS = st.integers(0, 54).map(lambda exponent: 2**exponent)
MOMENTS = st.one_of(
    st.none(),
    st.integers(0, 3_300_000_000_000_000).map(lambda us: datetime(1995, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)),
)


def base_of(position: int, width: int) -> int:
    rest = abs(position) % width
    return position - rest if position >= 0 else position + rest


def in_sql(points: Sequence[tuple[int | None, datetime | None]], width: int) -> dict[int | None, tuple[int, int, int]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE points (p bigint, c timestamptz)")
        connection.executemany("INSERT INTO points VALUES (?, ?)", points)
        inner = f"SELECT p, {_microseconds('c', 'duckdb')} AS m FROM points"
        rows = connection.execute(_sums(inner, width, "duckdb")).fetchall()
    return {base: (n, int(positions or 0), int(checksum)) for base, n, positions, checksum in rows}


@given(st.lists(st.tuples(POSITIONS, MOMENTS), min_size=1, max_size=30), WIDTHS)
def test_sql_sums_up_any_keys_without_overflow(points: list[tuple[int, datetime | None]], width: int) -> None:
    found = in_sql(points, width)
    assert {base: sums[0] for base, sums in found.items()} == {
        base: sum(base_of(p, width) == base for p, _ in points) for base in {base_of(p, width) for p, _ in points}
    }
    assert sum(sums[1] for sums in found.values()) == sum(p for p, _ in points)


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 2**60 - 1)), MOMENTS), min_size=1, max_size=30), WIDTHS)
def test_polars_computes_what_sql_does(points: list[tuple[int | None, datetime | None]], width: int) -> None:
    frame = pl.DataFrame(points, schema={"p": pl.Int64, CHANGED_AT: pl.Datetime("us", "UTC")}, orient="row")
    found = {
        base: (rows, (high << 30) + low, checksum)
        for base, rows, high, low, checksum in _grouped(frame, width).iter_rows()
    }
    assert found == in_sql(points, width)


AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "changed",
    [(500, AT), (50, AT + timedelta(microseconds=1)), (50, AT - timedelta(days=400)), (50, None)],
    ids=["another key", "a microsecond", "another year", "no moment"],
)
def test_any_change_of_one_row_changes_the_checksum(changed: tuple[int, datetime | None]) -> None:
    points: list[tuple[int | None, datetime | None]] = [(number, AT) for number in range(100)]
    assert in_sql(points, 1024)[0] != in_sql([*points[:50], changed, *points[51:]], 1024)[0]


def test_exchanging_rows_that_keep_all_sums_changes_the_checksum() -> None:
    assert in_sql([(1, AT), (4, AT)], 8)[0] != in_sql([(2, AT), (3, AT)], 8)[0]
    later = AT + timedelta(hours=1)
    assert in_sql([(1, AT), (2, later)], 8)[0] != in_sql([(1, later), (2, AT)], 8)[0]


@given(st.lists(POSITIONS, min_size=1, max_size=20), WIDTHS)
def test_the_intervals_of_chunks_hold_their_positions_and_no_others(positions: list[int], width: int) -> None:
    bases = sorted({base_of(position, width) for position in positions})
    intervals = Selection(width, tuple(bases)).intervals
    assert all(any(i.low <= position <= i.high for i in intervals) for position in positions)
    assert all(LOWEST <= i.low <= i.high <= HIGHEST for i in intervals)
    for interval in intervals:
        assert {base_of(interval.low, width), base_of(interval.high, width)} <= set(bases)
    assert Selection(width, tuple(bases)).only(pl.Series(positions, dtype=pl.Int64)).bases == tuple(bases)


@given(POSITIONS, POSITIONS)
def test_about_a_thousand_chunks_cover_any_range(one: int, other: int) -> None:
    extent = Interval(min(one, other), max(one, other))
    width = chunk_width([extent, None])
    assert (extent.high - extent.low) // width <= 2048
    assert width & (width - 1) == 0
    assert chunk_width([None, None]) == 1


def test_positions_of_text_are_alike_for_alike_text_only() -> None:
    names = ["a", "A", "a ", "ä", "日本", "🎉", ""]
    found = hash_positions(pl.Series([*names, None]))
    assert found.null_count() == 1
    assert found.drop_nulls().n_unique() == len(names)
    assert found.drop_nulls().is_between(0, 2**60 - 1).all()
    with duckdb.connect() as connection:
        for name, position in zip(names, found, strict=False):
            sql = f"SELECT CAST('0x' || left(md5('{name}'), 15) AS bigint)"
            assert connection.execute(sql).fetchall() == [(position,)]


class Held:
    """A side that holds positions in memory, and counts the questions."""

    def __init__(self, positions: set[int]) -> None:
        self._positions, self.questions = positions, 0

    def extent(self) -> Interval | None:
        return Interval(min(self._positions), max(self._positions)) if self._positions else None

    def sums(self, width: int, within: Selection | None = None) -> dict[int | None, Sums]:
        self.questions += 1
        found: dict[int | None, Sums] = {}
        for position in self._positions:
            if within is None or any(i.low <= position <= i.high for i in within.intervals):
                base = base_of(position, width)
                before = found.get(base, Sums(0, 0, 0))
                found[base] = Sums(before.rows + 1, before.positions + position, 0)
        return found


def compared(ours: Held, theirs: Held) -> list[Difference]:
    width = chunk_width((ours.extent(), theirs.extent()))
    return list(differences(ours, theirs, (ours.sums(width), theirs.sums(width)), width))


@given(st.sets(POSITIONS, max_size=40), st.sets(POSITIONS, max_size=40))
def test_every_difference_is_found(one: set[int], other: set[int]) -> None:
    found = compared(Held(one), Held(other))
    for position in one ^ other:
        assert any(base_of(position, d.width) == d.base for d in found)


def test_one_difference_among_many_rows_is_found_with_few_questions() -> None:
    # One key far away makes the first chunks wide: all other rows lie in one of them.
    crowd = {*range(0, 60_000, 2), 2**62}
    ours, theirs = Held(crowd), Held(crowd - {30_000})
    [found] = compared(ours, theirs)
    assert found.rows <= 2048
    assert ours.questions == theirs.questions < 12


def test_portions_hold_chunks_of_one_width_and_bounded_numbers_of_rows() -> None:
    many = [Difference(number * 8, 8, 90_000) for number in range(5)] + [Difference(0, 4, 1)]
    found = list(portions(many))
    assert [(p.width, len(p.bases)) for p in found] == [(8, 2), (8, 2), (8, 1), (4, 1)]
