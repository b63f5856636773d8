"""The web server of the simulated services.

Belongs here: which path leads to which endpoint, and starting and stopping the server. Does not belong
here: what an endpoint answers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from simulator.apis.faults import Faults
from simulator.apis.hubspot import HubSpot
from simulator.apis.reviews import ReviewsService
from simulator.apis.service import Answer, Call, Service, guarded
from simulator.apis.store import ApiStore

DEFAULT_TOKEN = "simulated-access-token"
LOOPBACK = "127.0.0.1"
STOP_SECONDS = 30


def create_app(store: ApiStore, *, token: str = DEFAULT_TOKEN, faults: Faults | None = None) -> Starlette:
    """HubSpot and the reviews service over one store, behind one bearer token, with the same faults."""
    shown_faults = faults if faults is not None else Faults()
    hubspot, reviews = HubSpot(store), ReviewsService(store)

    def route(path: str, service: Service, handler: Callable[[Call], Answer], method: str = "GET") -> Route:
        endpoint = guarded(service, handler, token=token, faults=shown_faults)
        return Route(path, endpoint, methods=[method])

    contacts = "/crm/v3/objects/contacts"
    return Starlette(
        routes=[
            route(f"{contacts}/search", hubspot, hubspot.search_contacts, "POST"),
            route(f"{contacts}/batch/read", hubspot, hubspot.read_contacts, "POST"),
            route(contacts, hubspot, hubspot.list_contacts),
            route(f"{contacts}/{{contact_id}}", hubspot, hubspot.get_contact),
            # The official client asks with the trailing slash, the documentation shows none.
            route("/marketing/v3/emails", hubspot, hubspot.list_emails),
            route("/marketing/v3/emails/", hubspot, hubspot.list_emails),
            route("/marketing/v3/emails/{email_id}", hubspot, hubspot.get_email),
            route("/email/public/v1/events", hubspot, hubspot.list_events),
            route("/v1/reviews", reviews, reviews.list_reviews),
            route("/v1/reviews/{review_id}", reviews, reviews.get_review),
        ]
    )


@dataclass(frozen=True)
class RunningServer:
    """A server that answers: its address, token and faults."""

    url: str
    token: str
    faults: Faults


def _server(app: Starlette, port: int) -> uvicorn.Server:
    config = uvicorn.Config(app, LOOPBACK, port, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    return uvicorn.Server(config)


def serve(store: ApiStore, port: int, *, token: str = DEFAULT_TOKEN, faults: Faults | None = None) -> None:
    """Serve on loopback until the process is told to end; fit for the main thread of a process."""
    _server(create_app(store, token=token, faults=faults), port).run()


@contextmanager
def running(
    store: ApiStore, *, port: int = 0, token: str = DEFAULT_TOKEN, faults: Faults | None = None
) -> Iterator[RunningServer]:
    """Serve in a thread while the block runs; port 0 takes a free one.

    The socket listens before the thread starts, so an early request waits. Raises OSError if the port is
    taken.
    """
    shown_faults = faults if faults is not None else Faults()
    with socket.create_server((LOOPBACK, port), backlog=128) as listener:
        server = _server(create_app(store, token=token, faults=shown_faults), port)
        thread = threading.Thread(target=server.run, args=([listener],), name="simulated-services", daemon=True)
        thread.start()
        try:
            yield RunningServer(f"http://{LOOPBACK}:{listener.getsockname()[1]}", token, shown_faults)
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
