"""Starts what the settings leave unset, and tells this process and its children where it is.

Sources that are not set are simulated: databases on an embedded PostgreSQL, services on loopback, files in a
folder. So is Dagster's storage. Whatever is set is left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from resources.embedded import LOGICAL_DECODING, EmbeddedPostgres
from resources.errors import PermanentError
from resources.settings import Settings, load_settings
from simulator.apis import ApiStore, Faults, running
from simulator.databases import MySqlSink, PostgresSink
from simulator.files import FileDrops
from simulator.simulation import Parameters, Simulation
from simulator.sinks import SimulatorError, Sink

HISTORY_DAYS = 90

SimulatedShop = Simulation
"""The simulated shop, as the commands know it."""

_FILE_SOURCES = ("web_logs", "crm_files", "support")
_API_SOURCES = ("hubspot", "reviews")
SIMULATED_SOURCES = ("shop_db", "catalogue_db", *_API_SOURCES, *_FILE_SOURCES)


@contextmanager
def embedded_environment(settings: Settings, needed: set[str], *, storage: bool = True) -> Iterator[Settings]:
    """Provide the sources ``needed`` that ``settings`` leave unset and, with ``storage``, Dagster's storage.

    Yields the completed settings, which also stand in this process's environment. Everything that was
    started stops at the end.
    """
    simulated = {s for s in SIMULATED_SOURCES if s in needed and settings.source_url(s) is None}
    home = simulator_home(settings)
    before = dict(os.environ)
    with ExitStack() as stack:
        variables = {"SHOPSPHERE_HOME": str(settings.state)}
        if simulated & {"shop_db", "catalogue_db"} or (storage and settings.dagster_storage_url is None):
            # The simulated shop's change log is read like a real one's.
            more = LOGICAL_DECODING if settings.capture("shop_db") == "log" else {}
            server = stack.enter_context(EmbeddedPostgres(settings.state / "postgres", settings=more))
            if "shop_db" in simulated:
                variables["SHOPSPHERE_SHOP_DB_URL"] = server.url("shop")
            if "catalogue_db" in simulated:
                variables["SHOPSPHERE_CATALOGUE_DB_URL"] = server.url("catalogue")
            if storage and settings.dagster_storage_url is None:
                variables["SHOPSPHERE_DAGSTER_STORAGE_URL"] = server.url("dagster")
        if settings.dagster_storage_url is not None:
            # dagster.yaml reads the environment only, and the setting may stand in the .env file.
            variables["SHOPSPHERE_DAGSTER_STORAGE_URL"] = settings.dagster_storage_url.get_secret_value()
        for source in simulated & set(_FILE_SOURCES):
            folder = home / "files" / source
            folder.mkdir(parents=True, exist_ok=True)
            variables[f"SHOPSPHERE_{source.upper()}_URL"] = str(folder)
        if simulated & set(_API_SOURCES):
            url, token = stack.enter_context(_services(home))
            # A server on this machine need not be spared, but for the rate limit that it simulates.
            variables["SHOPSPHERE_REQUESTS_PER_SECOND"] = "100"
            for source in simulated & set(_API_SOURCES):
                variables[f"SHOPSPHERE_{source.upper()}_URL"] = url
                variables[f"SHOPSPHERE_{source.upper()}_TOKEN"] = token
        os.environ.update(variables)
        try:
            yield load_settings()
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _services(home: Path) -> Iterator[tuple[str, str]]:
    """The simulated services' URL and token: those that already run for ``home``, or else our own."""
    home.mkdir(parents=True, exist_ok=True)
    note = home / "services.json"
    if note.exists():
        known = json.loads(note.read_text())
        if _answers(known["url"], known["token"]):
            yield known["url"], known["token"]
            return
    with running(ApiStore(home / "services.sqlite"), faults=Faults.mild()) as server:
        note.write_text(json.dumps({"url": server.url, "token": server.token}))
        try:
            yield server.url, server.token
        finally:
            note.unlink(missing_ok=True)


def _answers(url: str, token: str) -> bool:
    try:
        answer = httpx.get(f"{url}/v1/reviews?page_size=1", headers={"Authorization": f"Bearer {token}"}, timeout=2)
    except httpx.HTTPError:
        return False
    return answer.status_code != httpx.codes.UNAUTHORIZED


def simulator_home(settings: Settings) -> Path:
    """The folder of the simulated shop."""
    return settings.state / "simulator"


def open_simulation(
    settings: Settings, sources: Collection[str], wanted: Mapping[str, Any] | None = None
) -> Simulation:
    """The simulated shop that feeds ``sources``, which ``settings`` locate (see :func:`embedded_environment`).

    Nothing is written to other databases: they may be the company's own.

    ``wanted``: ``seed``, ``scale`` or ``error_rate`` of the shop to create where there is none yet; one that
    exists goes on as it is, and parameters that contradict it are refused by a :class:`PermanentError`.
    """
    home = simulator_home(settings)
    sinks: list[Sink] = []
    shop, catalogue = (settings.source_url(s) if s in sources else None for s in ("shop_db", "catalogue_db"))
    if shop:
        sinks.append(MySqlSink(shop) if shop.startswith(("mysql", "mariadb")) else PostgresSink(shop, "shop_db"))
    if catalogue:
        sinks.append(PostgresSink(catalogue, "catalogue_db"))
    sinks.append(ApiStore(home / "services.sqlite"))
    sinks.append(FileDrops(home / "files", home / "truth"))
    given = dict(wanted or {})
    is_new = not Simulation.exists(home)
    with plain_errors():
        simulation = Simulation.open_or_create(home, sinks, Parameters(**given) if is_new else None)
    wrong = {name: value for name, value in given.items() if getattr(simulation.parameters, name) != value}
    if wrong:
        there = ", ".join(f"{name} is {getattr(simulation.parameters, name)}, not {wrong[name]}" for name in wrong)
        raise PermanentError(
            f"the shop that lives here was begun with other parameters: {there}",
            where=str(home),
            remedy="leave them out to go on with it, or begin another shop in another SHOPSPHERE_HOME",
        )
    return simulation


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the simulator's errors into the platform's."""
    try:
        yield
    except SimulatorError as error:
        raise PermanentError(error.what, where=error.where, remedy=error.remedy) from error
