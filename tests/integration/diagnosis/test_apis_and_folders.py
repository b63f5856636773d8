"""The doctor on APIs and folders: reached, let in, and given what the contracts want."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from simulator.apis import ApiStore, running
from simulator.world import World
from tests.integration.diagnosis.conftest import Doctor


@contextmanager
def answering(content_type: str, body: str, status: int = 200) -> Iterator[str]:
    """The URL of a server that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_services_that_answer_are_fine_and_a_wrong_token_is_not(doctor: Doctor, tmp_path: Path) -> None:
    store = ApiStore(tmp_path / "services.sqlite")
    store.write(World(seed=3, scale=0.02, error_rate=0.0, start=date(2026, 1, 1)).day(0))
    with running(store) as services:
        report = doctor(
            hubspot_url=services.url,
            hubspot_token=services.token,
            reviews_url=services.url,
            reviews_token="wrong-token",
        )
    assert report.exit_code == 1
    for table in ("contacts", "campaigns", "email_events"):
        assert report.statuses(f"hubspot/{table}") == {"ok"}, report.text
    assert "401" in report.words("reviews/reviews")
    assert "token" in report.words("reviews/reviews")
    assert services.token not in report.text
    assert "wrong-token" not in report.text


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("text/html", "<html><title>Sign in</title></html>", "a web page came instead of JSON"),
        ("application/json", '{"items": []}', "no list at 'reviews'"),
        ("application/json", '{"reviews": [', "not complete JSON"),
    ],
)
def test_an_api_that_answers_something_else_fails(doctor: Doctor, content_type: str, body: str, words: str) -> None:
    with answering(content_type, body) as url:
        report = doctor(reviews_url=url, reviews_token="t")
    assert report.exit_code == 1
    assert words in report.words("reviews/reviews")


def test_records_without_the_fields_of_the_contract_fail(doctor: Doctor) -> None:
    with answering("application/json", '{"reviews": [{"id": 1}, {"id": 2}]}') as url:
        report = doctor(reviews_url=url, reviews_token="t")
    assert report.exit_code == 1
    assert "2 of 2 sampled values are missing" in report.words("reviews/reviews.review_id")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://127.0.0.1", "not a url"])
def test_an_api_that_is_not_there_fails_once_and_the_others_go_on(doctor: Doctor, url: str, tmp_path: Path) -> None:
    report = doctor(hubspot_url=url, hubspot_token="t", support_url=tmp_path)
    assert report.exit_code == 1
    about = [f for f in report.findings if f["subject"].startswith("hubspot") and f["status"] == "failed"]
    assert len(about) == 1
    assert about[0]["what_to_do"]
    assert report.statuses("support/tickets") == {"warning"}


def test_a_folder_is_looked_into(doctor: Doctor, tmp_path: Path) -> None:
    events = tmp_path / "logs" / "events"
    events.mkdir(parents=True)
    (events / "events-2026-01-01.jsonl").write_text("{}\n")
    report = doctor(web_logs_url=tmp_path / "logs", crm_files_url="/nowhere/at/all", support_url="s3://bucket/support")
    assert report.exit_code == 1
    assert "1 file as" in report.words("web_logs/events", "ok")
    assert "no file" in report.words("web_logs/access_log", "warning")
    assert "/nowhere/at/all" in report.words("crm_files")
    assert report.words("support")
