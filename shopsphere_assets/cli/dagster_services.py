"""Dagster's web server and daemon as child processes that end with us."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from resources.errors import PermanentError

_HOST = "127.0.0.1"
_START_SECONDS = 120
_STOP_SECONDS = 8


@dataclass(frozen=True)
class DagsterServices:
    """The running services."""

    processes: dict[str, subprocess.Popen[bytes]]
    logs: Path

    def wait(self) -> None:
        """Wait until one of the services ends by itself, which it should not: :class:`PermanentError`."""
        while True:
            self.check()
            time.sleep(1)

    def check(self) -> None:
        """Raise :class:`PermanentError` if a service has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise PermanentError(
                    f"Dagster's {name} has ended with status {process.returncode}",
                    where=str(self.logs / f"{name}.log"),
                    remedy="read the end of that file; start the demo again",
                )


def check_port_is_free(port: int) -> None:
    """Raise :class:`PermanentError` where something listens on ``port`` already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            raise PermanentError(
                f"port {port} is taken",
                where=f"{_HOST}:{port}",
                remedy="stop what listens there, or choose another port by --port",
            ) from None


@contextmanager
def dagster_services(home: Path, logs: Path, port: int) -> Iterator[DagsterServices]:
    """Web server and daemon over one code server, up and answering while the block runs.

    ``home``: Dagster's home; ``logs``: folder for what the services print.
    """
    logs.mkdir(parents=True, exist_ok=True)
    code_port = _free_port()
    workspace = home / "workspace.yaml"
    # One code server for both, so that the definitions are loaded once.
    workspace.write_text(
        f"load_from:\n  - grpc_server:\n      host: {_HOST}\n      port: {code_port}\n      location_name: shopsphere\n"
    )
    bin_ = Path(sys.executable).parent
    commands = {
        "code server": [
            *(str(bin_ / "dagster"), "code-server", "start", "-m", "shopsphere_assets.definitions"),
            *("-h", _HOST, "-p", str(code_port), "--location-name", "shopsphere"),
        ],
        "web server": [str(bin_ / "dagster-webserver"), "-w", str(workspace), "-h", _HOST, "-p", str(port)],
        "daemon": [str(bin_ / "dagster-daemon"), "run", "-w", str(workspace)],
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    services = DagsterServices(processes, logs)
    try:
        for name, command in commands.items():
            log = (logs / f"{name}.log").open("wb")
            # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
            processes[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=os.environ, start_new_session=True
            )
            log.close()
            if name == "code server":
                # The others would take a server that is not there yet for one whose definitions are broken.
                _wait_until_it_listens(services, code_port)
        _wait_until_it_answers(services, port)
        yield services
    finally:
        _stop(processes.values())


def _wait_until_it_listens(services: DagsterServices, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        services.check()
        with suppress(OSError), socket.create_connection((_HOST, port), timeout=5):
            return
        time.sleep(0.1)
    raise PermanentError(
        f"Dagster's code server did not come up within {_START_SECONDS} seconds",
        where=f"{_HOST}:{port}",
        remedy=f"read the logs in {services.logs}",
    )


def _wait_until_it_answers(services: DagsterServices, port: int) -> None:
    entry = "loadStatus locationOrLoadError { __typename ... on PythonError { message } }"
    query = {"query": f"{{ workspaceOrError {{ ... on Workspace {{ locationEntries {{ {entry} }} }} }} }}"}
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        services.check()
        try:
            answer = httpx.post(f"http://{_HOST}:{port}/graphql", json=query, timeout=10).json()
        except (httpx.HTTPError, ValueError):
            time.sleep(0.3)
            continue
        entries = answer["data"]["workspaceOrError"].get("locationEntries", [])
        if entries and all(entry["loadStatus"] == "LOADED" for entry in entries):
            for found in (entry["locationOrLoadError"] for entry in entries):
                if found["__typename"] == "PythonError":
                    raise PermanentError(
                        f"the definitions do not load: {found['message'].strip()}",
                        where=str(services.logs / "code server.log"),
                        remedy="read the end of that file, and correct what it names",
                    )
            return
        time.sleep(0.3)
    raise PermanentError(
        f"the UI did not come up within {_START_SECONDS} seconds",
        where=f"http://{_HOST}:{port}",
        remedy=f"read the logs in {services.logs}",
    )


def _stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End the services and whatever they have started; runs that are cut short are taken up by the next start."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
