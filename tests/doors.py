"""Small HTTP servers on loopback: what tests have programs speak to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypeVar

S = TypeVar("S", bound=HTTPServer)


class Door(BaseHTTPRequestHandler):
    """A handler that treats every request alike and logs nothing; what it answers is its heirs' business."""

    def do_GET(self) -> None:
        """A request without a body."""
        self.respond()

    def do_POST(self) -> None:
        """A request with one."""
        self.respond()

    def respond(self) -> None:
        """Answers one request."""
        raise NotImplementedError

    def body(self) -> bytes:
        """What was sent."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, body: bytes, **headers: str) -> None:
        """Answers with 200; an underscore in a header's name is a hyphen."""
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Says nothing."""


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Has a server answer in a thread for the length of a block."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
