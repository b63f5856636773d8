"""A cause of an alert, and an alert as it is kept.

The key of a cause begins with its kind: ``check/raw/shop_db/orders/unique_key``. While an alert of a key is open,
whatever has the same key is the same alert.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from resources.settings import Settings

Severity = Literal["warning", "error"]
Kind = Literal["run", "check", "model", "drift", "schema", "sensor", "source", "warehouse"]

# A person reads them in this order.
ERROR = "error"
WHERE = "where"
FAILED_STEPS = "failed steps"
SEEN = "what was seen"
FIRST_ROW = "first failing row"
COLUMN = "column and value"
RULE = "rule"
OTHER_RULES = "all broken rules"
SQL = "look with SQL"
RUN_PAGE = "run page"
ASSET_PAGE = "asset page"
STEWARD_PAGE = "steward page"
WHAT_TO_DO = "what to do"
LABELS = (
    *(ERROR, WHERE, FAILED_STEPS, SEEN, FIRST_ROW, COLUMN, RULE, OTHER_RULES),
    *(SQL, RUN_PAGE, ASSET_PAGE, STEWARD_PAGE, WHAT_TO_DO),
)
PAGES = (RUN_PAGE, ASSET_PAGE, STEWARD_PAGE)
"""Labels whose text is a link of the platform's own making."""


@dataclass(frozen=True)
class Cause:
    """Something that is wrong.

    ``seen_at``: the moment of its newest evidence, such as the end of the run that failed; the same evidence seen
    twice is one occurrence. ``details``: text by label, of :data:`LABELS`.
    """

    key: str
    title: str
    severity: Severity
    seen_at: datetime
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """A row of ``quality.alerts``."""

    alert_id: str
    cause: str
    title: str
    details: dict[str, str]
    severity: str
    opened_at: datetime
    last_seen_at: datetime
    occurrences: int
    notified_at: datetime | None
    resolved_at: datetime | None

    @property
    def kind(self) -> str:
        """The kind of its cause."""
        return self.cause.partition("/")[0]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Alert:
        """The alert that a row of the table is."""
        values = {name: row[name] for name in cls.__dataclass_fields__ if name != "details"}
        for name in ("opened_at", "last_seen_at", "notified_at", "resolved_at"):
            moment = values[name]
            values[name] = moment.astimezone(UTC) if moment else None
        return cls(**values, details=json.loads(row["body"]))


@dataclass(frozen=True)
class Pages:
    """Where people find the UI and the steward's pages."""

    ui: str
    steward: str

    @classmethod
    def of(cls, settings: Settings) -> Pages:
        """The pages' addresses in the settings."""
        return cls(settings.dagster_ui_url.rstrip("/"), settings.steward_url.rstrip("/"))

    def asset(self, *key: str) -> str:
        """The page of an asset."""
        return "/".join((self.ui, "assets", *key))

    def run(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.ui}/runs/{run_id}"
