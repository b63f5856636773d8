"""The code location as tests see it: loaded once, with no setting and no service.

Belongs here: loading the definitions, in this process and in one of its own. Not here: what is asserted of them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

_LOAD_WITHOUT_NETWORK = """
import socket

def refuse(*arguments):
    raise AssertionError(f"a connection is made while the definitions are loaded: {arguments[1:]}")

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse

import dagster as dg
from shopsphere_assets.definitions import defs

location = dg.Definitions.merge(defs())
dg.Definitions.validate_loadable(location)
print(len(location.resolve_asset_graph().get_all_asset_keys()), "assets")
"""


@cache
def home() -> Path:
    """The folder of state that the definitions are loaded for."""
    folder = Path(tempfile.mkdtemp(prefix="shopsphere-code-location-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(frozen=True)
class Loaded:
    """How loading in a process of its own went: status, output, and what it made in :func:`home`."""

    status: int
    output: str
    errors: str
    made: set[str]


@cache
def load_in_a_process_of_its_own() -> Loaded:
    """Load the definitions in :func:`home` where every connection is an error."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD_WITHOUT_NETWORK],
        env=_without_settings(),
        cwd=home(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Loaded(done.returncode, done.stdout, done.stderr, {path.name for path in home().iterdir()})


@cache
def definitions() -> dg.Definitions:
    """All definitions, as they are where nothing is set."""
    # It leaves a parsed dbt project behind, which is the slow part.
    load_in_a_process_of_its_own()
    with _environment(_without_settings()):
        from shopsphere_assets.definitions import defs

        return dg.Definitions.merge(defs())


@cache
def repository() -> dg.RepositoryDefinition:
    """The definitions as the repository in which Dagster looks them up."""
    return definitions().get_repository_def()


def specs() -> dict[str, dg.AssetSpec]:
    """Every asset by its key."""
    return {spec.key.to_user_string(): spec for spec in definitions().resolve_all_asset_specs()}


def _without_settings() -> dict[str, str]:
    prefixes = ("SHOPSPHERE_", "DAGSTER_", "DBT_", "PG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | {"SHOPSPHERE_HOME": str(home())}


@contextmanager
def _environment(variables: dict[str, Any]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
