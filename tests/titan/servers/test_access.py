"""The bus lets every service do what the registry says and nothing else: a real server, every service, every subject."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from titan import subjects
from titan.access import COMMAND, LOGINS, MONITOR, OWNER, SERVICES, access_of, inbox_of
from titan.bus.streams import ensure_streams
from titan.servers import Addresses, Kind, Layout, embedded
from titan.subjects import BUCKETS, CONSUMERS, STREAMS, SUBJECTS

OWN = {subjects.HEARTBEAT_ALL: subjects.heartbeat, subjects.DLQ_ALL: subjects.dead_letter}
CHANGING = ("STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.SNAPSHOT", "STREAM.RESTORE")


class Bench:
    """One server with every login."""

    def __init__(self, home: Path, addresses: Addresses) -> None:
        self.url = addresses.nats_url
        self._layout = Layout.of(home)
        self._open: list[Client] = []
        self.refused: dict[str, list[str]] = {}

    async def connect(self, login: str) -> Client:
        """A client of that login; what the server refuses it is collected in `refused`."""
        secret = "nats_password" if login == OWNER else f"nats_{login}"
        refused = self.refused.setdefault(login, [])

        async def on_error(error: Exception) -> None:
            refused.append(str(error).lower())

        client = await nats.connect(
            self.url,
            user=login,
            password=self._layout.secret(secret)[0],
            inbox_prefix=inbox_of(login),
            error_cb=on_error,
        )
        self._open.append(client)
        return client

    async def settle(self, client: Client) -> None:
        """Waits until the server has answered everything sent so far, refusals included."""
        for _ in range(2):
            await client.flush()

    def was_refused(self, login: str, what: str, subject: str) -> bool:
        """Whether the server refused `publish` or `subscription` of a subject."""
        return any(f'permissions violation for {what} to "{subject.lower()}"' in said for said in self.refused[login])

    async def close(self) -> None:
        for client in self._open:
            await client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="titan-access-") as folder:
        async with embedded(folder, {Kind.NATS}) as addresses:
            made = Bench(Path(folder), addresses)
            owner = await made.connect(OWNER)
            await ensure_streams(owner.jetstream())
            for bucket in BUCKETS:
                await owner.jetstream().create_key_value(bucket=bucket.name, history=1)
            yield made
            await made.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def concrete(pattern: str, login: str) -> str:
    """One subject of a row, as that service would use it."""
    return OWN[pattern](login) if pattern in OWN else pattern.replace(">", "some.tokens")


@pytest.mark.parametrize("login", LOGINS)
async def test_each_login_may_publish_exactly_its_rows(bench: Bench, login: str) -> None:
    client = await bench.connect(login)
    tried = {concrete(spec.pattern, login): login in spec.publishers for spec in SUBJECTS}
    tried |= {concrete(pattern, "somebody_else"): False for pattern in OWN}
    for subject in tried:
        await client.publish(subject, b"")
    await bench.settle(client)
    assert {subject: not bench.was_refused(login, "publish", subject) for subject in tried} == tried


@pytest.mark.parametrize("login", LOGINS)
async def test_each_login_may_subscribe_exactly_its_rows(bench: Bench, login: str) -> None:
    client = await bench.connect(login)
    tried = {spec.pattern: login in spec.subscribers for spec in SUBJECTS}
    tried |= {">": False, "titan.>": False, "_INBOX.>": False, "$JS.>": False, f"{inbox_of(login)}.x": True}
    tried |= {f"{inbox_of(other)}.>": other == login for other in LOGINS}
    for subject in tried:
        await client.subscribe(subject)
    await bench.settle(client)
    assert {subject: not bench.was_refused(login, "subscription", subject) for subject in tried} == tried


@pytest.mark.parametrize("login", LOGINS)
async def test_nobody_but_the_owner_changes_a_stream(bench: Bench, login: str) -> None:
    client = await bench.connect(login)
    stores = [*(stream.name for stream in STREAMS), *(f"KV_{bucket.name}" for bucket in BUCKETS)]
    tried = [f"$JS.API.{verb}.{store}" for verb in CHANGING for store in stores]
    for subject in tried:
        await client.publish(subject, b"{}")
    await bench.settle(client)
    assert [subject for subject in tried if not bench.was_refused(login, "publish", subject)] == []


@pytest.mark.parametrize("login", LOGINS)
async def test_a_durable_consumer_belongs_to_its_service(bench: Bench, login: str) -> None:
    client = await bench.connect(login)
    tried = {}
    for spec in CONSUMERS:
        whom, own = f"{spec.stream}.{spec.durable}", spec.service == login
        tried[f"$JS.API.CONSUMER.CREATE.{whom}.{spec.filter}"] = own
        tried[f"$JS.API.CONSUMER.CREATE.{whom}.titan.evt.brain.regime.v1"] = False
        tried[f"$JS.API.CONSUMER.CREATE.{whom}"] = False
        tried[f"$JS.API.CONSUMER.DURABLE.CREATE.{whom}"] = False
        tried |= {f"$JS.API.CONSUMER.{verb}.{whom}": own for verb in ("DELETE", "MSG.NEXT")}
        tried[f"$JS.ACK.{whom}.1.1.1.1.0"] = own
    for bucket in BUCKETS:
        tried[f"$KV.{bucket.name}.key"] = login in bucket.services
    for subject in tried:
        await client.publish(subject, b"")
    await bench.settle(client)
    assert {subject: not bench.was_refused(login, "publish", subject) for subject in tried} == tried


async def test_the_owner_may_purge_and_delete(bench: Bench) -> None:
    owner = await bench.connect(OWNER)
    await owner.jetstream().add_stream(name="SCRATCH", subjects=["scratch.>"])
    await owner.jetstream().purge_stream("SCRATCH")
    assert await owner.jetstream().delete_stream("SCRATCH")


async def test_a_request_is_answered_into_the_askers_inbox_only(bench: Bench) -> None:
    router, gateway, brain = [await bench.connect(name) for name in ("router", "gateway", "brain")]

    async def answer(message: Msg) -> None:
        await message.respond(b"done")

    await router.subscribe(subjects.OPERATOR_ALL, cb=answer)
    await bench.settle(router)
    assert (await gateway.request(subjects.operator("disarm"), b"why", timeout=5)).data == b"done"
    await brain.publish(f"{inbox_of('gateway')}.guess", b"not asked")
    await bench.settle(brain)
    assert bench.was_refused("brain", "publish", f"{inbox_of('gateway')}.guess")


async def test_the_monitor_lists_streams_and_reads_no_message(bench: Bench) -> None:
    monitor = await bench.connect(MONITOR)
    listed = json.loads((await monitor.request("$JS.API.STREAM.LIST", b"", timeout=5)).data)
    assert {stream.name for stream in STREAMS} <= {each["config"]["name"] for each in listed["streams"]}
    with pytest.raises(nats.errors.TimeoutError):
        await monitor.request("$JS.API.STREAM.MSG.GET.TITAN_EVT", b'{"seq": 1}', timeout=0.3)


async def test_a_wrong_or_missing_password_is_refused(bench: Bench) -> None:
    for wrong in ({"user": "router", "password": "guess"}, {"user": "nobody", "password": ""}, {}):
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await nats.connect(bench.url, allow_reconnect=False, **wrong)


async def test_the_account_has_limits(bench: Bench) -> None:
    owner = await bench.connect(OWNER)
    limits = (await owner.jetstream().account_info()).limits
    assert 0 < limits.max_memory <= 256 * 1024 * 1024
    assert 0 < limits.max_streams <= 64
    assert 0 < limits.max_consumers <= 256


async def test_only_the_services_of_the_registry_have_a_login() -> None:
    assert COMMAND in SERVICES
    assert access_of(COMMAND).subscribe == (f"{inbox_of(COMMAND)}.>",)
    with pytest.raises(ValueError, match="unknown login 'stranger'; known: brain"):
        access_of("stranger")


async def test_streams_of_a_home_without_accounts_are_kept(tmp_path: Path) -> None:
    async with embedded(tmp_path, {Kind.NATS}) as addresses:
        client = await nats.connect(addresses.nats_login_url)
        await client.jetstream().add_stream(name="OLD", subjects=["old.>"])
        await client.jetstream().publish("old.a", b"kept")
        await client.close()
    stores = tmp_path / "data" / "nats" / "jetstream"
    (stores / "TITAN").rename(stores / "$G")
    async with embedded(tmp_path, {Kind.NATS}) as addresses:
        client = await nats.connect(addresses.nats_login_url)
        assert (await client.jetstream().get_msg("OLD", 1)).data == b"kept"
        await client.close()
