"""A simulation goes on where it stopped, whatever stopped it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from simulator.simulation import Parameters, Simulation, read_truth
from simulator.sinks import Day, SimulatorError

PARAMETERS = Parameters(seed=9, scale=0.02, error_rate=0.1)


class Memory:
    """A sink that remembers, and that fails on one day if told to."""

    def __init__(self) -> None:
        self.days: list[Day] = []
        self.fails_on: int | None = None

    def write(self, day: Day) -> None:
        if day.number == self.fails_on:
            raise OSError("the disk is full")
        self.days.append(day)

    @property
    def numbers(self) -> list[int]:
        return [day.number for day in self.days]


def test_days_come_in_order_and_progress_is_told(tmp_path: Path) -> None:
    sink, told = Memory(), []
    simulation = Simulation.open_or_create(tmp_path, [sink], PARAMETERS)
    simulation.advance(3, progress=lambda day: told.append(day.number))
    assert sink.numbers == told == [0, 1, 2]
    assert simulation.now == datetime(2026, 1, 4, tzinfo=UTC)


def test_a_second_opening_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    whole, first, second = Memory(), Memory(), Memory()
    Simulation.open_or_create(tmp_path / "whole", [whole], PARAMETERS).advance(5)
    Simulation.open_or_create(tmp_path / "parts", [first], PARAMETERS).advance(2)
    Simulation.open_or_create(tmp_path / "parts", [second]).advance(3)
    for one, other in zip(whole.days, first.days + second.days, strict=True):
        for table, frame in one.tables.items():
            assert_frame_equal(frame, other.tables[table])
    assert_frame_equal(read_truth(tmp_path / "whole"), read_truth(tmp_path / "parts"))


def test_an_interrupted_day_is_written_again_to_every_sink(tmp_path: Path) -> None:
    sound, faulty = Memory(), Memory()
    faulty.fails_on = 1
    simulation = Simulation.open_or_create(tmp_path, [sound, faulty], PARAMETERS)
    with pytest.raises(OSError, match="disk is full"):
        simulation.advance(3)
    faulty.fails_on = None
    Simulation.open_or_create(tmp_path, [sound, faulty]).advance(1)
    assert sound.numbers == [0, 1, 1]
    assert faulty.numbers == [0, 1]
    assert_frame_equal(sound.days[1].truth, sound.days[2].truth)
    assert read_truth(tmp_path)["day"].unique().sort().to_list() == [0, 1]


def test_other_parameters_are_refused_with_the_difference(tmp_path: Path) -> None:
    Simulation.open_or_create(tmp_path, [], PARAMETERS)
    with pytest.raises(SimulatorError, match=r"scale is 0\.02 there and 1\.0 was asked for"):
        Simulation.open_or_create(tmp_path, [], Parameters(seed=9, scale=1.0, error_rate=0.1))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seed": 1}'])
def test_an_unreadable_state_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(SimulatorError, match="cannot be read"):
        Simulation.open_or_create(tmp_path, [], PARAMETERS)
    assert path.read_text() == content


def test_advance_to_a_moment_brings_the_days_that_have_ended_by_then(tmp_path: Path) -> None:
    sink = Memory()
    simulation = Simulation.open_or_create(tmp_path, [sink], PARAMETERS)
    simulation.advance_to(datetime(2026, 1, 3, 12, tzinfo=UTC))
    assert sink.numbers == [0, 1]
    simulation.advance_to(datetime(2025, 1, 1, tzinfo=UTC))
    assert sink.numbers == [0, 1]
    assert simulation.parameters.start == date(2026, 1, 1)


def test_standing_errors_are_those_of_rows_that_were_not_written_again(tmp_path: Path) -> None:
    sink = Memory()
    Simulation.open_or_create(tmp_path, [sink], PARAMETERS).advance(12)
    truth, standing = read_truth(tmp_path), read_truth(tmp_path, standing_only=True)
    assert 0 < standing.height < truth.height
    last: dict[str, int] = {}
    for day in sink.days:
        last |= dict.fromkeys(day.tables["shop_db/orders"]["order_id"].cast(pl.String), day.number)
    orders = pl.col("table_name") == "orders"
    expected = truth.filter(orders).filter(pl.col("day") == pl.col("row_key").replace_strict(last, default=None))
    assert_frame_equal(standing.filter(orders), expected)
