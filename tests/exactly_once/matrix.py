"""The kill matrix: a run is killed at each commit point, and the runs after it must end where an unbroken one does.

Belongs here: the points and how a case is judged. Does not belong here: servers, and how results are shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from resources.commit_points import CommitPoint
from tests.exactly_once.platform import Content, Place, Running, compared, content, copied, run
from tests.exactly_once.sources import changed_state, first_state

BUILD_POINTS = (CommitPoint.BUILD_BEGUN, CommitPoint.BUILD_ENDED)
"""Reached by Dagster's asset of the dbt models only."""

POINTS = tuple(point for point in CommitPoint if point not in BUILD_POINTS)


@dataclass(frozen=True)
class Matrix:
    """A platform as it stood before the sources changed, and what it must be after.

    ``times``: how often an unbroken run reaches each point.
    """

    before: Place
    expected: Content
    times: Counter[CommitPoint]
    scratch: Path

    @classmethod
    def prepared(cls, place: Place, scratch: Path) -> Matrix:
        """Fill the shop of ``place``, run the platform, change the shop, and see what an unbroken run makes of it.

        Without a look-back, which would make up for a watermark that is ahead of the rows.
        """
        place = replace(place, lookback=timedelta(0))
        first_state(place.shop)
        run(place)
        changed_state(place.shop)
        return cls.of(place, scratch)

    @classmethod
    def of(cls, before: Place, scratch: Path) -> Matrix:
        """The matrix of a platform that has run, and whose shop has changed since."""
        with copied(before, scratch / "unbroken") as place:
            unbroken = run(place)
            # The runs after it find nothing.
            run(place)
            expected = content(place)
            problems = compared(place, expected, scratch / "replayed unbroken")
        if problems:
            raise AssertionError(f"the unbroken run is not as it should be: {problems}")
        return cls(before, expected, Counter(unbroken.at), scratch)

    def case(self, point: CommitPoint) -> list[str]:
        """Kill a run at ``point`` and run once more; what is then not as after an unbroken run."""
        if not self.times[point]:
            return ["no run reaches this point"]
        # In the middle of a run that comes by several times.
        nth = (self.times[point] + 1) // 2
        with copied(self.before, self.scratch / "killed") as place:
            killed = Running(place, kill_at=(point, nth))
            status = killed.wait()
            if status != -9 or killed.at[-1:] != [point]:
                return [f"the run was not killed there but ended with {status}: {killed.error}"]
            found_late = run(place).found_late
            lost = [f"only the reconciliation found {found_late} rows"] if found_late else []
            return lost + compared(place, self.expected, self.scratch / f"replayed {point}")
