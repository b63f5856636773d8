"""``shopsphere alerts``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from resources.settings import load_settings
from resources.warehouse import open_warehouse
from shopsphere_assets.alerts.cause import WHAT_TO_DO, Cause
from shopsphere_assets.alerts.store import update
from tests.unit.cli.conftest import Shopsphere


def test_open_alerts_are_shown_and_mended_ones_where_asked_for(shopsphere: Shopsphere) -> None:
    assert "No alert is open." in shopsphere("alerts").output
    warehouse, now = open_warehouse(load_settings().warehouse), datetime.now(UTC)
    causes = [
        Cause(f"sensor/{name}", f"The sensor {name} [b]fails[/]", "error", now, {WHAT_TO_DO: "look"}) for name in "ab"
    ]
    update(warehouse, causes, [], now=now)
    update(warehouse, [], ["sensor/a"], now=now + timedelta(seconds=1))
    answer = shopsphere("alerts")
    assert "The sensor b [b]fails[/]" in answer.output
    assert "what to do:" in answer.output
    assert "sensor a" not in answer.output
    rows = json.loads(shopsphere("alerts", "--days", "1", "--json").output)
    assert [(row["cause"], row["resolved_at"] is None) for row in rows] == [("sensor/b", True), ("sensor/a", False)]
