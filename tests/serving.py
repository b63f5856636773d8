"""The steward's page on a port of its own, in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from shopsphere_assets.quarantine.entries import Quarantine
from shopsphere_assets.web.app import steward_app


@contextmanager
def steward_page(quarantine: Quarantine, reports: Path, name: str = "ada") -> Iterator[str]:
    """The URL of the page while the block runs."""
    app = steward_app(quarantine, reports=reports, default_name=name)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        [listener] = server.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
