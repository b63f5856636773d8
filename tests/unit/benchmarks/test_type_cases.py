"""The benchmark of types calls a value kept when it means the same, and only then."""

from __future__ import annotations

import pytest

from benchmarks.type_cases import CASES, Case, Value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_the_source_has_is_kept(case: Case) -> None:
    assert all(case.is_kept(value.text, value) for value in case.values)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_value_is_not_another(case: Case) -> None:
    for value in case.values:
        assert not any(case.is_kept(other.text, value) for other in case.values if other != value)


@pytest.mark.parametrize(
    ("name", "loaded", "source"),
    [
        ("unsigned_bigint", "18446744073709551615", "18446744073709551615"),
        ("tinyint1", "true", "1"),
        ("bit1", "\\x01", "1"),
        ("json_cells", '{"n":12345678901234567890123,"a":1.1}', '{"a": 1.10, "n": 12345678901234567890123}'),
        ("time_cells", "1 day 06:15:00", "30:15:00"),
        ("invalid_utf8", "\\x61ff62", "a\\xFFb"),
        ("infinity_cells", "2024-02-29 10:00:00+00", "2024-02-29 10:00:00"),
    ],
)
def test_the_same_value_may_be_written_in_another_way(name: str, loaded: str, source: str) -> None:
    assert CASES[name].is_kept(loaded, Value("", source))


@pytest.mark.parametrize(
    ("name", "loaded", "source"),
    [
        ("unsigned_bigint", "1.8446744073709552e+19", "18446744073709551615"),
        ("tinyint1", "true", "2"),
        ("json_cells", '{"a": 1.1, "n": 1.2345678901234568e+22}', '{"a": 1.10, "n": 12345678901234567890123}'),
        ("time_cells", "06:15:00", "30:15:00"),
        ("decimal38", "1234567890123456800000000000", "1234567890123456789012345678.0123456789"),
        ("zero_date", "1970-01-01", "0000-00-00"),
        ("invalid_utf8", "a\ufffdb", "a\\xFFb"),
        ("infinite_date", "9999-12-31", "infinity"),
    ],
)
def test_another_value_is_not_kept(name: str, loaded: str, source: str) -> None:
    assert not CASES[name].is_kept(loaded, Value("", source))
