"""The soak: runs are killed with SIGKILL at random moments while writers work at the source.

At the end the writers stop, the platform runs to its end, and what it holds must be what an unbroken run makes of
the same source in an empty warehouse. Belongs here: the cycles and the verdict. Does not belong here: servers.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from tests.exactly_once.platform import Place, Running, compared, content, run
from tests.exactly_once.sources import Writers, first_state

# Longer than any transaction of the writers: what is committed late is still found by the watermark.
_LOOKBACK = timedelta(seconds=20)


@dataclass
class Soak:
    """What a soak did and found.

    ``killed_at``: after which commit point the killed runs were; ``begin`` where they had reached none.
    ``completed``: runs that ended before their kill. ``found_late``: rows of the source that the watermark had
    missed when the writers had stopped, and only the reconciliation found.
    """

    engine: str
    source: str
    seed: int
    cycles: int
    killed_at: Counter[str] = field(default_factory=Counter)
    completed: int = 0
    operations: int = 0
    found_late: int = 0
    rows: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0


def soak(
    place: Place, fresh: Place, *, cycles: int, seed: int, scratch: Path, told: Callable[[int], None] = lambda _: None
) -> Soak:
    """Kill ``cycles`` runs at ``place`` and compare its end with one run at ``fresh``, an empty warehouse.

    ``told``: called with the number of cycles done.
    """
    begun = time.monotonic()
    place = replace(place, lookback=_LOOKBACK)
    chance = random.Random(seed)
    found = Soak(place.engine, place.shop.dialect, seed, cycles)
    first_state(place.shop)
    run(place)
    with Writers(place.shop, seed=seed) as writers:
        usual = _seconds(lambda: run(place))
        for cycle in range(cycles):
            running = Running(place)
            if running.kill(chance.uniform(0, usual * 1.3)):
                found.killed_at[running.at[-1] if running.at else "begin"] += 1
            elif running.error:
                raise AssertionError(f"in cycle {cycle} the run was not killed but failed:\n{running.error}")
            else:
                found.completed += 1
            told(cycle + 1)
    found.operations = writers.operations
    found.found_late = run(place).found_late
    run(place)
    run(fresh)
    found.rows = content(place).digests()
    expected = content(fresh, only_standing=True)
    found.differences = compared(place, expected, scratch / "replayed", only_standing=True)
    if found.found_late:
        found.differences.append(f"{found.found_late} rows were found by the reconciliation only")
    found.seconds = round(time.monotonic() - begun, 1)
    return found


def _seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
