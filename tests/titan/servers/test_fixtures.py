"""The session's servers answer real clients."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import nats
from redis.asyncio import Redis

from titan.servers import Addresses


async def test_the_bus_keeps_a_message_in_a_stream(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    try:
        name = f"T{uuid4().hex}"
        stream = client.jetstream()
        await stream.add_stream(name=name, subjects=[f"{name}.>"])
        ack = await stream.publish(f"{name}.a", b"kept")
        assert (await stream.get_msg(name, ack.seq)).data == b"kept"
        await stream.delete_stream(name)
    finally:
        await client.close()


async def test_every_test_gets_a_database_of_its_own(pg_dsn: str) -> None:
    connection = await asyncpg.connect(pg_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert (await connection.fetchval("SELECT current_database()")).startswith("test_")
    finally:
        await connection.close()


async def test_the_session_shares_one_set_of_servers(servers: Addresses, redis_url: str) -> None:
    assert servers.redis_url == redis_url
    client = Redis.from_url(redis_url)
    try:
        assert await client.ping()
    finally:
        await client.aclose()
