"""Who may know whom: the import rules of the architecture, kept for every module there is.

The rules between packages are import-linter contracts in pyproject.toml; here are those it cannot express.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("shopsphere_assets", "resources", "simulator", "tests", "benchmarks", "scripts")

KNOWN_ONLY_TO = {
    # Dagster stays at the edge: what does the work is plain Python.
    r"dagster(_|\.|$)": (
        "shopsphere_assets.defs",
        "shopsphere_assets.definitions",
        "shopsphere_assets.cli",
        "benchmarks.latency",
    ),
    r"shopsphere_assets\.(defs|definitions)(\.|$)": (
        "shopsphere_assets.defs",
        "shopsphere_assets.definitions",
        "shopsphere_assets.cli",
        "benchmarks.latency",
    ),
    # The platform must not learn from the simulated shop what it has to find out from the data.
    r"simulator(\.|$)": ("simulator", "shopsphere_assets.demo", "benchmarks"),
}
"""Which modules (by their beginning) only some may import, besides the tests."""

# In parts, or this file would break its own rule.
REGISTRY_HOSTS = re.compile(
    "|".join(re.escape(name + ".org") for name in ("pypi", "files.pythonhosted", "registry.npmjs"))
    + "|"
    + "|".join(re.escape(name + ".com") for name in ("jfrog", "artifactory", "pkg.dev")),
    re.IGNORECASE,
)


def _modules(repository: Path) -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            yield ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(".__init__"), path


def _imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_the_packages_know_only_whom_they_may(repository: Path) -> None:
    # In a process of its own: import-linter switches off every logger that was there before it.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("known", "knowers"), KNOWN_ONLY_TO.items())
def test_some_are_known_only_to_a_few(repository: Path, known: str, knowers: tuple[str, ...]) -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in _modules(repository)
        if not _within(module, (*knowers, "tests"))
        for imported in _imports(path)
        if re.match(known, imported)
    ]
    assert not wrong


def test_nobody_imports_the_private_parts_of_dagster(repository: Path) -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in _modules(repository)
        for imported in _imports(path)
        if re.match(r"dagster\w*(\.\w+)*\._(?!_)", imported)
    ]
    assert not wrong


def test_no_file_names_the_host_of_a_package_registry(repository: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [repository / name for name in listed if name]
    wrong = [
        f"{path.relative_to(repository)}:{number}"
        for path in files
        if path.is_file()
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), start=1)
        if REGISTRY_HOSTS.search(line)
    ]
    assert not wrong
