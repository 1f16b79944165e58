"""What a running Titan is: addresses, keys and choices, resolved once by the guardian and read by every actor.

Guarantees: one file `<home>/run/runtime.json` (mode 0600) describes the run; an actor needs nothing but its home to
start. Never: defaults that guess an address.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from titan.access import OWNER
from titan.errors import ConfigError, NotRunning
from titan.files import private_dir, write_private
from titan.ledger_access import LedgerLogin, role_of, secret_name, with_login
from titan.tls import TlsFiles

RUNTIME_FILE = "runtime.json"
OWNER_SECRET = "nats_password"
DEFAULT_PORTS = {
    "brain_http": 3100,
    "execution_http": 3002,
    "execution_loopback": 8080,
    "scavenger_http": 8081,
    "market_data_http": 8085,
    "router_http": 8086,
    "router_standby_http": 8087,
    "gateway_grpc": 50051,
    "gateway_http": 5173,
}
"""Every listener of the actors by name, with the port that the documentation gives it."""
Profile = Literal["paper", "live"]


class VenueAddress(BaseModel):
    """Where a venue answers and with which keys. Empty URLs mean the exchange's own."""

    model_config = ConfigDict(frozen=True)

    name: str
    account: str = "main"
    rest_url: str = ""
    ws_url: str = ""
    api_key: str = ""
    api_secret: str = ""
    paper: bool = False
    admin_url: str = ""


class HmacKey(BaseModel):
    """One signing key of the bus."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    secret: str


class ApiTokens(BaseModel):
    """Bearer tokens by role; an empty token admits nobody."""

    model_config = ConfigDict(frozen=True)

    observer: str = ""
    operator: str = ""
    risk_owner: str = ""


class Runtime(BaseModel):
    """A resolved run."""

    model_config = ConfigDict(frozen=True)

    home: Path
    profile: Profile = "paper"
    feed: str = ""
    speed: float = 1.0
    symbols: tuple[str, ...] = ("BTC/USDT:USDT",)
    venues: tuple[VenueAddress, ...] = ()
    nats_url: str = ""
    nats_user: str = ""
    nats_password: str = ""
    nats_tls: TlsFiles | None = None
    postgres_dsn: str = ""
    redis_url: str = ""
    ports: dict[str, int] = Field(default_factory=dict)
    hmac_key: HmacKey
    hmac_key_next: HmacKey | None = None
    policy_path: Path
    routing: str = ""
    router_cpu: str = "auto"
    fast_lane: bool = True
    external_orders: Literal["adopt", "flag", "cancel"] = "flag"
    execution_mode: Literal["active", "standby"] = "active"
    auto_arm: bool = True
    traces_url: str = ""
    dashboard: bool = False
    dashboard_url: str = ""
    api_tokens: ApiTokens = ApiTokens()
    started_ms: int = 0
    log_level: str = "INFO"
    bind: str = "127.0.0.1"
    memory_warn_mb: int = 400
    memory_recycle_mb: int = 500
    spares: int = 0

    @property
    def run_dir(self) -> Path:
        """Ports, pids, sockets, secrets of this run."""
        return self.home / "run"

    @property
    def log_dir(self) -> Path:
        """JSON lines, one file an actor."""
        return self.home / "logs"

    @property
    def data_dir(self) -> Path:
        """The embedded servers' data."""
        return self.home / "data"

    @property
    def journal_path(self) -> Path:
        """The router's journal."""
        return self.home / "journal" / "titan_execution.db"

    @property
    def heartbeat_socket(self) -> Path:
        """Where actors of this node send their heartbeats. The guardian refuses a home that is too long for a socket."""
        return self.run_dir / "heartbeat.sock"

    @property
    def lane_dir(self) -> Path:
        """The sockets of the fast lanes."""
        return self.run_dir / "lanes"

    def nats_login(self, service: str) -> tuple[str, str]:
        """User and password of a service: one login for all when the run names one, else the service's own.

        Raises ConfigError for a service that the bus has no login for.
        """
        if self.nats_user:
            return self.nats_user, self.nats_password
        path = self.run_dir / "secrets" / f"nats_{service}"
        try:
            return service, path.read_text().strip()
        except FileNotFoundError:
            raise ConfigError(
                f"{service} has no login at the bus ({path} is absent): add it to the subjects it uses in titan/subjects.py"
            ) from None

    def ledger(self, login: str) -> LedgerLogin:
        """How a service reaches the ledger: as its own role, or with the login that the run's address carries for all.

        Raises ValueError for a login that the ledger has no role for.
        """
        role = role_of(login)
        if not self.postgres_dsn or urlsplit(self.postgres_dsn).username:
            return LedgerLogin(self.postgres_dsn)
        return LedgerLogin(with_login(self.postgres_dsn, role.name), self.run_dir / "secrets" / secret_name(role.login))

    def as_owner(self) -> Runtime:
        """The same run with the login that may do everything: for tools and tests. Raises ConfigError without one."""
        path = self.run_dir / "secrets" / OWNER_SECRET
        try:
            return self.model_copy(update={"nats_user": OWNER, "nats_password": path.read_text().strip()})
        except FileNotFoundError:
            raise ConfigError(f"{path} is absent: the owner's login is kept where the embedded NATS runs") from None

    @property
    def venue(self) -> VenueAddress:
        """The first venue."""
        return self.venues[0]

    def save(self) -> Path:
        """Writes the file in one step, readable by its owner only."""
        path = private_dir(self.run_dir) / RUNTIME_FILE
        write_private(path, self.model_dump_json(indent=1))
        return path

    @classmethod
    def load(cls, home: Path) -> Runtime:
        """The run recorded under `home`. Raises NotRunning when there is none."""
        path = home / "run" / RUNTIME_FILE
        try:
            raw = json.loads(path.read_text())
        except FileNotFoundError:
            raise NotRunning(f"no Titan is running under {home} ({path} is absent); start it with: titan up") from None
        return cls.model_validate(raw)
