"""The code location: loads ``defs/`` and adds the platform's resource. Nothing connects here."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.ingestion.mapping import check_sources_file


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that this code location offers."""
    check_sources_file(source_systems())
    folder = dg.load_from_defs_folder(path_within_project=Path(__file__).resolve().parent)
    return dg.Definitions.merge(
        folder, dg.Definitions(resources={"platform": Platform()}, executor=dg.in_process_executor)
    )
