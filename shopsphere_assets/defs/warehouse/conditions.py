"""When assets that are made of others are made anew."""

from __future__ import annotations

import dagster as dg

# eager() ignores checks that failed in earlier runs, hence the second condition. The third keeps an asset
# whose last attempt failed from being asked for again whenever something upstream changes: only its own code
# or the next quarter of an hour gives it another chance.
AFTER_UPSTREAM = (
    dg.AutomationCondition.eager()
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
    & (
        ~dg.AutomationCondition.execution_failed()
        | dg.AutomationCondition.code_version_changed()
        | dg.AutomationCondition.cron_tick_passed("*/15 * * * *")
    )
).with_label("after_upstream")
