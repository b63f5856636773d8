"""``shopsphere steward`` as a process of its own, as the demo starts it."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx

from shopsphere_assets.cli.steward import steward_service


def test_the_page_comes_up_beside_the_demo_and_goes_with_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # Where the wanted port is taken another one does.
        with steward_service(tmp_path / "logs", taken.getsockname()[1]) as url:
            answer = httpx.get(url, trust_env=False)
        assert (answer.status_code, "Nothing is waiting" in answer.text) == (200, True)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", httpx.URL(url).port or 0)) != 0
