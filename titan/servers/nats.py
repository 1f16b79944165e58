"""NATS with JetStream: the bus of one node.

Guarantees: loopback only, every client needs a user and a password, every service has its own and may do what the registry of
subjects says; JetStream keeps its files under `<home>/data/nats`, within limits.
The JetStream acknowledgement is flushed to disk every two minutes (the server's default): it survives the death of the process,
not the loss of power. Titan's truth is the router's journal; `sync_always` pays for more where someone wants it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from titan.access import LOGINS, OWNER, access_of
from titan.files import write_private
from titan.servers.alive import nats_answers, nats_trouble
from titan.servers.binaries import Kind, find_binary
from titan.servers.layout import Layout
from titan.servers.ports import LOOPBACK, PortBook
from titan.servers.probe import ask
from titan.servers.spec import ServerSpec, bare_env
from titan.tls import TlsFiles

USER = OWNER
ACCOUNT = "TITAN"
SYSTEM = "sys"
MAX_STREAMS = 32
MAX_CONSUMERS = 128
# Go lets a heap double before it collects; half of that keeps the bus small, and never above what memory streams may hold.
GO_ENV = {"GOGC": "50", "GOMEMLIMIT": "256MiB"}
MAX_MEMORY_STORE = 192 * 1024 * 1024
MAX_FILE_STORE = 16 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NatsUser:
    """One login and the subjects it may use; None is everything."""

    name: str
    password: str
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None
    replies: bool = False


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A NATS server to run: its spec and how to reach it."""

    spec: ServerSpec
    url: str
    user: str
    password: str
    monitor_url: str


def build(
    layout: Layout,
    book: PortBook,
    *,
    port: int | None = None,
    more_users: Sequence[NatsUser] = (),
    sync_always: bool = False,
    tls: TlsFiles | None = None,
) -> NatsServer:
    """The NATS server of a home. With `tls` every client must prove itself too. Errors: `MissingServer`, `PortTaken`, `ConfigError`."""
    binary = find_binary(Kind.NATS)
    client_port = book.claim("nats", port)
    monitor_port = book.claim("nats_monitor")
    password, _ = layout.secret("nats_password")
    data_dir = layout.data / "nats"
    data_dir.mkdir(exist_ok=True)
    conf = layout.run / "nats.conf"
    users = (NatsUser(USER, password), *service_users(layout), *more_users)
    _move_global_account(data_dir)
    write_private(conf, _conf(layout, client_port, monitor_port, users, sync_always, tls))
    seen = None if tls is None else tls.client()

    async def ready() -> bool:
        # The server listens before JetStream has recovered its streams: only the health page speaks for both.
        page = await ask(monitor_port, b"GET /healthz HTTP/1.0\r\n\r\n", b"\r\n")
        if b" 200 " not in page.split(b"\r\n", 1)[0]:
            return False
        return (await ask(client_port, b"", b"\r\n", tls=seen)).startswith(b"INFO ")

    spec = ServerSpec(
        name=Kind.NATS.value,
        argv=(str(binary.path), "-c", str(conf)),
        env={**bare_env(), **GO_ENV},
        cwd=data_dir,
        data_dir=data_dir,
        log_file=layout.log_file("nats"),
        run_dir=layout.run,
        ready=ready,
        alive=partial(nats_answers, client_port, USER, password, seen),
        trouble=partial(nats_trouble, monitor_port),
        ports=(client_port, monitor_port),
    )
    return NatsServer(spec, f"nats://{LOOPBACK}:{client_port}", USER, password, f"http://{LOOPBACK}:{monitor_port}")


def service_users(layout: Layout) -> tuple[NatsUser, ...]:
    """A login for each service and the monitor, with the permissions of the registry; passwords are made on first use."""
    return tuple(
        NatsUser(may.name, layout.secret(f"nats_{may.name}")[0], may.publish, may.subscribe, may.replies)
        for may in map(access_of, LOGINS)
    )


def _move_global_account(data_dir: Path) -> None:
    """Streams of a home made before there were accounts lie in the nameless one."""
    nameless, named = data_dir / "jetstream" / "$G", data_dir / "jetstream" / ACCOUNT
    if nameless.is_dir() and not named.exists():
        nameless.rename(named)


def _conf(
    layout: Layout, port: int, monitor_port: int, users: Sequence[NatsUser], sync_always: bool, tls: TlsFiles | None
) -> str:
    system, _ = layout.secret("nats_sys")
    return "\n".join(
        [
            "server_name: titan",
            f"listen: {LOOPBACK}:{port}",
            f"http: {LOOPBACK}:{monitor_port}",
            "max_payload: 1MB",
            "jetstream {",
            f"  store_dir: {json.dumps(str(layout.data / 'nats'))}",
            f"  max_memory_store: {MAX_MEMORY_STORE}",
            f"  max_file_store: {MAX_FILE_STORE}",
            *(["  sync_interval: always"] if sync_always else []),
            "}",
            *([] if tls is None else [tls_conf(tls)]),
            accounts_conf(users, json.dumps(system)),
        ]
    )


def tls_conf(files: TlsFiles) -> str:
    """The server's transport: its certificate, and the authority that every client's must be signed by; plain text is refused."""
    return "\n".join(
        [
            "tls {",
            f"  cert_file: {json.dumps(str(files.cert))}",
            f"  key_file: {json.dumps(str(files.key))}",
            f"  ca_file: {json.dumps(str(files.ca))}",
            "  verify: true",
            "  handshake_first: true",
            "  timeout: 5",
            "}",
        ]
    )


def accounts_conf(users: Sequence[NatsUser], system_password: str) -> str:
    """The server's accounts: one for Titan with its limits and logins, one for the server itself."""
    sizes = f"max_mem: {MAX_MEMORY_STORE}, max_file: {MAX_FILE_STORE}"
    counts = f"max_streams: {MAX_STREAMS}, max_consumers: {MAX_CONSUMERS}"
    return "\n".join(
        [
            "accounts {",
            f"  {ACCOUNT} {{",
            f"    jetstream {{ {sizes}, {counts} }}",
            "    users: [",
            *(f"      {_user(user)}" for user in users),
            "    ]",
            "  }",
            f"  SYS {{ users: [ {{ user: {SYSTEM}, password: {system_password} }} ] }}",
            "}",
            "system_account: SYS",
            "",
        ]
    )


def _user(user: NatsUser) -> str:
    allowed: dict[str, object] = {
        what: list(subjects)
        for what, subjects in (("publish", user.publish), ("subscribe", user.subscribe))
        if subjects is not None
    }
    if user.replies:
        allowed["allow_responses"] = {"max": 4, "expires": "2m"}
    # A password that begins with `$` names a variable of the server's environment: the language wants it without quotes.
    password = user.password if user.password.startswith("$") else json.dumps(user.password)
    permissions = f", permissions: {json.dumps(allowed)}" if allowed else ""
    # The server's configuration language reads JSON values.
    return f"{{ user: {json.dumps(user.name)}, password: {password}{permissions} }}"
