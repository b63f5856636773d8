"""A simulated shop that lives on: the world, its sinks, and how far its time has come.

Belongs here: the state of a simulation, moving it forward, and the record of the planted errors. Does not
belong here: what happens on a day (``world``) and how a sink stores it.

The state is one small file; a day counts only when it stands in every sink and in the truth. A simulation
that was interrupted writes its last day again, which every sink takes in as if it were the first time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from simulator.sinks import TRUTH_SCHEMA, Day, SimulatorError, Sink
from simulator.world import KEYS, World

_STATE = "state.json"
_TRUTH = "truth"
_WRITTEN = "written"
_WRITTEN_SCHEMA = {
    "day": pl.Int64(),
    "source": pl.String(),
    "table_name": pl.String(),
    "row_key": pl.String(),
}

Progress = Callable[[Day], None]
"""Called after each day that stands everywhere."""


@dataclass(frozen=True)
class Parameters:
    """What decides everything that will ever happen in a simulation."""

    seed: int = 7
    scale: float = 1.0
    error_rate: float = 0.05
    start: date = date(2026, 1, 1)

    def as_json(self) -> dict[str, Any]:
        """The parameters as they stand in the state file."""
        return {**asdict(self), "start": self.start.isoformat()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Parameters:
        """The parameters that stand in a state file."""
        return cls(
            seed=int(state["seed"]),
            scale=float(state["scale"]),
            error_rate=float(state["error_rate"]),
            start=date.fromisoformat(state["start"]),
        )


_NAMES = tuple(field.name for field in fields(Parameters))


class Simulation:
    """A simulated shop whose state lives in a folder.

    ``sinks``: where the days go, in this order. The folder's truth (:func:`read_truth`) is for judging a
    platform's work and not for the platform to read.
    """

    def __init__(self, home: Path, sinks: Iterable[Sink], parameters: Parameters, next_day: int = 0) -> None:
        self.home, self.parameters, self._next_day = home, parameters, next_day
        self._sinks = tuple(sinks)
        self._world = World(parameters.seed, parameters.scale, parameters.error_rate, parameters.start)

    @classmethod
    def open_or_create(cls, home: Path, sinks: Iterable[Sink], parameters: Parameters | None = None) -> Simulation:
        """The simulation in ``home``: the one that is there, else a new one.

        ``parameters``: None takes those of the simulation that is there. Raises :class:`SimulatorError` where
        they differ from them, or where the state file cannot be read.
        """
        path = home / _STATE
        if not path.exists():
            wanted = parameters or Parameters()
            simulation = cls(home, sinks, Parameters(**{name: getattr(wanted, name) for name in _NAMES}))
            simulation._save()
            return simulation
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            known, next_day = Parameters.from_json(state), int(state["next_day"])
        except (ValueError, KeyError, TypeError) as error:
            raise SimulatorError(
                f"the state of the simulation cannot be read: {error!r}",
                where=str(path),
                remedy="restore the file, or remove the simulation's folder and its databases to begin anew",
            ) from error
        wrong = [name for name in _NAMES if parameters and getattr(known, name) != getattr(parameters, name)]
        if wrong:
            differences = ", ".join(
                f"{name} is {getattr(known, name)} there and {getattr(parameters, name)} was asked for"
                for name in wrong
            )
            raise SimulatorError(
                f"the simulation was begun with other parameters: {differences}",
                where=str(path),
                remedy="go on with its own parameters, or use another folder and other databases",
            )
        return cls(home, sinks, known, next_day)

    @staticmethod
    def exists(home: Path) -> bool:
        """Whether a simulation lives in ``home``."""
        return (home / _STATE).exists()

    @property
    def next_day(self) -> int:
        """The number of the first day that has not been simulated."""
        return self._next_day

    @property
    def now(self) -> datetime:
        """The simulated moment: the end of the last day, which is the beginning of the next one."""
        start = self.parameters.start
        return datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=self._next_day)

    def advance(self, days: int = 1, progress: Progress | None = None) -> None:
        """Let ``days`` more days happen; each counts as soon as it stands in every sink."""
        for _ in range(days):
            day = self._world.day(self._next_day)
            for sink in self._sinks:
                sink.write(day)
            self._record(day)
            self._next_day += 1
            self._save()
            if progress is not None:
                progress(day)

    def advance_to(self, moment: datetime, progress: Progress | None = None) -> None:
        """Let every day happen that has ended by ``moment``; none where it lies in the past."""
        self.advance(max((moment - self.now) // timedelta(days=1), 0), progress)

    def _record(self, day: Day) -> None:
        """Write the day's truth, and which keys of the databases and services it wrote."""
        name = f"day={day.number:04}.parquet"
        _write(self.home / _TRUTH / name, day.truth)
        _write(self.home / _WRITTEN / name, _written(day))

    def _save(self) -> None:
        state = {**self.parameters.as_json(), "next_day": self._next_day}
        self.home.mkdir(parents=True, exist_ok=True)
        path = self.home / _STATE
        temporary = path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(state, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def _write(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    frame.write_parquet(temporary)
    temporary.replace(path)


_KEPT_WHOLE = ("web_logs", "crm_files", "support")
"""Sources of files: what was once delivered stays, whatever is delivered later."""


def _written(day: Day) -> pl.DataFrame:
    """The keys written or deleted where a later version takes the place of an earlier one."""
    parts = []
    for table, frame in [*day.tables.items(), *day.deleted.items()]:
        source, name = table.split("/")
        if source in _KEPT_WHOLE or frame.is_empty():
            continue
        parts.append(
            frame.select(
                pl.lit(day.number, pl.Int64).alias("day"),
                pl.lit(source).alias("source"),
                pl.lit(name).alias("table_name"),
                pl.col(KEYS[table]).cast(pl.String).alias("row_key"),
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=_WRITTEN_SCHEMA)


def read_truth(home: Path, *, standing_only: bool = False) -> pl.DataFrame:
    """Every planted error of the simulation in ``home``: the columns of ``sinks.TRUTH_SCHEMA``.

    ``standing_only``: only those that still stand at their source, because the row was not written again or
    deleted on a later day. Files keep what they once delivered.
    """
    truth = _read(home / _TRUTH, TRUTH_SCHEMA)
    if not standing_only:
        return truth
    key = ["source", "table_name", "row_key"]
    last = _read(home / _WRITTEN, _WRITTEN_SCHEMA).group_by(key).agg(pl.col("day").max().alias("last_day"))
    joined = truth.join(last, on=key, how="left", maintain_order="left")
    # A deleted row was written on the day of its deletion, and its errors are of earlier days.
    return joined.filter(pl.col("day") >= pl.col("last_day").fill_null(0)).drop("last_day")


def _read(folder: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    files = sorted(folder.glob("day=*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame(schema=schema)
