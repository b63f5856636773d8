"""The demo as a process of its own, and a shop with a published first version to copy.

Belongs here: starting, watching and stopping ``shopsphere`` from outside. Not here: what is expected of it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil

SCALE = "0.02"

# Generous: what is waited for comes within a fraction of it on an idle machine with two cores.
PATIENCE_SECONDS = 400


def environment(home: Path) -> dict[str, str]:
    """This process's environment without its settings, for a platform in ``home``."""
    prefixes = ("SHOPSPHERE_", "DAGSTER_", "DBT_", "PG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    here = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", "COLUMNS": "160"}
    return kept | here | {"SHOPSPHERE_HOME": str(home)}


def command(*arguments: str) -> list[str]:
    """``shopsphere`` of this Python environment."""
    return [str(Path(sys.executable).with_name("shopsphere")), *arguments]


def shopsphere(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), env=environment(home), cwd=home.parent, capture_output=True, text=True, check=False
    )


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_of(home: Path) -> list[str]:
    """The command lines of all processes that have to do with ``home``, this one aside."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            places = [*process.cmdline(), process.cwd()]
            with contextlib.suppress(psutil.Error):
                places.append(process.environ().get("SHOPSPHERE_HOME", ""))
            if process.pid != os.getpid() and any(str(home) in place for place in places):
                found.append(" ".join(process.cmdline()))
    return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s in vain: {what}"
        time.sleep(0.5)


@dataclass(frozen=True)
class Prepared:
    """The home of a small shop after its first demo: what that printed and what it left running."""

    home: Path
    status: int
    output: str
    left_running: list[str]

    def copy_to(self, folder: Path) -> Path:
        """A copy of the home: with owners and links, which the embedded server's files need."""
        home = folder / "demo"  # not the one that the tests' own environment names
        subprocess.run(["cp", "-a", str(self.home), str(home)], check=True)
        return home


@cache
def prepared() -> Prepared:
    """A first demo, from nothing to the UI; once for all tests, which must not change it."""
    folder = Path(tempfile.mkdtemp(prefix="shopsphere-first-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "var"
    done = shopsphere(home, "demo", "--scale", SCALE, "--port", str(free_port()), "--exit-when-ready")
    return Prepared(home, done.returncode, done.stdout + done.stderr, processes_of(home))


@dataclass
class Demo:
    """A running demo."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def ask(self, query: str) -> dict[str, Any]:
        """The answer of the UI's GraphQL endpoint."""
        answer = self.client.post(f"{self.url}/graphql", json={"query": query}).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def wait_for_the_ui(self) -> None:
        """Wait until it says that the UI is there."""

        def is_there() -> bool:
            assert self.process.poll() is None, self.output
            return "The Dagster UI is at" in self.output

        wait_until(is_there, "the UI")

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running_demo(home: Path, *arguments: str) -> Iterator[Demo]:
    """A demo in ``home``, ended at the latest with the block."""
    port, log = free_port(), home.with_name("demo.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("demo", "--port", str(port), *arguments),
            env=environment(home),
            cwd=home.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal of the tests is not meant for it.
            start_new_session=True,
        )
    demo = Demo(home, port, process, log)
    try:
        yield demo
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        demo.client.close()
