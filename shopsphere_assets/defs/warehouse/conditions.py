"""When assets that are made of others are made anew.

As ``eager()``, with three differences. It takes a change upstream for handled when the asset is next updated,
even if the change came while that update was running, and so loses it. It asks for an asset once for every
change, whatever became of it: a failed one again with the next change, and never without one. And it asks while
others are built: here there is one build at a time, and the next takes all that has changed by then.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

AUTOMATION_TAGS = {"dagster/from_automation_condition": "true"}
"""The tags of the runs that automation conditions ask for, as Dagster sets them."""

PUBLICATION_KEY = dg.AssetKey(["publication"])

_Condition = dg.AutomationCondition[Any]

_CHANGED: _Condition = dg.AutomationCondition.any_deps_updated()
_REQUESTED: _Condition = dg.AutomationCondition.newly_requested()
_UPDATED_BY_HAND = dg.AutomationCondition.newly_updated() & ~dg.AutomationCondition.any_new_update_has_run_tags(
    tag_values=AUTOMATION_TAGS
)

# What changes upstream after a run was asked for, before it ends, asks for one more.
_IS_BEHIND = (
    (dg.AutomationCondition.newly_missing() | _CHANGED)
    .since((_REQUESTED & ~_CHANGED) | _UPDATED_BY_HAND | dg.AutomationCondition.initial_evaluation())
    .with_label("is_behind")
)

# Every build ends in the publication, but for one of models whose descendants have failed.
_BUILDING: _Condition = dg.AutomationCondition.asset_matches(PUBLICATION_KEY, dg.AutomationCondition.in_progress())

# The failed get another chance at the next quarter of an hour, or when their code changes. Two "since", because
# Dagster takes two of them for one and the same where both have an "or" in the same place (as _IS_BEHIND has).
_HAS_FAILED: _Condition = dg.AutomationCondition.execution_failed()
_TICK: _Condition = dg.AutomationCondition.cron_tick_passed("*/15 * * * *")
_NEW_CODE: _Condition = dg.AutomationCondition.code_version_changed()
_ANOTHER_CHANCE = (_TICK.since_last_handled() | _NEW_CODE.since_last_handled()).with_label("another_chance")

AFTER_UPSTREAM = (
    ((_IS_BEHIND & ~_HAS_FAILED) | (_HAS_FAILED & _ANOTHER_CHANCE))
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
    & ~dg.AutomationCondition.any_deps_missing()
    # What is just being read comes along; sensors see to it that this has an end (defs/raw/factory.py).
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~_BUILDING
    & ~dg.AutomationCondition.in_progress()
).with_label("after_upstream")
