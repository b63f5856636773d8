"""What the documentation points at exists: links, headings, and the files that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("dbt_project/*.md")])

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`(?P<text>[^`\n]+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)

FOLDERS = ("shopsphere_assets", "resources", "simulator", "dbt_project", "docs", "tests", "benchmarks", "scripts")
FILES = ("dagster.yaml", "workspace.yaml", "pyproject.toml", "requirements.lock", "Makefile", ".env.example")

TO_BE_WRITTEN = {
    "shopsphere_assets/contracts/stores.py",
    "shopsphere_assets/defs/raw/stores.py",
    "dbt_project/models/staging/stores/",
    "dbt_project/tests/assert_net_is_what_remains.sql",
}
"""Files that a guide asks its reader to create."""


def _prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    headings = [match["text"].lower() for match in HEADING.finditer(_prose(page))]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in headings}


def _paths_named(page: Path) -> Iterator[str]:
    """The files and folders of the project that stand in code spans."""
    for match in CODE.finditer(_prose(page)):
        text = match["text"]
        is_path = re.fullmatch(r"[\w./-]+", text) and ((text.split("/")[0] in FOLDERS and "/" in text) or text in FILES)
        if is_path and text not in TO_BE_WRITTEN:
            yield text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    wrong = []
    for match in LINK.finditer(_prose(page)):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            wrong.append(target)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    base = (REPOSITORY, page.parent)
    assert not [path for path in _paths_named(page) if not any((folder / path).exists() for folder in base)]


def test_every_page_can_be_found_from_the_index() -> None:
    docs = REPOSITORY / "docs"
    found, waiting = set(), [docs / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md" or not page.exists():
            continue
        found.add(page)
        targets = (match["target"].partition("#")[0] for match in LINK.finditer(_prose(page)))
        waiting += [(page.parent / target).resolve() for target in targets if target and ":" not in target]
    assert not set(docs.glob("**/*.md")) - found
