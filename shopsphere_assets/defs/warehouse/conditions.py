"""When assets that are made of others are made anew."""

from __future__ import annotations

import dagster as dg

_FAILED = dg.AutomationCondition.execution_failed()

# eager() asks for an asset once for every change upstream, whatever became of it: a failed one would be asked
# for again by the next change and never without one. So the failed have a rule of their own: once at the next
# quarter of an hour, or as soon as their code changes.
_AGAIN = (
    (dg.AutomationCondition.cron_tick_passed("*/15 * * * *") | dg.AutomationCondition.code_version_changed())
    .since_last_handled()
    .with_label("another_chance")
)

# eager() also ignores checks that failed in earlier runs, hence the last condition.
AFTER_UPSTREAM = (
    (
        (dg.AutomationCondition.eager() & ~_FAILED)
        | (
            _FAILED
            & _AGAIN
            & ~dg.AutomationCondition.in_progress()
            & ~dg.AutomationCondition.any_deps_missing()
            & ~dg.AutomationCondition.any_deps_in_progress()
        )
    )
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
).with_label("after_upstream")
