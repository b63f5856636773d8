"""What ``shopsphere doctor`` looks at: settings, stores, sources, the sources file and the dbt project.

Every check gives findings: what is so, and what to do about it. A fault that a person can act on is a
finding, never an exception; nothing here changes a source, and no finding shows a secret or a personal value.
Does not belong here: how findings are shown (``cli/doctor.py``) and mending what is found.
"""

from __future__ import annotations

from shopsphere_assets.diagnosis.diagnose import diagnose
from shopsphere_assets.diagnosis.finding import Finding, Status

__all__ = ["Finding", "Status", "diagnose"]
