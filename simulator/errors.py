"""Planting errors: which rows go wrong, and the record of every one of them.

Belongs here: choosing rows, changing them, writing the truth. Does not belong here: the kinds of error
(``error_kinds``) and which table gets which (``error_plan``).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from simulator.columns import draws_of
from simulator.dice import Dice
from simulator.error_kinds import Planting, Row
from simulator.error_plan import PLAN
from simulator.sinks import TRUTH_SCHEMA

_SECOND_ERROR = 0.06
"""Share of the dirty rows that carry two errors."""

Truth = list[tuple[Any, ...]]


def plant(
    tables: dict[str, pl.DataFrame], keys: dict[str, str], day: int, rate: float, dice: Dice
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """The tables with errors in ``rate`` of their rows, and the truth (:data:`TRUTH_SCHEMA`)."""
    truth: Truth = []
    dirty = {name: _dirty(frame, name, keys[name], day, rate, dice, truth) for name, frame in tables.items()}
    columns = list(zip(*truth, strict=True)) or [()] * len(TRUTH_SCHEMA)
    series = [
        pl.Series(name, values, dtype=TRUTH_SCHEMA[name]) for name, values in zip(TRUTH_SCHEMA, columns, strict=True)
    ]
    return dirty, pl.DataFrame(series)


def _dirty(frame: pl.DataFrame, name: str, key: str, day: int, rate: float, dice: Dice, truth: Truth) -> pl.DataFrame:
    rows = draws_of(day, frame.height)
    places = np.flatnonzero(dice.chance(f"errors.{name}", rows, rate))
    if not len(places):
        return frame
    plan = PLAN[name]
    chosen = dice.choice(f"errors.{name}.kind", rows[places], [planting.weight for planting in plan])
    draws = (dice.bits(f"errors.{name}.draw", rows[places]) >> np.uint64(20)).tolist()
    second = dice.chance(f"errors.{name}.second", rows[places], _SECOND_ERROR)
    source, table = name.split("/")
    changes: dict[str, tuple[list[int], list[Any]]] = {}
    doubled: list[int] = []
    originals = frame[places].rows(named=True)
    for place, number, draw, has_second, row in zip(
        places.tolist(), chosen.tolist(), draws, second.tolist(), originals, strict=True
    ):
        planted = _choose(plan, number, row, draw, set(), single=False)
        found = [planted] if planted else []
        if planted and has_second and planted[0].is_of_one_column:
            other = _choose(plan, number + 1 + draw % len(plan), row, draw // 7, set(planted[1]), single=True)
            found += [other] if other else []
        wrong = dict(row)
        for planting, changed in found:
            wrong.update(changed)
            if planting.kind == "duplicate_row":
                doubled.append(place)
            for column, value in changed.items():
                where, values = changes.setdefault(column, ([], []))
                where.append(place)
                values.append(value)
        row_key = str(row[key])
        truth += [_record(day, source, table, row_key, planting, row, wrong) for planting, _ in found]
    columns = [
        frame[column].scatter(where, pl.Series(values, dtype=frame.schema[column]))
        for column, (where, values) in changes.items()
    ]
    return _with_doubles(frame.with_columns(columns), doubled)


def _choose(
    plan: list[Planting], first: int, row: Row, draw: int, taken: set[str], *, single: bool
) -> tuple[Planting, Row] | None:
    """The first planting from number ``first`` on for which the row gives occasion, and what it changes."""
    for step in range(len(plan)):
        planting = plan[(first + step) % len(plan)]
        if single and not planting.is_of_one_column:
            continue
        changed = planting.make(row, draw)
        if changed is not None and not taken & changed.keys():
            return planting, changed
    return None


def _record(
    day: int, source: str, table: str, row_key: str, planting: Planting, row: Row, wrong: Row
) -> tuple[Any, ...]:
    column = planting.column
    return (
        day, source, table, row_key, planting.kind, column, planting.rule, planting.rule is not None,
        _text(row[column]), _text(wrong[column]),
    )  # fmt: skip


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"{value:.2f}" if isinstance(value, Decimal) else str(value)


def _with_doubles(frame: pl.DataFrame, places: list[int]) -> pl.DataFrame:
    """The frame with the rows at ``places`` once more, each a few rows further down."""
    if not places:
        return frame
    index = np.concatenate([np.arange(frame.height), places])
    position = np.concatenate([np.arange(frame.height, dtype=np.float64), np.array(places) + 2.5])
    return frame[index[np.argsort(position, kind="stable")]]
