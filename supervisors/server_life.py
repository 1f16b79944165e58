"""The guardian's servers as supervised children: NATS, PostgreSQL, Redis and the paper venue as plain processes.

Guarantees: a server that comes back listens on the port it had, so that its clients find it again; a start that is given up
leaves nothing. Never: a server of the live profile, which somebody else runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from supervisors.launch import LaunchPlan
from supervisors.ray_node import CHECKOUT
from titan.errors import ConfigError
from titan.runtime import VenueAddress
from titan.servers import LOOPBACK, Layout, PortBook, ServerFailed, ServerProcess, ServerSpec, nats, postgres, redis
from titan.servers.alive import http_answers
from titan.servers.probe import ask
from titan.servers.spec import bare_env

NATS, POSTGRES, REDIS, VENUE = "nats", "postgres", "redis", "paper_venue"
SERVERS = (NATS, POSTGRES, REDIS, VENUE)
# How long each may leave questions unanswered; a checkpoint of PostgreSQL on a slow disk is no death.
SILENCE_MS = {NATS: 4_000, POSTGRES: 10_000, REDIS: 4_000, VENUE: 5_000}
CREDENTIALS_FILE = "paper_credentials.json"
BAD_CONFIG_MARK = "exit code 4"


@dataclass(slots=True)
class ServerAddresses:
    """How to reach what has been started."""

    nats_url: str = ""
    postgres_dsn: str = ""
    redis_url: str = ""
    venue: VenueAddress | None = None
    ports: dict[str, int] = field(default_factory=dict)


class ServerLife:
    """One server process."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def spec(self) -> ServerSpec:
        """What it was started from, with the questions it can be asked."""
        return self._process.spec

    async def ready(self) -> None:
        """A server that was started is Ready."""

    async def ended(self) -> tuple[bool, str]:
        """Returns when it is gone."""
        code = await self._process.wait()
        if self._process.stopping:
            return True, "stopped"
        return (
            False,
            f"{self._process.spec.name} ended with exit code {code}" if code >= 0 else f"killed by signal {-code}",
        )

    async def stop(self) -> None:
        """Stops it in its own orderly way."""
        await self._process.stop()

    def kill(self) -> None:
        """SIGKILL to the server and its children."""
        if self._process.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class ServerLauncher:
    """Starts the servers of one plan."""

    def __init__(self, plan: LaunchPlan) -> None:
        self._plan = plan
        self._layout = Layout.of(plan.home)
        self._book = PortBook(self._layout.run)
        self.addresses = ServerAddresses()
        self._builders: dict[str, Callable[[], ServerSpec]] = {
            NATS: self._nats,
            POSTGRES: self._postgres,
            REDIS: self._redis,
            VENUE: self._venue,
        }

    async def launch(self, name: str) -> ServerLife:
        """Starts a server and waits until it works. Errors: TitanError with one sentence."""
        # Making a database cluster takes a second: not on the loop.
        spec = await asyncio.to_thread(self._builders[name])
        try:
            process = await ServerProcess.start(spec)
        except ServerFailed as error:
            if name == VENUE and BAD_CONFIG_MARK in str(error):
                raise ConfigError(_last_word(spec.log_file)) from error
            raise
        if name == VENUE:
            self.addresses.venue = self._venue_address()
        return ServerLife(process)

    def _wanted(self, name: str) -> int | None:
        return self.addresses.ports.get(name)

    def _nats(self) -> ServerSpec:
        server = nats.build(self._layout, self._book, port=self._wanted(NATS), tls=self._plan.nats_tls)
        to = self.addresses
        to.nats_url = server.url
        to.ports[NATS] = self._book.ports["nats"]
        return server.spec

    def _postgres(self) -> ServerSpec:
        server = postgres.build(self._layout, self._book, port=self._wanted(POSTGRES))
        self.addresses.postgres_dsn = server.dsn
        self.addresses.ports[POSTGRES] = self._book.ports["postgres"]
        return server.spec

    def _redis(self) -> ServerSpec:
        server = redis.build(self._layout, self._book, port=self._wanted(REDIS))
        self.addresses.redis_url = server.url
        self.addresses.ports[REDIS] = self._book.ports["redis"]
        return server.spec

    def _venue(self) -> ServerSpec:
        plan, ports = self._plan, self.addresses.ports
        ports["paper"] = self._book.claim("paper", ports.get("paper"))
        ports["paper_admin"] = self._book.claim("paper_admin", ports.get("paper_admin"))
        admin = ports["paper_admin"]

        async def ready() -> bool:
            return b" 200 " in (await ask(admin, b"GET /health HTTP/1.0\r\n\r\n", b"\r\n")).split(b"\r\n", 1)[0]

        data_dir = self._layout.data / "paper"
        data_dir.mkdir(exist_ok=True)
        return ServerSpec(
            name=VENUE,
            argv=(sys.executable, "-m", "titan.paper", *venue_arguments(plan, ports["paper"], admin)),
            env={**bare_env(), "PYTHONPATH": str(CHECKOUT), "PYTHONUTF8": "1"},
            cwd=CHECKOUT,
            data_dir=data_dir,
            log_file=self._layout.log_file(VENUE),
            run_dir=self._layout.run,
            ready=ready,
            alive=partial(http_answers, admin, "/health"),
            ports=(ports["paper"], admin),
            start_timeout_s=60.0,
        )

    def _venue_address(self) -> VenueAddress:
        ports = self.addresses.ports
        raw = json.loads((self._layout.run / CREDENTIALS_FILE).read_text())
        return VenueAddress(
            name=self._plan.venue,
            rest_url=f"http://{LOOPBACK}:{ports['paper']}",
            ws_url=f"ws://{LOOPBACK}:{ports['paper']}",
            api_key=str(raw["api_key"]),
            api_secret=str(raw["api_secret"]),
            paper=True,
            admin_url=f"http://{LOOPBACK}:{ports['paper_admin']}",
        )


def venue_arguments(plan: LaunchPlan, port: int, admin_port: int) -> tuple[str, ...]:
    """The command line of the paper venue."""
    arguments = ["--feed", plan.feed, "--home", str(plan.home), "--speed", f"{plan.speed:g}"]
    arguments += ["--port", str(port), "--admin-port", str(admin_port), "--balance", plan.balance]
    arguments += ["--speaks", plan.venue]
    if plan.warmup_file is not None:
        arguments += ["--warmup-file", str(plan.warmup_file)]
    if plan.symbols:
        arguments += ["--symbols", *plan.symbols]
    return tuple(arguments)


def _last_word(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("titan.paper: ")]
    return lines[-1].removeprefix("titan.paper: ") if lines else f"the paper venue refused its configuration; see {log}"
