"""The quality report and the search for duplicates as assets."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.quality.near_duplicates import NEAR_DUPLICATES_JOB, duplicates
from shopsphere_assets.defs.quality.report import REPORT_KEY, quality_report


def test_the_materialization_links_the_page_and_sums_it_up(tmp_path: Path) -> None:
    definitions = dg.Definitions.merge(quality_report(), dg.Definitions(resources={"platform": Platform()}))
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=[REPORT_KEY])
    [materialization] = result.asset_materializations_for_node("quality__report")
    told = {name: value.value for name, value in materialization.metadata.items()}
    page = Path(str(told["file"]))
    assert page.is_relative_to(tmp_path / "var" / "reports" / "quality")
    assert page.stem == result.run_id
    assert told["page"] == f"http://127.0.0.1:3002/{page.relative_to(tmp_path / 'var')}"
    assert "Nothing has been read yet" in str(told["summary"])
    assert "Nothing has been read yet" in page.read_text()


def test_the_job_searches_reviews_and_people() -> None:
    definitions = dg.Definitions.merge(duplicates(), dg.Definitions(resources={"platform": Platform()}))
    result = definitions.resolve_job_def(NEAR_DUPLICATES_JOB).execute_in_process()
    [materialization] = result.asset_materializations_for_node("quality__near_duplicates")
    assert materialization.metadata["reviews: rows"].value == 0
    assert materialization.metadata["people: near-duplicate pairs"].value == 0
