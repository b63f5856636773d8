"""Causes that are failures of the platform's own work: steps of runs, whole runs, sensors, a source that is away.

They come as plain records; where they come from is Dagster's business (``defs/operations/alerts.py``). The words of
an error are only passed on where they are the platform's own (``resources/errors.py``), which name no value of a row;
the words of any other may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from resources.errors import redact
from resources.notify.message import one_line
from shopsphere_assets.alerts.cause import (
    ASSET_PAGE,
    ERROR,
    FAILED_STEPS,
    RUN_PAGE,
    SEEN,
    WHAT_TO_DO,
    WHERE,
    Alert,
    Cause,
    Pages,
)

_PLATFORM_ERROR = re.compile(r"(?P<what>.*?)\n  where: (?P<where>.*?)\n  what to do: (?P<remedy>.*?)\s*$", re.DOTALL)
# How exceptions begin when they are written out: a dotted name and a colon.
_CLASS_PREFIX = re.compile(r"^([\w.]*\.)?\w*(Error|Exception|Failure): ")


@dataclass(frozen=True)
class Explained:
    """An error for people. ``where`` is empty where the error does not say it."""

    error_class: str
    what: str
    where: str
    remedy: str


def explain(chain: Sequence[tuple[str, str]]) -> Explained:
    """What an error says; ``chain``: class and message of the error, of what caused it, and so on."""
    for name, message in reversed(chain):
        found = _PLATFORM_ERROR.search(message)
        if found:
            what = _CLASS_PREFIX.sub("", found["what"].strip())
            return Explained(name, one_line(redact(what)), one_line(found["where"]), one_line(found["remedy"]))
    name = chain[-1][0] if chain else "unknown"
    return Explained(
        name,
        f"{name}, an error that the platform did not expect (its words are on the run's page)",
        "",
        "open the page, read the stack, and repair or report it",
    )


@dataclass(frozen=True)
class StepFailure:
    """A step that failed in a run. ``group``: the source system for its raw tables, otherwise the step itself."""

    step: str
    group: str
    run_id: str
    failed_at: datetime
    error: Explained
    asset: tuple[str, ...] = ()


def step_causes(failures: Iterable[StepFailure], pages: Pages) -> list[Cause]:
    """One cause for all steps of a source that failed at the same place in the same way, such as one that is away."""
    by_cause: dict[tuple[str, str], list[StepFailure]] = {}
    for failure in failures:
        place = failure.error.where or failure.step
        key = f"run/{failure.group}/{failure.error.error_class}/{place}"
        by_cause.setdefault((key, failure.run_id), []).append(failure)
    causes = []
    for (key, run_id), some in by_cause.items():
        first = min(some, key=lambda failure: failure.failed_at)
        steps = sorted({failure.step for failure in some})
        name = first.group if len(steps) > 1 else "/".join(first.asset) or first.step
        causes.append(
            Cause(
                key=key,
                title=f"{name} failed: {first.error.what}",
                severity="error",
                seen_at=max(failure.failed_at for failure in some),
                details={
                    ERROR: first.error.error_class,
                    WHERE: first.error.where,
                    FAILED_STEPS: ", ".join(steps),
                    RUN_PAGE: pages.run(run_id),
                    ASSET_PAGE: pages.asset(*first.asset) if first.asset else "",
                    WHAT_TO_DO: first.error.remedy,
                },
            )
        )
    return causes


def mended_steps(alerts: Iterable[Alert], succeeded: Mapping[str, datetime]) -> set[str]:
    """The causes of those alerts of which a step has succeeded since; ``succeeded``: when each step last did."""
    return {
        alert.cause
        for alert in alerts
        if alert.kind == "run"
        for step in alert.details.get(FAILED_STEPS, "").split(", ")
        if step in succeeded and succeeded[step] > alert.last_seen_at
    }


def interrupted_run_cause(what: str, run_id: str, ended_at: datetime, pages: Pages) -> Cause:
    """A run that failed without a step that did: its process died, or it never began. ``what``: what it was to do."""
    return Cause(
        key=f"run/{what}/interrupted",
        title=f"A run of {what} was broken off",
        severity="error",
        seen_at=ended_at,
        details={
            ERROR: "no step failed: the run's process died, or never started",
            FAILED_STEPS: what,
            RUN_PAGE: pages.run(run_id),
            WHAT_TO_DO: "look for what ended the process (memory, a restart); nothing is lost, the next run goes on "
            "from what was committed",
        },
    )


def sensor_cause(name: str, kind: str, error: Explained, failed_at: datetime, pages: Pages) -> Cause:
    """A sensor or schedule (``kind``) whose last evaluation failed."""
    return Cause(
        key=f"sensor/{name}",
        title=f"The {kind} {name} fails: {error.what}",
        severity="error",
        seen_at=failed_at,
        details={
            ERROR: error.error_class,
            WHERE: error.where,
            RUN_PAGE: f"{pages.ui}/automation",
            WHAT_TO_DO: error.remedy,
        },
    )


def away_cause(source: str, reason: str, since: datetime, seen_at: datetime, pages: Pages) -> Cause:
    """A source system that cannot be asked; ``reason``: what its sensor said."""
    error = explain([("TransientError", reason)])
    minutes = (seen_at - since).total_seconds() / 60
    return Cause(
        key=f"source/{source}",
        title=f"{source} is away: nothing could be read for {minutes:.0f} minutes",
        severity="error",
        # Its absence is one occurrence, however often it is looked at.
        seen_at=since,
        details={
            SEEN: error.what,
            WHERE: error.where,
            RUN_PAGE: f"{pages.ui}/automation",
            WHAT_TO_DO: f"{error.remedy}; what is missed meanwhile is read from the watermark",
        },
    )
