"""The production bus as its server reads it: the committed file, passwords from the environment, one login a service."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.msg import Msg

from ops.nats.render import CONF, variable
from titan import subjects
from titan.access import LOGINS, OWNER, inbox_of
from titan.bus import wait_for_port
from titan.servers.binaries import Kind, find_binary
from titan.testing import free_ports

# As make_env.sh makes them: a letter, then hexadecimal digits, some of which alone would read as a number.
PASSWORDS = {name: f"k{number}e{'0123456789abcdef' * 4}" for number, name in enumerate((OWNER, "sys", *LOGINS))}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server with the committed configuration; only its addresses and its folder are others."""
    port, monitor = free_ports(2)
    text = CONF.read_text().replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    conf = tmp_path / "nats.conf"
    conf.write_text(text.replace("store_dir: /data", f"store_dir: {json.dumps(str(tmp_path / 'data'))}"))
    env = {"PATH": "/usr/bin:/bin", **{variable(name): password for name, password in PASSWORDS.items()}}
    server = subprocess.Popen(
        [find_binary(Kind.NATS).path, "-c", conf], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield f"nats://127.0.0.1:{port}"
    server.terminate()
    server.wait(20)


def test_the_file_holds_no_password() -> None:
    assert all(word.startswith("$NATS_") for word in re.findall(r"password: (\S+?)[,\s}]", CONF.read_text()))


async def test_every_login_works_with_its_own_password_and_no_other(url: str) -> None:
    await wait_for_port(url, 20)
    for name in (OWNER, *LOGINS):
        client = await nats.connect(url, user=name, password=PASSWORDS[name])
        await client.close()
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await nats.connect(url, user="scavenger", password=PASSWORDS["brain"], allow_reconnect=False)


async def test_a_phase_can_not_place_an_order_nor_delete_a_stream(url: str) -> None:
    await wait_for_port(url, 20)
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        refused.append(str(error))

    owner = await nats.connect(url, user=OWNER, password=PASSWORDS[OWNER])
    heard: list[bytes] = []

    async def on_order(message: Msg) -> None:
        heard.append(message.data)

    await owner.subscribe(subjects.INTENT_PLACE_ALL, cb=on_order)
    await owner.flush()
    for name in ("scavenger", "brain"):
        client = await nats.connect(
            url, user=name, password=PASSWORDS[name], error_cb=on_error, inbox_prefix=inbox_of(name)
        )
        await client.publish(subjects.intent_place("bybit", "main", "BTC/USDT:USDT"), name.encode())
        await client.publish("$JS.API.STREAM.DELETE.TITAN_EVT", b"")
        # The second answer comes after whatever the server said of the first.
        await client.flush()
        await client.flush()
        await client.close()
    for _ in range(200):
        if heard:
            break
        await asyncio.sleep(0.05)
    await owner.flush()
    assert heard == [b"brain"]
    assert sum("stream.delete" in said.lower() for said in refused) == 2
    assert sum("place" in said.lower() for said in refused) == 1
    await owner.close()
