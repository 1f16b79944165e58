"""What the operator asked for, resolved and checked: the guardian's only input.

Guarantees: `<home>/run/launch.json` (mode 0600) holds everything a guardian needs to start, so it can be restarted by
an init system without a terminal. Never: a default that depends on the environment; those are resolved before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from titan.errors import ConfigError
from titan.files import private_dir, write_private
from titan.runtime import ApiTokens, HmacKey, Profile, VenueAddress
from titan.servers.ports import LOOPBACK
from titan.tls import TlsFiles

LAUNCH_FILE = "launch.json"


class ExternalServers(BaseModel):
    """Addresses of servers that somebody else runs (live profile). All are needed but Redis."""

    model_config = ConfigDict(frozen=True)

    nats_url: str
    nats_user: str = ""
    nats_password: str = ""
    postgres_dsn: str
    redis_url: str = ""


class LaunchPlan(BaseModel):
    """One start of Titan. What it does not know is refused: a setting that it would drop reaches no actor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    profile: Profile = "paper"
    feed: str
    speed: float = Field(gt=0)
    symbols: tuple[str, ...] = ()
    warmup_file: Path | None = None
    balance: str = "100000"
    venue: str = "bybit"
    dashboard: bool = True
    dashboard_port: int = 8265
    routing: str = ""
    router_cpu: str = "auto"
    ports: dict[str, int]
    log_level: str = "INFO"
    traces_url: str = ""
    memory_warn_mb: int = Field(default=400, gt=0)
    memory_recycle_mb: int = Field(default=500, ge=0)
    spares: int = Field(default=0, ge=0)
    auto_arm: bool = True
    execution_mode: Literal["active", "standby"] = "active"
    router_standby: bool = False
    hmac_key: HmacKey
    hmac_key_next: HmacKey | None = None
    api_tokens: ApiTokens
    policy_path: Path
    nats_tls: TlsFiles | None = None
    external: ExternalServers | None = None
    venues: tuple[VenueAddress, ...] = ()
    nodes: tuple[str, ...] = ()
    fast_lane: bool = True
    external_orders: Literal["adopt", "flag", "cancel"] = "flag"
    bind: str = LOOPBACK

    def save(self) -> Path:
        """Writes the plan in one step, readable by its owner only."""
        path = private_dir(self.home / "run") / LAUNCH_FILE
        write_private(path, self.model_dump_json(indent=1))
        return path

    @classmethod
    def load(cls, home: Path) -> LaunchPlan:
        """The plan under `home`. Raises ConfigError when there is none."""
        path = home / "run" / LAUNCH_FILE
        try:
            raw = json.loads(path.read_text())
        except FileNotFoundError:
            raise ConfigError(f"{path} is absent: start Titan with `titan up`, which writes it") from None
        return cls.model_validate(raw)
