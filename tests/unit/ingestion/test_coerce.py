"""Nothing changes silently: a cell becomes the contract's type with its value kept, or is reported as failed."""

# Naive times are what databases without time zones give.
# ruff: noqa: DTZ001

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.ingestion.coerce import as_text, coerce

INTEGER = pl.Int64()
MONEY = pl.Decimal(18, 2)
MOMENT = pl.Datetime("us", "UTC")
DATE = pl.Date()
BOOLEAN = pl.Boolean()
TEXT = pl.String()

FAILED = object()
INT64 = range(-(2**63), 2**63)


def turned(values: list[Any], target: pl.DataType, given_as: pl.DataType | None = None) -> list[Any]:
    """What becomes of each value: the new one, or :data:`FAILED`."""
    given = pl.Series("c", values, dtype=given_as)
    frame, failures = coerce(given.to_frame(), {"c": target})
    assert frame.schema == {"c": target}
    assert frame.height == len(values)
    failed = failures["c"].to_list() if failures else [False] * len(values)
    cells = frame.get_column("c").to_list()
    assert all(cell is None for cell, is_failed in zip(cells, failed, strict=True) if is_failed)
    return [FAILED if is_failed else cell for cell, is_failed in zip(cells, failed, strict=True)]


def one(value: Any, target: pl.DataType, given_as: pl.DataType | None = None) -> Any:
    return turned([value], target, given_as)[0]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("007", 7),
        (" 12 ", 12),
        ("\t12\n", 12),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        (str(2**63), FAILED),
        ("9" * 19, FAILED),
        (str(2**64 - 1), FAILED),
        *((text, FAILED) for text in ("", " ", "1e3", "12.0", "12.345", "-0.00", "1,234", "1_000", "1 000", "0x10")),
        *((text, FAILED) for text in ("١٢", "１２", "²", "NaN", "inf", "null", "--1", "+-1", "12\u00a03", "1\x002")),
    ],
)
def test_text_becomes_an_integer_only_if_it_is_one(text: str, expected: Any) -> None:
    assert one(text, INTEGER) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0.00", Decimal("0.00")),
        ("12.3", Decimal("12.30")),
        (" 12.34 ", Decimal("12.34")),
        ("12.3400000000", Decimal("12.34")),
        ("+1.10", Decimal("1.10")),
        ("9999999999999999.99", Decimal("9999999999999999.99")),
        ("-9999999999999999.99", Decimal("-9999999999999999.99")),
        ("10000000000000000.00", FAILED),
        *((text, FAILED) for text in ("12.345", "12.340000001", "1e3", "1E-2", "1,234", "1.234,56", "1,234.56")),
        *((text, FAILED) for text in ("١٢", "€5", "$5.00", "5 EUR", ".5", "5.", "", "NaN", "inf", "-", "1.2.3")),
    ],
)
def test_text_becomes_an_amount_only_if_it_is_one_to_the_cent(text: str, expected: Any) -> None:
    assert one(text, MONEY) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T10:00:00Z", utc(2026, 1, 1, 10)),
        ("2026-01-01t10:00:00z", utc(2026, 1, 1, 10)),
        ("2026-01-01 10:00:00", utc(2026, 1, 1, 10)),
        ("2026-01-01T10:00:00", utc(2026, 1, 1, 10)),
        (" 2026-01-01T10:00:00Z ", utc(2026, 1, 1, 10)),
        ("2026-01-01", utc(2026, 1, 1)),
        ("2026-01-01T10:00:00+05:30", utc(2026, 1, 1, 4, 30)),
        ("2026-01-01T10:00:00+0530", utc(2026, 1, 1, 4, 30)),
        ("2026-01-01 10:00:00+05", utc(2026, 1, 1, 5)),
        ("2026-01-01T10:00:00.5-05", utc(2026, 1, 1, 15, 0, 0, 500_000)),
        ("2026-01-01T10:00:00-00:00", utc(2026, 1, 1, 10)),
        ("2026-01-01T10:00:00.123Z", utc(2026, 1, 1, 10, 0, 0, 123_000)),
        ("2026-01-01T10:00:00.123456Z", utc(2026, 1, 1, 10, 0, 0, 123_456)),
        ("2026-01-01T10:00:00.123456000Z", utc(2026, 1, 1, 10, 0, 0, 123_456)),
        ("9999-12-31T23:59:59.999999Z", utc(9999, 12, 31, 23, 59, 59, 999_999)),
        # More places than microseconds have.
        ("2026-01-01T10:00:00.1234567Z", FAILED),
        ("2026-01-01T10:00:00.000000001Z", FAILED),
        # No such moment, or none that a count of microseconds can hold: a leap second would become the next minute.
        *((text, FAILED) for text in ("2016-12-31T23:59:60Z", "2026-01-01T10:00:60Z", "2026-01-01T24:00:00Z")),
        *((text, FAILED) for text in ("2026-02-30T00:00:00Z", "2026-13-01", "2026-01-01T10:60:00Z", "2025-02-29")),
        *((text, FAILED) for text in ("0000-00-00", "0000-00-00 00:00:00", "0000-01-01T00:00:00Z")),
        # Beyond the years that Python's dates have, before or after the offset is taken away.
        *((text, FAILED) for text in ("10000-01-01T00:00:00Z", "+12026-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00")),
        ("9999-12-31T23:59:59-01:00", FAILED),
        # Other notations.
        *((text, FAILED) for text in ("", "10:00:00", "2026-01-01 10", "2026-01-01T10:00:00 UTC", "1767225600")),
        *((text, FAILED) for text in ("20260101", "01/02/2026", "2026-1-1 1:2:3", "2026-01-01T10:00:00,5Z", "now")),
        *((text, FAILED) for text in ("infinity", "2026-01-01T10:00:00.Z", "2026-01-01T10:00:00+99:99", "2026-01-0१")),
        *((text, FAILED) for text in ("2026-01-01  10:00:00", "2026-01-01T10:00:00Z2026-01-01T10:00:00Z")),
    ],
)
def test_text_becomes_a_moment_only_if_it_is_one_and_counts_as_utc_without_a_zone(text: str, expected: Any) -> None:
    assert one(text, MOMENT) == expected
    # In company too: what is written alike is parsed together.
    company = ["2026-01-01T10:00:00Z", text, "2026-01-01 10:00:00", "2026-01-01"]
    assert turned(company, MOMENT) == [utc(2026, 1, 1, 10), expected, utc(2026, 1, 1, 10), utc(2026, 1, 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        (" 2026-01-01 ", date(2026, 1, 1)),
        ("2026-01-01T00:00:00Z", date(2026, 1, 1)),
        ("2026-01-01 00:00:00.000", date(2026, 1, 1)),
        ("2026-01-01T00:00:00+00:00", date(2026, 1, 1)),
        *((text, FAILED) for text in ("2026-01-01T10:00:00Z", "2026-01-01 00:00:00.001", "2026-01-01T24:00:00")),
        *((text, FAILED) for text in ("2026-01-01T00:00:00+05:30", "0000-00-00", "2026-02-30", "2025-02-29", "")),
        *((text, FAILED) for text in ("2026-1-1", "20260101", "01/02/2026", "1.2.2026", "٢٠٢٦-٠١-٠١", "0000-01-01")),
    ],
)
def test_text_becomes_a_date_only_if_it_is_a_whole_day(text: str, expected: Any) -> None:
    assert one(text, DATE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("true", "TRUE", " t ", "1", "yes", "Y")),
        *((text, False) for text in ("false", "False", "f", "0", "no", "N")),
        *((text, FAILED) for text in ("", "2", "-1", "on", "off", "ja", "1.0", "10", "truefalse")),
    ],
)
def test_text_becomes_a_boolean_only_if_it_is_plainly_one(text: str, expected: Any) -> None:
    assert one(text, BOOLEAN) == expected


def test_numbers_that_64_bits_cannot_hold_are_reported() -> None:
    assert turned([2**63, 2**64 - 1, 5, None], INTEGER, pl.UInt64()) == [FAILED, FAILED, 5, None]
    assert turned([2**63, 10**16, 10**16 - 1], MONEY, pl.UInt64()) == [FAILED, FAILED, Decimal(10**16 - 1)]


def test_a_real_number_becomes_an_integer_only_if_it_is_whole() -> None:
    given = [1.5, 2.0, -0.0, math.nan, math.inf, -math.inf, 1e300, 2.0**63, -(2.0**63), 2.0**53, None]
    expected = [FAILED, 2, 0, FAILED, FAILED, FAILED, FAILED, FAILED, -(2**63), 2**53, None]
    assert turned(given, INTEGER, pl.Float64()) == expected


def test_a_double_becomes_an_amount_only_where_it_is_meant_to_be_a_cent() -> None:
    given = [0.1, 0.29, 0.1 + 0.2, -5.55, -0.0, 1.005, 12.345, 123456789012.34, 999999999999.345, 0.004]
    expected = ["0.10", "0.29", "0.30", "-5.55", "0", None, None, "123456789012.34", None, None]
    assert turned(given, MONEY, pl.Float64()) == [FAILED if e is None else Decimal(e) for e in expected]
    # Beyond, a double does not tell cents apart.
    beyond = [1234567890123.345, 1e13, 1e16, math.nan, math.inf]
    assert turned(beyond, MONEY, pl.Float64()) == [FAILED] * 5


def test_a_single_precision_number_becomes_the_amount_that_it_is_written_as() -> None:
    given = [0.1, 19.99, 99999.99, 1.005, math.nan, 1e20]
    expected = [Decimal("0.10"), Decimal("19.99"), Decimal("99999.99"), FAILED, FAILED, FAILED]
    assert turned(given, MONEY, pl.Float32()) == expected


def test_a_decimal_of_many_places_is_kept_to_the_cent_or_reported() -> None:
    given = [Decimal(d) for d in ("12.3400000000", "12.3400000001", "12.345", "9999999999999999.99", "1" + "0" * 20)]
    expected = [Decimal("12.34"), FAILED, FAILED, Decimal("9999999999999999.99"), FAILED]
    assert turned(given, MONEY, pl.Decimal(38, 10)) == expected
    assert turned([Decimal("7.0"), Decimal("7.5")], INTEGER, pl.Decimal(38, 10)) == [7, FAILED]


def test_what_is_of_another_kind_is_reported_and_not_reinterpreted() -> None:
    moment, day = datetime(2026, 1, 1, 10), date(2026, 1, 1)
    assert one(moment, INTEGER) is FAILED
    assert one(day, INTEGER) is FAILED
    assert one(moment, MONEY) is FAILED
    assert one(True, MONEY) is FAILED
    assert one(5, MOMENT) is FAILED
    assert one(20260101, DATE) is FAILED
    assert one(time(10), MOMENT) is FAILED
    assert one(2, BOOLEAN) is FAILED
    assert one(0.5, BOOLEAN) is FAILED
    assert turned([1, 0], BOOLEAN) == [True, False]
    assert turned([True, False], INTEGER) == [1, 0]
    for target in (INTEGER, MONEY, MOMENT, DATE, BOOLEAN, TEXT):
        assert turned([[1, 2], None], target) == [FAILED, None]
        assert turned([timedelta(1), None], target) == [FAILED, None]


def test_moments_keep_their_instant_in_every_time_zone_and_unit() -> None:
    berlin = datetime(2026, 3, 29, 4, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert one(berlin, MOMENT, pl.Datetime("us", "Europe/Berlin")) == utc(2026, 3, 29, 2, 30)
    naive = datetime(2026, 3, 29, 2, 30)
    for unit in (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns")):
        assert one(naive, MOMENT, unit) == utc(2026, 3, 29, 2, 30)
    assert one(date(2026, 1, 1), MOMENT) == utc(2026, 1, 1)
    nanoseconds = pl.Series("c", [1_000, 1_001]).cast(pl.Datetime("ns"))
    frame, failures = coerce(nanoseconds.to_frame(), {"c": MOMENT})
    assert frame.get_column("c").to_list() == [utc(1970, 1, 1, 0, 0, 0, 1), None]
    assert failures["c"].to_list() == [False, True]


def test_a_moment_becomes_a_date_only_at_midnight() -> None:
    moments = [utc(2026, 1, 1), utc(2026, 1, 1, 0, 0, 0, 1)]
    assert turned(moments, DATE, MOMENT) == [date(2026, 1, 1), FAILED]
    # A zone in which this midnight does not exist must not stop the batch.
    sao_paulo = [datetime(2018, 11, 4, 1, tzinfo=ZoneInfo("America/Sao_Paulo"))]
    assert turned(sao_paulo, DATE, pl.Datetime("us", "America/Sao_Paulo")) == [FAILED]


def test_years_that_python_cannot_hold_are_reported_even_in_the_right_type() -> None:
    moments = pl.Series("c", [10**18, -(10**17), 0]).cast(MOMENT)
    days = pl.Series("d", [10**7, -(10**6), 0]).cast(DATE)
    frame, failures = coerce(pl.DataFrame([moments, days]), {"c": MOMENT, "d": DATE})
    assert frame.rows() == [(None, None), (None, None), (utc(1970, 1, 1), date(1970, 1, 1))]
    assert {name: marks.to_list() for name, marks in failures.items()} == {
        "c": [True, True, False],
        "d": [True, True, False],
    }


def test_bytes_are_the_text_that_they_are_in_utf_8_or_reported() -> None:
    assert turned(["café".encode(), b"\xff\xfe", b"", None], TEXT, pl.Binary()) == ["café", FAILED, "", None]
    assert turned([b"12", b"\x01", b"\xff"], INTEGER, pl.Binary()) == [12, FAILED, FAILED]
    assert turned([b"2026-01-01T10:00:00Z"], MOMENT, pl.Binary()) == [utc(2026, 1, 1, 10)]


def test_a_column_that_is_not_given_is_null_and_no_failure() -> None:
    frame, failures = coerce(pl.DataFrame({"other": [1, 2]}), {"c": MONEY, "d": TEXT})
    assert frame.rows() == [(None, None)] * 2
    assert frame.schema == {"c": MONEY, "d": TEXT}
    assert failures == {}
    assert turned([None, None], MOMENT) == [None, None]
    for target in (INTEGER, MONEY, MOMENT, DATE, BOOLEAN, TEXT):
        assert turned([], target, TEXT) == []


@given(st.lists(st.one_of(st.none(), st.integers(-(2**70), 2**70))))
def test_every_whole_number_comes_back_from_text_or_is_reported(values: list[int | None]) -> None:
    result = turned([None if v is None else str(v) for v in values], INTEGER, TEXT)
    assert result == [v if v is None or v in INT64 else FAILED for v in values]


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6)))
def test_every_decimal_comes_back_from_text_and_from_decimals_or_is_reported(values: list[Decimal]) -> None:
    expected = [v if v == round(v, 2) and abs(v) < 10**16 else FAILED for v in values]
    assert turned([f"{v:f}" for v in values], MONEY, TEXT) == expected
    assert turned(list(values), MONEY, pl.Decimal(38, 6)) == expected


@given(st.lists(st.floats()))
def test_every_double_is_kept_within_its_own_precision_or_reported(values: list[float]) -> None:
    for value, result in zip(values, turned(values, MONEY, pl.Float64()), strict=True):
        if result is not FAILED:
            assert abs(Decimal(value) - result) <= max(Decimal("1e-8"), abs(Decimal(value)) * Decimal("1e-14"))
    for value, result in zip(values, turned(values, INTEGER, pl.Float64()), strict=True):
        assert result is FAILED or result == value


@given(st.lists(st.integers(-(10**14), 10**14 - 1)))
def test_every_amount_below_a_trillion_comes_through_a_double(cents: list[int]) -> None:
    amounts = [Decimal(c) / 100 for c in cents]
    assert turned([float(a) for a in amounts], MONEY, pl.Float64()) == [
        a if abs(a) < 10**12 else FAILED for a in amounts
    ]


_zones = st.one_of(
    st.just(UTC), st.sampled_from([ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")])
)


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 30), timezones=_zones)))
def test_every_moment_comes_back_from_its_iso_text(moments: list[datetime]) -> None:
    in_whole_minutes = [m for m in moments if (m.utcoffset() or timedelta()).seconds % 60 == 0]
    for separator in ("T", " "):
        expected = [m.astimezone(UTC) for m in in_whole_minutes]
        assert turned([m.isoformat(separator) for m in in_whole_minutes], MOMENT, TEXT) == expected


@given(st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))), st.sampled_from(["T", " "]))
def test_every_naive_moment_counts_as_utc(moments: list[datetime], separator: str) -> None:
    aware = [m.replace(tzinfo=UTC) for m in moments]
    assert turned([m.isoformat(separator) for m in moments], MOMENT, TEXT) == aware
    assert turned(moments, MOMENT, pl.Datetime("us")) == aware


@given(st.lists(st.dates()))
def test_every_date_comes_back_from_its_iso_text(days: list[date]) -> None:
    assert turned([d.isoformat() for d in days], DATE, TEXT) == days
    assert turned([f"{d.isoformat()}T00:00:00Z" for d in days], DATE, TEXT) == days


@given(st.lists(st.text()))
def test_text_stays_as_it_is_and_turns_into_nothing_by_chance(texts: list[str]) -> None:
    assert turned(texts, TEXT, TEXT) == texts
    for target in (INTEGER, MONEY, MOMENT, DATE, BOOLEAN):
        for text, result in zip(texts, turned(texts, target, TEXT), strict=True):
            # Only plain ASCII is ever read as a value.
            assert result is FAILED or text.strip().isascii()


@given(st.lists(st.one_of(st.none(), st.booleans())))
def test_booleans_come_back_from_text_and_numbers(values: list[bool | None]) -> None:
    assert turned([None if v is None else str(v) for v in values], BOOLEAN, TEXT) == values
    assert turned([None if v is None else int(v) for v in values], BOOLEAN, INTEGER) == values


@given(st.lists(st.one_of(st.none(), st.binary())))
def test_bytes_have_a_text_for_people_whatever_they_hold(values: list[bytes | None]) -> None:
    texts = as_text(pl.Series("c", values, dtype=pl.Binary)).to_list()
    for value, text in zip(values, texts, strict=True):
        if value is None:
            assert text is None
        else:
            assert text is not None
            assert text.encode() == value or text == "\\x" + value.hex()


def test_everything_has_a_text_for_people() -> None:
    for values in ([1], [1.5], [Decimal("1.5")], [date(2026, 1, 1)], [datetime(2026, 1, 1)], [[1, 2]], [{"a": 1}]):
        assert all(as_text(pl.Series("c", [*values, None])).is_null() == pl.Series([False, True]))
    assert as_text(pl.Series("c", [timedelta(hours=30)])).to_list() == ["1 day, 6:00:00"]
