"""The bus with certificates: every login works over TLS, plain text and strangers are refused on both sides."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import pytest
import pytest_asyncio

from ops.nats.render import CONF, TLS_CONF, variable
from tests.waiting import until
from titan.access import LOGINS, OWNER, SERVICES, inbox_of
from titan.bus import Bus, wait_for_port
from titan.errors import ConfigError
from titan.runtime import Runtime
from titan.servers import Addresses, Kind, Layout, embedded, find_binary
from titan.servers.alive import nats_answers
from titan.testing import free_ports, runtime_for_tests
from titan.tls import TlsFiles, tls_files

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).resolve().parents[3]


def made(folder: Path) -> Path:
    """Certificates of an authority of its own, by the script that operators use."""
    subprocess.run(["bash", ROOT / "ops" / "scripts" / "make_tls.sh", folder], check=True, capture_output=True)
    return folder


def files_of(folder: Path) -> TlsFiles:
    return TlsFiles(ca=folder / "ca.pem", cert=folder / "cert.pem", key=folder / "key.pem")


class Place:
    """A home whose bus speaks TLS."""

    def __init__(self, home: Path, addresses: Addresses, folder: Path) -> None:
        self.home, self.addresses, self.folder = home, addresses, folder

    def runtime(self, tls: TlsFiles | None) -> Runtime:
        made = runtime_for_tests(self.home, nats_url=self.addresses.nats_url)
        return made.model_copy(update={"nats_tls": tls, "fast_lane": False})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory(prefix="titan-tls-") as scratch:
        home = Path(scratch)
        folder = made(home / "tls")
        async with embedded(home, {Kind.NATS}, nats_tls=files_of(folder / "nats")) as addresses:
            yield Place(home, addresses, folder)


@pytest.mark.parametrize("login", [OWNER, *LOGINS])
async def test_every_login_works_over_tls(place: Place, login: str) -> None:
    secret = "nats_password" if login == OWNER else f"nats_{login}"
    client = await nats.connect(
        place.addresses.nats_url, user=login, password=Layout.of(place.home).secret(secret)[0], inbox_prefix=inbox_of(login),
        tls=files_of(place.folder / "titan").client(), tls_handshake_first=True,
    )  # fmt: skip
    assert client.is_connected
    await client.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_connects_its_bus(place: Place, service: str) -> None:
    bus = await Bus.connect(place.runtime(files_of(place.folder / "titan")), service)
    assert bus.connected
    await bus.close()


async def test_the_guardian_sees_that_it_answers(place: Place) -> None:
    port = int(place.addresses.nats_url.rpartition(":")[2])
    login = (port, OWNER, Layout.of(place.home).secret("nats_password")[0])
    assert await nats_answers(*login, files_of(place.folder / "nats").client())
    # Asked in plain text, it says nothing.
    assert not await nats_answers(*login)


async def test_plain_text_is_refused(place: Place) -> None:
    for options in ({}, {"user": OWNER, "password": Layout.of(place.home).secret("nats_password")[0]}):
        with pytest.raises((nats.errors.Error, OSError, TimeoutError)):
            await nats.connect(place.addresses.nats_url, allow_reconnect=False, connect_timeout=2, **options)


async def test_who_shows_no_certificate_or_a_strangers_is_refused(place: Place, tmp_path: Path) -> None:
    stranger = files_of(made(tmp_path / "other") / "titan")
    nothing = ssl.create_default_context(cafile=str(place.folder / "nats" / "ca.pem"))
    foreign = ssl.create_default_context(cafile=str(place.folder / "nats" / "ca.pem"))
    foreign.load_cert_chain(stranger.cert, stranger.key)
    for context in (nothing, foreign):
        with pytest.raises((nats.errors.Error, OSError, ssl.SSLError, TimeoutError)):
            await nats.connect(
                place.addresses.nats_url, allow_reconnect=False, connect_timeout=2, tls=context, tls_handshake_first=True,
                user=OWNER, password=Layout.of(place.home).secret("nats_password")[0],
            )  # fmt: skip


async def test_a_server_of_another_authority_is_not_spoken_to(place: Place, tmp_path: Path) -> None:
    other = files_of(made(tmp_path / "other") / "titan")
    with pytest.raises((nats.errors.Error, OSError, ssl.SSLError, TimeoutError)):
        await nats.connect(
            place.addresses.nats_url,
            allow_reconnect=False,
            connect_timeout=2,
            tls=other.client(),
            tls_handshake_first=True,
        )


async def test_a_client_with_certificates_says_nothing_to_a_plain_server(nats_server: Addresses, place: Place) -> None:
    with pytest.raises((nats.errors.Error, OSError, ssl.SSLError, TimeoutError)):
        await nats.connect(
            nats_server.nats_url, allow_reconnect=False, connect_timeout=2, user=OWNER, password="secret",
            tls=files_of(place.folder / "titan").client(), tls_handshake_first=True,
        )  # fmt: skip


async def test_the_bus_of_compose_speaks_tls_only(tmp_path: Path) -> None:
    port, monitor = free_ports(2)
    folder = made(tmp_path / "tls")
    text = CONF.read_text().replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    (tmp_path / "nats.conf").write_text(
        text.replace("store_dir: /data", f"store_dir: {json.dumps(str(tmp_path / 'data'))}")
    )
    conf = tmp_path / "nats-tls.conf"
    conf.write_text(TLS_CONF.read_text().replace("/etc/titan-tls", str(folder / "nats")))
    names = [variable(name) for name in (OWNER, "sys", *LOGINS)]
    env = {"PATH": "/usr/bin:/bin", **{name: f"k{name.lower()}" for name in names}}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([find_binary(Kind.NATS).path, "-c", conf], env=env, stdout=log, stderr=log)
    try:
        url = f"nats://127.0.0.1:{port}"
        await wait_for_port(url, 20)
        context = files_of(folder / "titan").client()
        for login in (OWNER, *LOGINS):
            client = await nats.connect(
                url, user=login, password=f"k{variable(login).lower()}", tls=context, tls_handshake_first=True
            )
            await client.close()
        with pytest.raises((nats.errors.Error, OSError, TimeoutError)):
            await nats.connect(
                url, user=OWNER, password=f"k{variable(OWNER).lower()}", allow_reconnect=False, connect_timeout=2
            )
        await until(lambda: re.search(r"(?i)tls handshake error", (tmp_path / "log").read_text()))
    finally:
        server.terminate()
        server.wait(20)


async def test_settings_that_do_not_fit_are_one_sentence(tmp_path: Path) -> None:
    folder = made(tmp_path / "tls")
    mine, other = files_of(folder / "nats"), files_of(folder / "titan")
    assert tls_files("", "", "") is None
    assert tls_files(str(mine.ca), str(mine.cert), str(mine.key)) == mine
    with pytest.raises(ConfigError, match="TITAN_NATS_TLS_KEY is empty"):
        tls_files(str(mine.ca), str(mine.cert), "")
    with pytest.raises(ConfigError, match="can't be used"):
        tls_files(str(mine.ca), str(mine.cert), str(other.key))
    with pytest.raises(ConfigError, match="can't be used"):
        tls_files(str(tmp_path / "none"), str(mine.cert), str(mine.key))
