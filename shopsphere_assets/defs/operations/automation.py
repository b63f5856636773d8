"""The sensor that evaluates the automation conditions of models and publication."""

from __future__ import annotations

import dagster as dg


@dg.definitions
def automation() -> dg.Definitions:
    """The automation sensor, running from the start."""
    sensor = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all() - dg.AssetSelection.key_prefixes(["raw"]),
        default_status=dg.DefaultSensorStatus.RUNNING,
        # At every look of the daemon, which looks every five seconds.
        minimum_interval_seconds=4,
        description="Starts a run for the models and the publication whose upstream tables have changed.",
    )
    return dg.Definitions(sensors=[sensor])
