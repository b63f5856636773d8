"""A TCP proxy before a server, which cuts connections at a moment that the test chooses.

What it cuts is gone without a word, as when a cable is pulled or a firewall forgets a connection: both sides get a
reset. New connections are served as long as the proxy is open. It is a process of its own, as a client may stop all
of Python while it connects.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PIECE_BYTES = 16_384
_NEVER = -1

_processes = get_context("forkserver")


class Proxy:
    """Forwards connections to ``port`` on this machine; ``self.port`` is its own."""

    def __init__(self, port: int) -> None:
        self._received = _processes.Value("q", _NEVER)
        self._sent = _processes.Value("q", _NEVER)
        self._cuts = _processes.Value("q", 0)
        receiver, sender = _processes.Pipe(duplex=False)
        limits = self._received, self._sent, self._cuts
        self._process = _processes.Process(target=_serve, args=(port, sender, limits), daemon=True)
        self._process.start()
        self.port = int(receiver.recv())

    def cut_after_received(self, size: int) -> None:
        """Cut the first connection that has received more than ``size`` bytes from the server; what is more is lost."""
        self._received.value = size

    def cut_after_sent(self, size: int) -> None:
        """Cut the first connection that has sent more than ``size`` bytes to the server."""
        self._sent.value = size

    @property
    def cuts(self) -> int:
        """How many connections were cut."""
        return int(self._cuts.value)

    def close(self) -> None:
        """End the proxy and all its connections."""
        self._process.kill()
        self._process.join()


def _serve(target: int, told: Connection, limits: tuple[Any, Any, Any]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    told.send(listener.getsockname()[1])
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", target))
        threading.Thread(target=_forward, args=(client, server, *limits), daemon=True).start()


def _forward(client: socket.socket, server: socket.socket, received_limit: Any, sent_limit: Any, cuts: Any) -> None:
    others = {client: (server, sent_limit), server: (client, received_limit)}
    passed = {client: 0, server: 0}
    with client, server, suppress(OSError):
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for side in readable:
                data = side.recv(_PIECE_BYTES)
                if not data:
                    return
                other, limit = others[side]
                passed[side] += len(data)
                if limit.value != _NEVER and passed[side] > limit.value:
                    limit.value = _NEVER
                    cuts.value += 1
                    for each in (client, server):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    return
                other.sendall(data)


@contextmanager
def proxied(url: str) -> Iterator[tuple[str, Proxy]]:
    """The URL by way of a proxy, and the proxy."""
    port = url.rpartition("@")[2].partition("/")[0].rpartition(":")[2]
    proxy = Proxy(int(port))
    try:
        yield url.replace(f":{port}/", f":{proxy.port}/"), proxy
    finally:
        proxy.close()
