"""``shopsphere steward``: the page on which people look after the quarantine and review samples."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from resources.errors import PermanentError

_HOST = "127.0.0.1"
"""Nothing but this machine: whoever can open the page may decide."""

STEWARD_PORT = 3002

_LOCK_SECONDS = 20
"""How long somebody waits for the warehouse before the page says that it is busy."""

_START_SECONDS = 120
_STOP_SECONDS = 5


def steward(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = STEWARD_PORT,
) -> None:
    """Serve the steward's page on this machine, until Ctrl-C: quarantined rows, reviews, quality reports."""
    import uvicorn
    from rich.console import Console

    from resources.settings import load_settings
    from shopsphere_assets.cli.dagster_services import check_port_is_free
    from shopsphere_assets.cli.quarantine import login_name, open_quarantine
    from shopsphere_assets.web.app import steward_app

    check_port_is_free(port)
    quarantine = open_quarantine(lock_timeout=_LOCK_SECONDS)
    app = steward_app(quarantine, reports=load_settings().state / "reports", default_name=login_name())
    Console().print(f"The steward's page is at [bold link]http://{_HOST}:{port}[/]. Ctrl-C stops it.")
    uvicorn.run(app, host=_HOST, port=port, log_level="warning", server_header=False)


@contextmanager
def steward_service(logs: Path, wanted_port: int) -> Iterator[str]:
    """The page in a process of its own while the block runs; its URL. Another port is taken where that is not free.

    ``logs``: folder for what it prints. Raises :class:`PermanentError` where it does not come up.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log, port = logs / "steward.log", _free_port(wanted_port)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches us alone.
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("shopsphere")), "steward", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(process, port, log)
        yield f"http://{_HOST}:{port}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        process.kill()
        process.wait()


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.bind((_HOST, port))
            found: int = probe.getsockname()[1]
            return found
    raise PermanentError("no port is free", where=_HOST, remedy="stop what listens on so many of them")


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((_HOST, port), timeout=5):
            return
        time.sleep(0.1)
    raise PermanentError("the steward's page did not come up", where=f"{_HOST}:{port}", remedy=f"read the end of {log}")
