"""The demo as its visitor meets it: started, looked at in a browser, alive, stopped, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page

SHOPSPHERE = str(Path(sys.executable).with_name("shopsphere"))
PATIENCE_SECONDS = 240
"""Only a bound on what is waited for; a demo that is alive gets there much sooner."""

pytestmark = pytest.mark.timeout(600)


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], Any], what: str) -> Any:
    """What ``condition`` gives as soon as it is not None; fails naming ``what`` was waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found is not None:
            return found
        time.sleep(0.5)
    pytest.fail(f"waited {PATIENCE_SECONDS} seconds in vain for {what}")


class Demo:
    """A running demo and what can be asked of it."""

    def __init__(self, home: Path, port: int, *, seconds_per_day: float) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{port}"
        self.log = home.parent / f"demo-{port}.log"
        arguments = ["demo", "--scale", "0.02", "--port", str(port), "--seconds-per-day", str(seconds_per_day)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [SHOPSPHERE, *arguments], stdout=log, stderr=subprocess.STDOUT, env=self.environment, cwd=home.parent
            )

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the demo's commands run."""
        return {**os.environ, "SHOPSPHERE_HOME": str(self.home)}

    def output(self) -> str:
        """What the demo has printed so far."""
        return self.log.read_text(errors="replace")

    def is_ready(self) -> bool | None:
        """True once the UI answers; fails if the demo has ended."""
        assert self.process.poll() is None, self.output()
        return True if "The Dagster UI is at" in self.output() else None

    def ask(self, query: str) -> Any:
        """The data that Dagster's GraphQL gives for ``query``."""
        return httpx.post(f"{self.url}/graphql", json={"query": query}, timeout=30).json()["data"]

    def command(self, *arguments: str) -> str:
        """What a ``shopsphere`` command prints beside the demo; fails unless it ends well."""
        done = subprocess.run(
            [SHOPSPHERE, *arguments], env=self.environment, cwd=self.home.parent, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def publication(self) -> dict[str, Any]:
        """The current publication, as ``status`` tells it."""
        found: dict[str, Any] = json.loads(self.command("status", "--json"))["publication"]
        return found

    def stop(self) -> None:
        """Press Ctrl-C and wait for the end."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.output()


@contextmanager
def running_demo(home: Path, *, seconds_per_day: float = 0) -> Iterator[Demo]:
    """A demo that is ready, stopped at the end."""
    demo = Demo(home, free_port(), seconds_per_day=seconds_per_day)
    try:
        until(demo.is_ready, "the UI")
        yield demo
        demo.stop()
    finally:
        for process in processes_of(home):
            process.kill()


def processes_of(home: Path) -> list[psutil.Process]:
    """The processes that were started for the state in ``home``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SHOPSPHERE_HOME") == str(home) or str(home) in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def see(page: Page, demo: Demo, path: str, *texts: str) -> None:
    """Open a page of the UI and see ``texts`` on it."""
    page.goto(demo.url + path)
    for text in texts:
        page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)


def test_the_demo_shows_a_living_shop_stops_cleanly_and_goes_on(tmp_path: Path, browser: Browser) -> None:
    """The main promise of the README, in one go."""
    home = tmp_path / "home"
    with running_demo(home, seconds_per_day=60) as demo:
        assets = demo.ask("{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } } }")["assetNodes"]
        missing = ["/".join(a["assetKey"]["path"]) for a in assets if not a["assetMaterializations"]]
        assert len(assets) > 70
        assert missing == []

        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        see(page, demo, "/asset-groups", "raw_shop_db", "staging_shop_db", "sales", "publication")
        see(page, demo, "/assets/raw/shop_db/orders?view=events", "rows quarantined", "watermark", "batch")
        see(page, demo, "/assets/raw/shop_db/orders?view=checks", "quarantine_share", "ledger_closes", "unique_key")
        see(page, demo, "/assets/sales/fct_daily_sales?view=events", "column lineage", "sales/fct_orders.items_amount")
        see(page, demo, "/automation", "shop_db_sensor", "automation", "nightly", "weekly_maintenance")
        assert page.get_by_text("error", exact=False).count() == 0

        first = demo.publication()
        later = until(lambda: newer(demo, first), "the marts to follow the living shop")
        assert later["rows"] > first["rows"]
        assert "In the shop it is now" in demo.output()
        (row,) = json.loads(demo.command("sql", "select count(*) as days from fct_daily_sales", "--format", "json"))
        assert row["days"] > 0
    assert processes_of(home) == []

    with running_demo(home) as again:
        assert "Simulating the shop" not in again.output()
        assert again.publication()["version"] > later["version"]


def newer(demo: Demo, than: dict[str, Any]) -> dict[str, Any] | None:
    """The current publication if it holds more than ``than``."""
    current = demo.publication()
    return current if current["version"] > than["version"] and current["rows"] > than["rows"] else None


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [SHOPSPHERE, "demo", "--port", str(port)],
            env={**os.environ, "SHOPSPHERE_HOME": str(tmp_path / "home")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "--port" in done.stderr
