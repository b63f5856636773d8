"""The prebuilt manifest: made by dbt once, and again only when something changes that dbt reads."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from resources.errors import PermanentError
from resources.settings import load_settings
from shopsphere_assets.transformation import project
from shopsphere_assets.transformation.project import prepare_manifest


@pytest.fixture
def folder(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dbt project of one model, in place of the platform's."""
    folder = tmp_path / "small project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(
        "name: shopsphere\nversion: '1.0'\nconfig-version: 2\nprofile: shopsphere\n"
    )
    shutil.copy(repository / "dbt_project" / "profiles.yml", folder)
    (folder / "models" / "numbers.sql").write_text("select 1 as number")
    monkeypatch.setattr(project, "PROJECT_DIR", folder)
    return folder


def _models(manifest: Path) -> set[str]:
    return {node["name"] for node in json.loads(manifest.read_text())["nodes"].values()}


def test_it_is_made_when_a_file_changes_and_only_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    assert _models(prepare_manifest(settings)) == {"numbers"}
    with monkeypatch.context() as nothing_to_do:
        nothing_to_do.setattr(project, "dbt_executable", lambda: "/there/is/no/dbt")
        assert _models(prepare_manifest(settings)) == {"numbers"}
    (folder / "models" / "more.sql").write_text("select * from {{ ref('numbers') }}")
    assert _models(prepare_manifest(settings)) == {"numbers", "more"}


def test_whatever_dbt_reads_counts_as_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {project._project_fingerprint(load_settings())}

    def changed() -> bool:
        found.add(project._project_fingerprint(load_settings()))
        return len(found) == known + 1

    def settle() -> int:
        return len(found)

    known = settle()
    (folder / "models" / "numbers.sql").write_text("select 2 as number")
    assert changed()
    known = settle()
    (folder / "models" / "numbers.sql").rename(folder / "models" / "digits.sql")
    assert changed()
    known = settle()
    (folder / "macros").mkdir()
    (folder / "macros" / "m.sql").write_text("{% macro m() %}1{% endmacro %}")
    assert changed()
    known = settle()
    (folder / "dbt_project.yml").write_text((folder / "dbt_project.yml").read_text() + "vars: {a: 1}\n")
    assert changed()
    known = settle()
    monkeypatch.setenv("SHOPSPHERE_REPORTING_TIME_ZONE", "Europe/Berlin")
    assert changed()
    known = settle()
    monkeypatch.setenv("SHOPSPHERE_WAREHOUSE_URL", "duckdb:///elsewhere/other.duckdb")
    assert changed()
    known = settle()
    monkeypatch.setenv("SHOPSPHERE_WAREHOUSE_URL", "postgresql://u:first@db/marts")
    assert changed()
    known = settle()
    # A password says nothing of the project, and dbt's own files are no part of it.
    monkeypatch.setenv("SHOPSPHERE_WAREHOUSE_URL", "postgresql://u:second@db/marts")
    (folder / "target").mkdir()
    (folder / "target" / "manifest.json").write_text("{}")
    assert not changed()


def test_a_project_that_does_not_parse_is_told_in_dbts_words_until_it_does(folder: Path) -> None:
    model = folder / "models" / "numbers.sql"
    model.write_text("select * from {{ ref('nobody') }}")
    for _ in range(2):
        with pytest.raises(PermanentError) as error:
            prepare_manifest(load_settings())
        assert "'model.shopsphere.numbers' (models/numbers.sql) depends on a node named 'nobody'" in error.value.what
        assert "\x1b" not in error.value.what
        assert error.value.where == str(folder)
    model.write_text("select 1 as number")
    assert _models(prepare_manifest(load_settings())) == {"numbers"}


def test_two_that_need_it_at_once_make_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, settings = [], load_settings()
    executable = project.dbt_executable()

    def counted() -> str:
        made.append(threading.get_ident())
        return executable

    monkeypatch.setattr(project, "dbt_executable", counted)
    threads = [threading.Thread(target=prepare_manifest, args=[settings]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
