"""The code location: loads ``defs/`` and adds the platform's resource. Nothing connects here."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from shopsphere_assets.defs.platform import Platform


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that this code location offers."""
    folder = dg.load_from_defs_folder(project_root=Path(__file__).resolve().parents[1])
    return dg.Definitions.merge(
        folder, dg.Definitions(resources={"platform": Platform()}, executor=dg.in_process_executor)
    )
