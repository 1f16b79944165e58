"""Real NATS with JetStream, PostgreSQL and Redis or Valkey under TITAN_HOME, started, watched and stopped by Titan.

A guardian builds a spec with `nats.build`, `postgres.build` or `redis.build` and runs it with `ServerProcess.start`; tests and
tools use `embedded`. Guarantees: no root, no container engine, loopback only, ports remembered from start to start, data kept
across any process death, nothing left running. Never: a download, an imitation of a server.
"""

from titan.servers.binaries import Kind, Origin, ServerBinary, find_binary
from titan.servers.embedded import Addresses, embedded
from titan.servers.layout import Layout
from titan.servers.nats import NatsServer, NatsUser
from titan.servers.ports import LOOPBACK, PortBook, free_port, holder, is_free
from titan.servers.postgres import PostgresServer
from titan.servers.process import AlreadyRunning, ServerFailed, ServerProcess
from titan.servers.redis import RedisServer
from titan.servers.spec import ServerSpec

__all__ = [
    "LOOPBACK",
    "Addresses",
    "AlreadyRunning",
    "Kind",
    "Layout",
    "NatsServer",
    "NatsUser",
    "Origin",
    "PortBook",
    "PostgresServer",
    "RedisServer",
    "ServerBinary",
    "ServerFailed",
    "ServerProcess",
    "ServerSpec",
    "embedded",
    "find_binary",
    "free_port",
    "holder",
    "is_free",
]
