"""The edge as a client meets it: a real Traefik with the production configuration, on loopback."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ops.build.deployment import ROOT
from ops.build.edge import DOMAIN, Edge, started
from ops.build.tools import find

pytestmark = pytest.mark.skipif(find("traefik") is None, reason="traefik is not here: ops/build/tools.py")


class Gateway(BaseHTTPRequestHandler):
    """Stands in for the gateway's health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Powered-By", "python")
        self.end_headers()
        self.wfile.write(b'{"status": "healthy"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Says nothing."""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with started(ROOT, f"http://127.0.0.1:{server.server_port}") as running:
        yield running
    server.shutdown()


class Client(http.client.HTTPSConnection):
    """Speaks to the loopback port by the name that production has."""

    def __init__(self, edge: Edge) -> None:
        # On loopback there is no authority: the certificate is Traefik's own.
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        super().__init__(DOMAIN, edge.ports["websecure"], context=self.tls, timeout=20)

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sock = self.tls.wrap_socket(plain, server_hostname=DOMAIN)


def ask(
    edge: Edge, path: str, *, host: str = DOMAIN, method: str = "GET", client: Client | None = None
) -> http.client.HTTPResponse:
    connection = client or Client(edge)
    connection.request(method, path, headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    return answer


def test_every_router_is_enabled(edge: Edge) -> None:
    assert edge.problems() == []


def test_health_is_served_with_the_headers_of_the_edge(edge: Edge) -> None:
    answer = ask(edge, "/health")
    assert answer.status == 200
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "X-Powered-By" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/health/live", "/api/http/routers", "/dashboard/", "/admin/override"]
)
def test_nothing_else_is_let_through(edge: Edge, path: str) -> None:
    assert ask(edge, path).status == 404


def test_another_name_or_method_is_not_served(edge: Edge) -> None:
    assert ask(edge, "/health", host="elsewhere.test").status in {404, 421}
    assert ask(edge, "/health", method="POST").status == 404


def test_plain_http_is_sent_to_https(edge: Edge) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", edge.ports["web"], timeout=10)
    connection.request("GET", "/health", headers={"Host": DOMAIN})
    answer = connection.getresponse()
    assert answer.status in {301, 308}
    assert answer.headers["Location"].startswith(f"https://{DOMAIN}")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(edge: Edge) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    connection = http.client.HTTPSConnection("127.0.0.1", edge.ports["websecure"], context=old, timeout=10)
    with pytest.raises((ssl.SSLError, OSError)):
        connection.request("GET", "/health", headers={"Host": DOMAIN})


def test_a_flood_from_one_address_is_slowed(edge: Edge) -> None:
    # Bounded: the limit is ten a second with a burst of five. One connection, so that a slow machine is fast enough.
    client = Client(edge)
    assert 429 in {ask(edge, "/health", client=client).status for _ in range(100)}
