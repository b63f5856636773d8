"""Drift: whether the newest period of each table looks as its history makes likely.

Belongs here: judging profiles against earlier ones (:func:`judge`, which needs no warehouse), and keeping the alarms.
Does not belong here: making profiles (``profiles``), telling people (``alerts``).

The method. Profiles are put together by day (UTC). Everything measured of a day is a number: its rows, the share of
missing cells of a column, its mean without the outer twentieths, how far its centred quantiles lie from the usual
ones, and the share of each frequent value. Each number has a series over the last eight weeks, and the newest day is
compared with it:

- *Season*: a cycle of 2 to 14 days (a week, a campaign every four days) is learnt from the table's volumes, by what it
  leaves unexplained. A day is compared with those of its phase where that explains its series better, too. What also
  came a month before (28 or 30 days, or the same day of the month) is no alarm.
- *Chance*: distance from the median in units of the residuals' spread (the widest of: median absolute deviation, the
  band from the 10th to the 90th percentile, and what chance makes of so few rows), judged by Student's t, of the day
  alone and together with the day before. Shares are also held to the binomial distribution, rows to the Poisson's, as
  few rows are not normal; where there are many, by their Chernoff bounds (W. Hoeffding, 1963).
- *Many questions*: all tests of one judgement together keep a false discovery rate of 0.5 % by the procedure of
  Y. Benjamini and Y. Hochberg (1995): where nothing has drifted, at most one judgement of 200 raises an alarm.
- *Harm*: what is certain but small is no alarm: there is a smallest effect for each kind.

Freshness needs no distribution: a table is late when nothing new came for one and a half times the longest pause that
it had; where its pauses are irregular, for twice the longest (four times below 40 pauses; below 20 nothing is said),
and for their mean and five times their deviation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from resources.warehouse import Warehouse
from resources.warehouse.system_tables import ALARMS, PROFILES
from shopsphere_assets.quality.profiles import TOP_VALUES

Kind = Literal["volume", "freshness", "nulls", "values", "level", "shape"]

FALSE_DISCOVERY_RATE = 0.005
"""Of a judgement: where nothing has drifted, the share of judgements that raise an alarm."""

WINDOW = timedelta(days=56)
LEAST_DAYS = 8
"""Days that a history must have before anything is judged."""

_LEAST_ROWS = 30
"""Rows that a day must have before its distribution is judged."""
_LEAST_ALIKE = 3
# The numbers of days are wilder than the normal distribution, however many days are known.
_MOST_FREEDOM = 20
_LONGEST_SEASON = 14
_SEASON_GAIN = 0.75
_TRACKED_SHARE = 0.02
_MONTHLY = (28, 30)
_BATCHES_KEPT = 48
"""Of a day; beyond its batches' profiles are put together when the day has passed."""
_LATE_FACTOR = 1.5
_FEW_PAUSES, _MANY_PAUSES = 20, 40
_LATE_DEVIATIONS = 5
_IRREGULAR = 0.25

# The smallest effects worth an alarm: as factor of the rows, as share of the rows, as deviations of the values.
_VOLUME_EFFECT = math.log(1.5)
_NULLS_EFFECT = 0.02
_VALUES_EFFECT = 0.05
_LEVEL_EFFECT = 0.1
_SHAPE_EFFECT = 0.1
_LENGTH_EFFECT = 0.5
# Distances of shapes are judged by their logarithm; the smaller ones are all alike.
_SMALL_DISTANCE = 0.02
_CHANCE_OF_DISTANCE = 0.25

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Alarm:
    """A deviation from history. ``observed`` lies outside ``expected_low`` to ``expected_high``.

    ``column_name``: None where the whole table deviates. ``probability``: how likely chance alone makes this.
    """

    batch_id: str
    source: str
    table_name: str
    column_name: str | None
    kind: Kind
    observed: float
    expected_low: float
    expected_high: float
    day: date
    note: str
    probability: float = 0.0

    @property
    def alarm_id(self) -> str:
        """The same deviation on the same day is the same alarm."""
        parts = (self.source, self.table_name, self.column_name or "", self.kind, self.day.isoformat())
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


@dataclass
class _Values:
    """A column on one day."""

    rows: float = 0.0
    nulls: float = 0.0
    mean: float | None = None
    deviation: float = 0.0
    quantiles: _Floats | None = None
    counts: dict[str, float] = field(default_factory=dict)
    has_counts: bool = False

    @property
    def filled(self) -> float:
        return self.rows - self.nulls


@dataclass
class _Day:
    """A table on one day."""

    day: date
    batches: int
    rows: float
    last_batch: str
    columns: dict[str, _Values]


@dataclass
class _Test:
    """One number of the newest day and what it was on the days before."""

    column: str | None
    kind: Kind
    observed: float
    centre: float
    scale: float
    freedom: float
    probability: float
    effect: float
    least_effect: float
    is_harmless: bool
    what: str
    shown: Callable[[float], float] = float
    wording: Callable[[float], str] = lambda value: f"{value:,.4g}"


def judge(history: pl.DataFrame, now: datetime) -> list[Alarm]:
    """The alarms of the newest period of every table in ``history``.

    ``history``: rows as in ``quality.profiles``, the newest included; what is older than eight weeks does not
    count. ``now``: the moment of the judgement. The same history and moment give the same alarms.
    """
    recent = history.filter((pl.col("profiled_at") >= _begin(now)) & (pl.col("profiled_at") <= now))
    alarms: list[Alarm] = []
    tests: list[tuple[tuple[str, str], _Day, _Test]] = []
    for (source, table), profiles in sorted(recent.partition_by("source", "table_name", as_dict=True).items()):
        name = (str(source), str(table))
        days = _days(profiles)
        late = _late(name, profiles, days[-1], now)
        if late is not None:
            alarms.append(late)
        for day, test in _tests(days, now):
            tests.append((name, day, test))
    limit = _limit([test.probability for _, _, test in tests])
    for name, day, test in tests:
        if test.probability <= limit and test.effect >= test.least_effect and not test.is_harmless:
            alarms.append(_alarm(name, day, test, limit))
    return sorted(alarms, key=lambda alarm: (alarm.source, alarm.table_name, alarm.kind, alarm.column_name or ""))


def _begin(now: datetime) -> datetime:
    """From when on profiles count: whole days only."""
    return datetime.combine((now.astimezone(UTC) - WINDOW).date(), time.min, UTC)


def _limit(probabilities: Sequence[float]) -> float:
    """The highest probability that is still an alarm, by Benjamini and Hochberg; 0 where none is."""
    ordered = sorted(probabilities)
    passing = [p for rank, p in enumerate(ordered, 1) if p <= FALSE_DISCOVERY_RATE * rank / len(ordered)]
    return max(passing, default=0.0)


def _alarm(name: tuple[str, str], day: _Day, test: _Test, limit: float) -> Alarm:
    tails = 2 if test.kind == "shape" else 1
    reach = max(_quantile(min(tails * limit, 1.0), test.freedom) * test.scale, test.least_effect)
    low, high = test.shown(test.centre - reach), test.shown(test.centre + reach)
    if test.kind in ("nulls", "values", "shape"):
        low = max(low, 0.0)
    if test.kind in ("nulls", "values"):
        high = min(high, 1.0)
    observed = test.shown(test.observed)
    return Alarm(
        batch_id=day.last_batch,
        source=name[0],
        table_name=name[1],
        column_name=test.column,
        kind=test.kind,
        observed=observed,
        expected_low=low,
        expected_high=high,
        day=day.day,
        note=f"{test.what} on {day.day}: {test.wording(observed)}; likely is {test.wording(low)} to"
        f" {test.wording(high)}, usual {test.wording(test.shown(test.centre))}",
        probability=test.probability,
    )


# -- days -----------------------------------------------------------------------------------------------------


def _days(profiles: pl.DataFrame) -> list[_Day]:
    """One table's profiles put together by day, in order."""
    found: dict[date, _Day] = {}
    by_day = profiles.with_columns(day=pl.col("profiled_at").dt.date()).sort("profiled_at", "batch_id")
    for (day,), rows in sorted(by_day.partition_by("day", as_dict=True).items()):
        assert isinstance(day, date)
        batches = rows.group_by("batch_id", maintain_order=True).agg(pl.col("rows").max())
        found[day] = _Day(
            day=day,
            batches=batches.height,
            rows=float(batches.get_column("rows").sum()),
            last_batch=str(batches.get_column("batch_id")[-1]),
            columns={
                str(column): _together([_read(row) for row in group.iter_rows(named=True)])
                for (column,), group in rows.partition_by("column_name", as_dict=True).items()
            },
        )
    return [found[day] for day in sorted(found)]


def _read(row: Mapping[str, Any]) -> _Values:
    quantiles = json.loads(row["quantiles"]) if row["quantiles"] else None
    return _Values(
        rows=float(row["rows"]),
        nulls=float(row["nulls"]),
        mean=row["mean"],
        deviation=row["deviation"] or 0.0,
        quantiles=np.array(quantiles) if quantiles else None,
        counts=json.loads(row["top_values"]) if row["top_values"] else {},
        has_counts=bool(row["top_values"]),
    )


def _together(parts: Sequence[_Values]) -> _Values:
    """Several batches' profiles of a column as if they had been one."""
    if len(parts) == 1:
        return parts[0]
    whole = _Values(
        rows=sum(part.rows for part in parts),
        nulls=sum(part.nulls for part in parts),
        has_counts=any(part.has_counts for part in parts),
    )
    measured = [part for part in parts if part.mean is not None and part.filled]
    weight = sum(part.filled for part in measured)
    if weight:
        mean = sum(part.filled * (part.mean or 0.0) for part in measured) / weight
        squares = sum(part.filled * (part.deviation**2 + ((part.mean or 0.0) - mean) ** 2) for part in measured)
        whole.mean, whole.deviation = mean, math.sqrt(squares / weight)
    whole.quantiles = _pooled([(part.quantiles, part.filled) for part in parts if part.quantiles is not None])
    for part in parts:
        for value, count in part.counts.items():
            whole.counts[value] = whole.counts.get(value, 0.0) + count
    return whole


def _pooled(parts: Sequence[tuple[_Floats, float]]) -> _Floats | None:
    """The quantiles of several sets of numbers together, of which each one's quantiles and size are known."""
    if not parts:
        return None
    # Between two quantiles the numbers are taken to lie evenly.
    shares = np.linspace(0, 1, 21)
    points = np.linspace(0.01, 0.99, 50)
    values = np.concatenate([np.interp(points, shares, quantiles) for quantiles, _ in parts])
    weights = np.concatenate([np.full(len(points), size / len(points)) for _, size in parts])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) - weights[order] / 2
    pooled = np.interp(shares, reached / weights.sum(), values[order])
    pooled[0], pooled[-1] = min(q[0] for q, _ in parts), max(q[-1] for q, _ in parts)
    return np.asarray(pooled)


# -- tests ----------------------------------------------------------------------------------------------------


def _tests(days: Sequence[_Day], now: datetime) -> Iterator[tuple[_Day, _Test]]:
    """Every test of one table's newest period."""
    newest = days[-1]
    if now.astimezone(UTC).date() - newest.day > timedelta(days=2):
        # It was judged when it was new.
        return
    usual_batches = float(np.median([day.batches for day in days[:-1]])) if len(days) > 1 else math.inf
    is_whole = newest.day < now.astimezone(UTC).date() or newest.batches >= usual_batches
    volumes = np.log([day.rows + 1 for day in days])
    counted = days if is_whole else days[:-1]
    if len(counted) > LEAST_DAYS:
        season = _season(_Series(counted[:-1], volumes[: len(counted) - 1], counted[-1].day))
        yield counted[-1], _volume(counted, volumes[: len(counted)], season)
    if not is_whole and newest.rows < 0.5 * float(np.median([day.rows for day in days[:-1]] or [0])):
        # Too little of it so far; the day before is judged once more, as a whole.
        days = days[:-1]
    if len(days) <= LEAST_DAYS:
        return
    season = _season(_Series(days[:-1], volumes[: len(days) - 1], days[-1].day))
    for column in sorted(days[-1].columns):
        known = [day for day in days[:-1] if column in day.columns]
        if len(known) >= LEAST_DAYS:
            for test in _column_tests(column, known, days[-1], season):
                yield days[-1], test


@dataclass(frozen=True)
class _Series:
    """What a number was on earlier days, and the day that it is judged for."""

    days: Sequence[_Day]
    values: _Floats
    judged: date

    def ages(self) -> NDArray[np.int64]:
        """How many days before the judged one each lies."""
        return np.array([(self.judged - day.day).days for day in self.days])


def _season(series: _Series) -> int:
    """The length in days of the cycle that explains the series best; 1 where none does."""
    best, least = 1, _SEASON_GAIN * _unexplained(series, 1)
    for length in range(2, _LONGEST_SEASON + 1):
        if len(series.values) >= 3 * length:
            unexplained = _unexplained(series, length)
            if unexplained < least:
                best, least = length, unexplained
    return best


def _residuals(series: _Series, season: int) -> tuple[_Floats, float, int]:
    """The series without its season, the centre for the judged day, and how many days share its phase."""
    phases = series.ages() % season
    residuals = np.empty(len(series.values))
    centre, alike = math.nan, 0
    for phase in range(season):
        own = phases == phase
        if own.any():
            middle = float(np.median(series.values[own]))
            residuals[own] = series.values[own] - middle
            if phase == 0:
                centre, alike = middle, int(own.sum())
    return residuals, centre, alike


def _unexplained(series: _Series, season: int) -> float:
    residuals, _, alike = _residuals(series, season)
    count = len(residuals)
    if alike < 2 or count <= season:
        return math.inf
    return float(np.abs(residuals).mean()) * count / (count - season)


def _test(
    series: _Series,
    observed: float,
    season: int,
    *,
    column: str | None,
    kind: Kind,
    chance: float | Callable[[float], float],
    least_effect: float,
    what: str,
    only_above: bool = False,
    is_harmless: bool = False,
    least_likely: Callable[[float], tuple[float, float]] = lambda centre: (0.0, 0.0),
    shown: Callable[[float], float] = float,
    wording: Callable[[float], str] = lambda value: f"{value:,.4g}",
) -> _Test:
    """The test of one number.

    ``chance``: the deviation that the number of rows alone gives it, which may depend on the centre.
    ``is_harmless``: whether it is no alarm, however unlikely. ``least_likely``: of a centre, the lowest probability
    that so few rows allow for, of this day and of it together with the day before.
    """
    if season > 1 and _unexplained(series, season) > _SEASON_GAIN * _unexplained(series, 1):
        season = 1
    residuals, centre, alike = _residuals(series, season)
    count = len(residuals)
    freedom = max(count - season, 3)
    spread = max(
        1.4826 * float(np.median(np.abs(residuals))),
        float(np.quantile(residuals, 0.9) - np.quantile(residuals, 0.1)) / 2.563,
        # Nothing is judged finer than this, so that constants have a scale.
        1e-9,
    )
    spread *= math.sqrt(count / freedom)
    freedom = min(freedom, _MOST_FREEDOM)
    # A median has 1.57 times the variance of a mean.
    by_chance = chance(centre) if callable(chance) else chance
    scale = math.hypot(spread, by_chance) * math.sqrt(1 + 1.57 / max(alike, 1))
    distance = observed - centre
    day_bound, both_bound = least_likely(centre)
    probability = max(_both_sides(distance / scale, freedom, only_above), day_bound)
    if (series.judged - series.days[-1].day).days == 1 and residuals[-1] * distance > 0:
        # What is not certain in a day may be so in two, as far as a day tells nothing of the next.
        # By the lesser of the two, so that one wild day makes no second alarm on the next.
        lesser = math.copysign(min(abs(distance), abs(float(residuals[-1]))), distance)
        scale_of_mean = scale * math.sqrt((1 + _likeness(residuals)) / 2)
        of_both = max(_both_sides(lesser / scale_of_mean, freedom, only_above), both_bound)
        if of_both < probability:
            probability, distance, scale = of_both, lesser, scale_of_mean
            what += ", at least this two days in a row,"
    probability *= 2
    return _Test(
        column=column,
        kind=kind,
        observed=centre + distance,
        centre=centre,
        scale=scale,
        freedom=freedom,
        probability=min(probability, 1.0),
        effect=distance if only_above else abs(distance),
        least_effect=least_effect,
        is_harmless=is_harmless or _came_a_month_ago(series, residuals, distance),
        what=what,
        shown=shown,
        wording=wording,
    )


def _likeness(residuals: _Floats) -> float:
    """How much of a day's residual the next day's has, 0 to 1."""
    squares = float(residuals @ residuals)
    return min(max(float(residuals[:-1] @ residuals[1:]) / squares, 0.0), 1.0) if squares else 0.0


def _came_a_month_ago(series: _Series, residuals: _Floats, distance: float) -> bool:
    for day, residual in zip(series.days, residuals.tolist(), strict=True):
        age = (series.judged - day.day).days
        is_monthly = age in _MONTHLY or (age > 20 and day.day.day == series.judged.day)
        if is_monthly and residual * distance > 0 and abs(residual) >= 0.5 * abs(distance):
            return True
    return False


def _volume(days: Sequence[_Day], volumes: _Floats, season: int) -> _Test:
    now, before = days[-1].rows, days[-2].rows

    def least_likely(centre: float) -> tuple[float, float]:
        usual = math.exp(centre)
        return _poisson_bound(now, usual), _poisson_bound(now + before, 2 * usual)

    return _test(
        _Series(days[:-1], volumes[:-1], days[-1].day),
        float(volumes[-1]),
        season,
        column=None,
        kind="volume",
        chance=lambda centre: math.exp(-centre / 2),
        least_effect=_VOLUME_EFFECT,
        what="rows",
        least_likely=least_likely,
        shown=lambda value: math.exp(value) - 1,
        wording=lambda value: f"{value:,.0f}",
    )


def _column_tests(column: str, days: Sequence[_Day], newest: _Day, season: int) -> Iterator[_Test]:
    now = newest.columns[column]
    before = [day.columns[column] for day in days]
    if now.rows:
        yield _share(
            column,
            "nulls",
            f"share of rows without {column}",
            days,
            [(values.nulls, values.rows) for values in before],
            (now.nulls, now.rows),
            newest.day,
            season,
            _NULLS_EFFECT,
        )
    if now.filled < _LEAST_ROWS:
        return
    known = [(day, values) for day, values in zip(days, before, strict=True) if values.filled >= _LEAST_ROWS]
    if len(known) < LEAST_DAYS:
        return
    if sum((newest.day - day.day).days % season == 0 for day, _ in known) < _LEAST_ALIKE:
        # The days of this phase mostly have too few rows: there is nothing to compare this one with.
        return
    days, before = [day for day, _ in known], [values for _, values in known]
    if now.quantiles is not None:
        numbers = [(d, v) for d, v in known if v.quantiles is not None]
        if len(numbers) >= LEAST_DAYS:
            yield from _quantity(column, numbers, now, newest.day, season)
    elif now.mean is not None and not _is_discrete(now):
        texts = [(d, v) for d, v in known if v.mean is not None]
        if len(texts) >= LEAST_DAYS:
            deviation = float(np.median([v.deviation for _, v in texts]))
            yield _test(
                _Series([d for d, _ in texts], np.array([v.mean for _, v in texts]), newest.day),
                now.mean,
                season,
                column=column,
                kind="level",
                chance=max(deviation, now.deviation) / math.sqrt(now.filled),
                least_effect=max(2 * _LEVEL_EFFECT * deviation, _LENGTH_EFFECT),
                what=f"mean length of {column} in characters",
            )
    if now.has_counts:
        yield from _frequent(column, days, before, now, newest.day, season)


def _quantity(
    column: str, known: Sequence[tuple[_Day, _Values]], now: _Values, judged: date, season: int
) -> Iterator[_Test]:
    """Level and shape of numbers, without their outer twentieths: a few wild ones are the business of rules."""
    if _is_discrete(now):
        return
    days = [day for day, _ in known]
    inner = np.array([values.quantiles[1:-1] for _, values in known if values.quantiles is not None])
    assert now.quantiles is not None
    mine = now.quantiles[1:-1]
    unit = float(np.quantile(np.abs(inner), 0.1)) or float(np.median(np.abs(inner))) or 1.0
    # Amounts differ by factors: without a logarithm the few highest would tell level and shape.
    inner, mine = _by_factor(inner, unit), _by_factor(mine, unit)
    usual = np.median(inner, axis=0)
    deviation = float(usual.std())
    means, mean = inner.mean(axis=1), float(mine.mean())
    yield _test(
        _Series(days, means, judged),
        mean,
        season,
        column=column,
        kind="level",
        chance=max(deviation, float(mine.std())) / math.sqrt(now.filled),
        least_effect=_LEVEL_EFFECT * (deviation or 1.0),
        what=f"mean of {column} without the outer twentieths, on a logarithmic scale",
        shown=lambda value: math.copysign(math.expm1(abs(value)), value) * unit,
    )
    if deviation == 0:
        return
    centred = usual - usual.mean()
    distances = np.abs(inner - means[:, None] - centred).mean(axis=1) / deviation
    distance = float(np.abs(mine - mean - centred).mean() / deviation)
    yield _test(
        _Series(days, np.log(distances + _SMALL_DISTANCE), judged),
        math.log(distance + _SMALL_DISTANCE),
        season,
        column=column,
        kind="shape",
        chance=_CHANCE_OF_DISTANCE,
        least_effect=math.log(2),
        what=f"distance of the quantiles of {column} from the usual ones, in deviations, their means made equal",
        only_above=True,
        is_harmless=distance < _SHAPE_EFFECT,
        shown=lambda value: math.exp(value) - _SMALL_DISTANCE,
    )


def _by_factor(numbers: _Floats, unit: float) -> _Floats:
    """Logarithms of numbers of either sign; nearly the numbers themselves where they are below ``unit``."""
    return np.asarray(np.sign(numbers) * np.log1p(np.abs(numbers) / unit))


def _is_discrete(values: _Values) -> bool:
    """Whether few values make nearly all rows: their shares say more than quantiles, which jump between them."""
    return sum(values.counts.values()) >= 0.9 * values.filled


def _frequent(
    column: str, days: Sequence[_Day], before: Sequence[_Values], now: _Values, judged: date, season: int
) -> Iterator[_Test]:
    """The shares of the values that are usually frequent, of all the others, and of the most frequent one."""
    filled = np.array([values.filled for values in before])
    known = {value for values in before for value in values.counts}
    shares = {v: np.array([values.counts.get(v, 0.0) for values in before]) / filled for v in known}
    tracked = sorted(v for v, share in shares.items() if float(np.median(share)) >= _TRACKED_SHARE)
    covered = sum((float(np.median(shares[v])) for v in tracked), 0.0)
    asked: list[tuple[str, list[float], float]] = []
    if covered >= 0.5:
        for v in tracked:
            counts = [values.counts.get(v, 0.0) for values in before]
            asked.append((f"share of {v!r} in {column}", counts, now.counts.get(v, 0.0)))
        rest = [values.filled - sum(values.counts.get(v, 0.0) for v in tracked) for values in before]
        others = now.filled - sum(now.counts.get(v, 0.0) for v in tracked)
        new = [v for v, count in now.counts.items() if v not in known and count > 0.5 * others]
        named = f" (most of them {new[0]!r}, which is new)" if new else ""
        asked.append((f"share of rarer values in {column}{named}", [max(r, 0.0) for r in rest], max(others, 0.0)))
    else:
        most = [max(values.counts.values(), default=0.0) for values in before]
        value = max(now.counts, key=lambda v: now.counts[v])
        asked.append((f"share of the most frequent value ({value!r}) in {column}", most, now.counts[value]))
    found = [
        _share(
            column,
            "values",
            what,
            days,
            list(zip(counts, filled.tolist(), strict=True)),
            (count, now.filled),
            judged,
            season,
            _VALUES_EFFECT,
        )
        for what, counts, count in asked
    ]
    # One question per column: the strictest answer, for as many chances as there were.
    strictest = min(found, key=lambda test: (test.effect < test.least_effect or test.is_harmless, test.probability))
    strictest.probability = min(1.0, strictest.probability * len(found))
    yield strictest


def _share(
    column: str,
    kind: Kind,
    what: str,
    days: Sequence[_Day],
    before: Sequence[tuple[float, float]],
    now: tuple[float, float],
    judged: date,
    season: int,
    least_effect: float,
) -> _Test:
    """The test of a share: ``before`` and ``now`` are how many of how many."""
    count, total = now
    some = [(day, n / of) for day, (n, of) in zip(days, before, strict=True) if of]
    rate = (sum(n for n, _ in before) + 1) / (sum(of for _, of in before) + 2)
    count_both, total_both = count + before[-1][0], total + before[-1][1]

    def least_likely(centre: float) -> tuple[float, float]:
        expected = min(max(centre or rate, 1e-6), 1 - 1e-6)
        return (
            _binomial_bound(count / total, expected, total),
            _binomial_bound(count_both / total_both, expected, total_both),
        )

    return _test(
        _Series([day for day, _ in some], np.array([share for _, share in some]), judged),
        count / total,
        season,
        column=column,
        kind=kind,
        chance=math.sqrt(rate * (1 - rate) / total),
        least_effect=least_effect,
        what=what,
        least_likely=least_likely,
        wording=lambda value: f"{value:.1%}",
    )


def _late(name: tuple[str, str], profiles: pl.DataFrame, newest: _Day, now: datetime) -> Alarm | None:
    """The alarm that nothing new came for longer than it ever took, if that is so."""
    moments = profiles.get_column("profiled_at").unique().sort().to_list()
    if moments[-1] - moments[0] < timedelta(days=LEAST_DAYS - 1) or len(moments) < LEAST_DAYS:
        return None
    pauses = [(later - earlier).total_seconds() / 3600 for earlier, later in pairwise(moments)]
    longest = max(pauses)
    mean, deviation = float(np.mean(pauses)), float(np.std(pauses))
    limit = _LATE_FACTOR * longest
    if deviation > _IRREGULAR * mean:
        # Of few pauses the longest says little.
        if len(pauses) < _FEW_PAUSES:
            return None
        factor = 2 if len(pauses) >= _MANY_PAUSES else 4
        limit = max(factor * longest, mean + _LATE_DEVIATIONS * deviation)
    waited = (now - moments[-1]).total_seconds() / 3600
    if waited <= limit:
        return None
    return Alarm(
        batch_id=newest.last_batch,
        source=name[0],
        table_name=name[1],
        column_name=None,
        kind="freshness",
        observed=waited,
        expected_low=0.0,
        expected_high=limit,
        day=newest.day,
        note=f"nothing new for {waited:,.1f} hours; the longest pause was {longest:,.1f} hours",
    )


# -- distributions --------------------------------------------------------------------------------------------

_NORMAL = NormalDist()
_MOST_EXACT = 4_000
_LOG_FACTORIALS = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, _MOST_EXACT + 1)))])


def _tail(t: float, freedom: float) -> float:
    """The probability that Student's t exceeds ``t``, by D. L. Wallace's approximation (1959)."""
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return 0.5 * math.erfc(math.copysign(z, t) / math.sqrt(2))


def _binomial_bound(share: float, expected: float, total: float) -> float:
    """How likely ``total`` draws of probability ``expected`` give a share as far off as ``share``; at most so."""
    if total <= _MOST_EXACT:
        draws = round(total)
        hits = round(share * draws)
        counts = np.arange(hits, draws + 1) if share > expected else np.arange(hits + 1)
        ways = _LOG_FACTORIALS[draws] - _LOG_FACTORIALS[counts] - _LOG_FACTORIALS[draws - counts]
        logarithms = ways + counts * math.log(expected) + (draws - counts) * math.log(1 - expected)
        return min(1.0, 2 * float(np.exp(logarithms).sum()))
    divergence = 0.0
    if share > 0:
        divergence += share * math.log(share / expected)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - expected))
    return min(1.0, 2 * math.exp(-total * max(divergence, 0.0)))


def _poisson_bound(count: float, expected: float) -> float:
    """At most how likely a count as far off as ``count`` is where ``expected`` are."""
    divergence = (count * math.log(count / expected) if count else 0.0) - count + expected
    return min(1.0, 2 * math.exp(-max(divergence, 0.0)))


def _both_sides(t: float, freedom: float, only_above: bool) -> float:
    return _tail(t, freedom) if only_above else 2 * _tail(abs(t), freedom)


def _quantile(probability: float, freedom: float) -> float:
    """The t that is exceeded to both sides with ``probability``: :func:`_tail` the other way round."""
    z = -_NORMAL.inv_cdf(max(probability, 1e-300) / 2) * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(min(z * z / freedom, 700.0)))


# -- in the warehouse -----------------------------------------------------------------------------------------


def assess(warehouse: Warehouse, now: datetime) -> list[Alarm]:
    """Judge the newest period of every table, and keep the alarms; returns them, also those raised before."""
    alarms = judge(read_history(warehouse, now), now)
    if alarms:
        _keep(warehouse, alarms, now)
    _condense(warehouse, now)
    return alarms


def read_history(warehouse: Warehouse, now: datetime) -> pl.DataFrame:
    """The profiles to judge by: those of the last eight weeks, first loads left out."""
    found = warehouse.query(
        f"SELECT {', '.join(f'p.{name}' for name in PROFILES.columns.names)} FROM {PROFILES} AS p"
        " LEFT JOIN ledger.batches AS b ON b.batch_id = p.batch_id"
        " AND b.source = p.source AND b.table_name = p.table_name"
        # A table's whole past is no day of it.
        " WHERE p.profiled_at >= $1 AND p.profiled_at <= $2 AND b.kind IS DISTINCT FROM 'full'",
        [_begin(now), now],
    )
    frame = pl.from_arrow(found)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _keep(warehouse: Warehouse, alarms: Sequence[Alarm], now: datetime) -> None:
    rows = [
        {
            **{name: getattr(alarm, name) for name in ALARMS.columns.names if name != "raised_at"},
            "raised_at": now,
        }
        for alarm in alarms
    ]
    with warehouse.transaction() as transaction:
        marks = ", ".join(f"${number}" for number in range(1, len(rows) + 1))
        known = transaction.query(
            f"SELECT alarm_id FROM {ALARMS} WHERE alarm_id IN ({marks})", [row["alarm_id"] for row in rows]
        )
        raised = set(known.column(0).to_pylist())
        new = [row for row in rows if row["alarm_id"] not in raised]
        if new:
            transaction.append(ALARMS.schema, ALARMS.name, pa.Table.from_pylist(new, schema=ALARMS.columns))


def _condense(warehouse: Warehouse, now: datetime) -> None:
    """Keep one profile per column of those days before yesterday that had very many batches."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    crowded = warehouse.query(
        "SELECT source, table_name, day FROM ("
        "SELECT DISTINCT source, table_name, batch_id, CAST(profiled_at AT TIME ZONE 'UTC' AS date) AS day"
        f" FROM {PROFILES} WHERE profiled_at < $1) AS batches"
        f" GROUP BY source, table_name, day HAVING count(*) > {_BATCHES_KEPT}",
        [midnight - timedelta(days=1)],
    ).to_pylist()
    for group in crowded:
        begin = datetime.combine(group["day"], time.min, UTC)
        which = "source = $1 AND table_name = $2 AND profiled_at >= $3 AND profiled_at < $4"
        parameters = [group["source"], group["table_name"], begin, begin + timedelta(days=1)]
        with warehouse.transaction() as transaction:
            found = transaction.query(f"SELECT * FROM {PROFILES} WHERE {which}", parameters).to_pylist()
            last = max(found, key=lambda row: (row["profiled_at"], row["batch_id"]))
            columns: dict[str, list[dict[str, Any]]] = {}
            for row in found:
                columns.setdefault(row["column_name"], []).append(row)
            whole = [_condensed(rows, last) for rows in columns.values()]
            transaction.execute(f"DELETE FROM {PROFILES} WHERE {which}", parameters)
            transaction.append(PROFILES.schema, PROFILES.name, pa.Table.from_pylist(whole, schema=PROFILES.columns))


def _condensed(rows: Sequence[Mapping[str, Any]], last: Mapping[str, Any]) -> dict[str, Any]:
    values = _together([_read(row) for row in rows])
    top = dict(sorted(values.counts.items(), key=lambda item: -item[1])[:TOP_VALUES])
    return {
        **rows[0],
        "batch_id": last["batch_id"],
        "profiled_at": last["profiled_at"],
        "rows": round(values.rows),
        "nulls": round(values.nulls),
        # Of values in several batches it is not known whether they are the same ones.
        "distinct_values": max(row["distinct_values"] or 0 for row in rows),
        "minimum": None,
        "maximum": None,
        "mean": values.mean,
        "deviation": values.deviation if values.mean is not None else None,
        "quantiles": json.dumps(values.quantiles.tolist()) if values.quantiles is not None else None,
        "top_values": json.dumps({v: round(count) for v, count in top.items()}) if values.has_counts else None,
    }
