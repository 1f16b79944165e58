"""From the environment and the flags to one launch plan.

Guarantees: everything a start can refuse before it starts anything is refused here, with one sentence: unknown
settings, a taken port, an unreadable feed, a missing policy, live trading without its confirmation.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from supervisors.launch import ExternalServers, LaunchPlan
from supervisors.tree import NODE_ROLES
from titan.access import SERVICES
from titan.errors import ConfigError, Rejected
from titan.files import write_private
from titan.paper.feeds import FeedError, open_feed
from titan.policy import load_policy
from titan.runtime import DEFAULT_PORTS, ApiTokens, HmacKey, VenueAddress
from titan.servers import Layout, PortBook
from titan.settings import LIVE_CONFIRMATION, Settings
from titan.tls import tls_files

ROOT = Path(__file__).resolve().parents[2]
FAST_SPEED = 60.0
PROBE_TIMEOUT_S = 3.0
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d)?$")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Flags:
    """What was typed; None leaves the environment's say."""

    home: Path
    profile: str | None = None
    feed: str | None = None
    speed: float | None = None
    symbols: str | None = None
    warmup: Path | None = None
    dashboard: bool | None = None


def parse_duration(text: str) -> float:
    """Seconds of a duration like 90, 120s, 5m or 2h. Raises ConfigError."""
    found = _DURATION.match(text.strip().lower())
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"{text!r} is not a duration; write it like 90s, 5m or 2h")
    return float(found[1]) * _UNIT_S[found[2] or "s"]


def choose_feed(spec: str) -> str:
    """Resolves `auto`: public data of a live exchange when one answers within three seconds, else synthetic:1."""
    if spec != "auto":
        return spec
    from titan.paper.feeds.live import probe_live  # ccxt takes a second to import; only this branch needs it

    return "synthetic:1" if asyncio.run(probe_live(PROBE_TIMEOUT_S)) is None else "live"


def feed_symbols(spec: str, symbols: tuple[str, ...], warmup: Path | None) -> tuple[str, ...]:
    """Opens the feed once, so that a bad file is refused before anything starts; the symbols it will trade.

    Raises ConfigError.
    """
    try:
        feed = open_feed(spec, symbols=symbols, warmup_file=warmup)
    except FeedError as error:
        raise ConfigError(str(error)) from error
    return tuple(instrument.symbol for instrument in feed.instruments)


def confirm_live(settings: Settings) -> None:
    """Raises Rejected unless live trading was confirmed by an explicit act."""
    if settings.live_confirm == LIVE_CONFIRMATION:
        return
    if sys.stdin.isatty():
        answer = input(f"Live mode trades real money. Type {LIVE_CONFIRMATION} to go on: ")
        if answer.strip() == LIVE_CONFIRMATION:
            return
    raise Rejected(
        "LIVE_NOT_CONFIRMED", f"live mode needs the typed confirmation, or TITAN_LIVE_CONFIRM={LIVE_CONFIRMATION}"
    )


def policy_file(path: Path) -> Path:
    """The policy file, found beside the code when the relative path is not below the working directory."""
    found = path if path.is_absolute() or path.exists() else ROOT / path
    load_policy(found)
    return found.resolve()


def _ports(settings: Settings, layout: Layout) -> dict[str, int]:
    book = PortBook(layout.run)
    return {name: book.claim(name, None if settings.ports == "auto" else port) for name, port in DEFAULT_PORTS.items()}


def _keys(settings: Settings, layout: Layout, *, live: bool) -> tuple[HmacKey, HmacKey | None]:
    secret = settings.hmac_secret.get_secret_value()
    if not secret:
        if live:
            raise ConfigError("HMAC_SECRET is empty: live mode refuses to start without a signing secret")
        secret = layout.secret("hmac")[0]
    following = settings.hmac_secret_next.get_secret_value()
    if following and not settings.hmac_key_id_next:
        raise ConfigError("HMAC_SECRET_NEXT is set without HMAC_KEY_ID_NEXT: name the second key")
    if following and settings.hmac_key_id_next == settings.hmac_key_id:
        raise ConfigError("HMAC_KEY_ID_NEXT equals HMAC_KEY_ID: two live keys need two names")
    current = HmacKey(key_id=settings.hmac_key_id, secret=secret)
    return current, HmacKey(key_id=settings.hmac_key_id_next, secret=following) if following else None


def external_dsn(settings: Settings) -> str:
    """The address of the live profile's ledger with its password in it; empty when there is none."""
    dsn = settings.db_url.get_secret_value()
    password = settings.db_password.get_secret_value()
    parts = urlsplit(dsn)
    if dsn and password and parts.password is None:
        host = parts.netloc.rpartition("@")[2]
        dsn = urlunsplit(parts._replace(netloc=f"{parts.username or 'titan'}:{quote(password, safe='')}@{host}"))
    return dsn


def _external(settings: Settings) -> ExternalServers:
    dsn = external_dsn(settings)
    missing = [name for name, value in (("TITAN_DB_URL", dsn), ("NATS_URL", settings.nats_url)) if not value]
    if missing:
        raise ConfigError(f"live mode needs {' and '.join(missing)}: set them in the environment or .env")
    return ExternalServers(
        nats_url=settings.nats_url,
        nats_user=settings.nats_user,
        nats_password=settings.nats_pass.get_secret_value(),
        postgres_dsn=dsn,
        redis_url=settings.redis_url.get_secret_value(),
    )


def _keep_logins(settings: Settings, layout: Layout) -> None:
    """Puts the services' passwords at the bus where the actors look for them. Raises ConfigError naming those that lack."""
    if settings.nats_user:
        return
    given = {name: getattr(settings, f"nats_{name}_password").get_secret_value() for name in SERVICES}
    missing = [f"NATS_{name.upper()}_PASSWORD" for name, password in given.items() if not password]
    if missing:
        raise ConfigError(
            f"live mode needs a login at the bus for each service: set {', '.join(missing)}, or NATS_USER"
        )
    for name, password in given.items():
        write_private(layout.secrets / f"nats_{name}", password + "\n")


def _live_venues(settings: Settings) -> tuple[VenueAddress, ...]:
    name = settings.venue
    key, secret = (getattr(settings, f"{name}_api_{part}").get_secret_value() for part in ("key", "secret"))
    if not key or not secret:
        raise ConfigError(f"live mode at {name} needs {name.upper()}_API_KEY and {name.upper()}_API_SECRET")
    return (VenueAddress(name=name, api_key=key, api_secret=secret),)


def _memory(settings: Settings) -> dict[str, int]:
    warn, recycle = settings.memory_warn_mb, settings.memory_recycle_mb
    if 0 < recycle <= warn:
        raise ConfigError(
            f"TITAN_MEMORY_RECYCLE_MB={recycle} is not above TITAN_MEMORY_WARN_MB={warn}: a person would never be warned "
            "before an actor is restarted; raise it, or set 0 for never"
        )
    return {"memory_warn_mb": warn, "memory_recycle_mb": recycle}


def _nodes(text: str) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [role for role in roles if role not in NODE_ROLES]
    if unknown:
        raise ConfigError(f"TITAN_NODES names {', '.join(unknown)}; known: {', '.join(NODE_ROLES)}")
    return roles


def _bind(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ConfigError(f"TITAN_BIND={text!r} is no IP address; take 127.0.0.1 or, in a container, 0.0.0.0") from None


def _balance(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ConfigError(f"TITAN_BALANCE={text!r} is not a number") from None
    if not value.is_finite() or value <= 0:
        raise ConfigError(f"TITAN_BALANCE={text} must be above zero")
    return text


def make_plan(settings: Settings, flags: Flags) -> LaunchPlan:
    """The plan for this start. Raises ConfigError, PortTaken or Rejected; nothing has been started then."""
    profile = flags.profile or settings.profile
    if profile not in ("paper", "live"):
        raise ConfigError(f"unknown profile {profile!r}; known: paper, live")
    live = profile == "live"
    if live:
        confirm_live(settings)
    symbols = tuple(part.strip() for part in (flags.symbols or settings.symbols).split(",") if part.strip())
    layout = Layout.of(flags.home)
    policy_path = policy_file(settings.policy)
    if live:
        feed, speed = "live", 1.0
        if flags.speed not in (None, 1.0):
            raise ConfigError(f"live mode runs at speed 1, got {flags.speed:g}")
        symbols = symbols or ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
    else:
        feed = choose_feed(flags.feed or settings.feed)
        symbols = feed_symbols(feed, symbols, flags.warmup)
        speed = flags.speed if flags.speed is not None else settings.speed
        if not 0 <= speed <= 1000:
            raise ConfigError(f"speed {speed:g} is outside 0..1000")
        speed = speed or (1.0 if feed == "live" else FAST_SPEED)
        if feed == "live" and speed != 1.0:
            raise ConfigError(f"a live feed runs at speed 1, got {speed:g}")
    current, following = _keys(settings, layout, live=live)
    plan = LaunchPlan.model_validate(
        {
            "home": flags.home,
            "profile": profile,
            "feed": feed,
            "speed": speed,
            "symbols": symbols,
            "warmup_file": flags.warmup,
            "balance": _balance(settings.balance),
            "venue": settings.venue,
            "dashboard": settings.dashboard if flags.dashboard is None else flags.dashboard,
            "routing": settings.routing,
            "router_cpu": settings.router_cpu,
            "spares": settings.spares,
            "fast_lane": settings.fast_lane,
            "external_orders": settings.external_orders,
            "ports": _ports(settings, layout),
            "log_level": settings.log_level,
            "nodes": _nodes(settings.nodes),
            "bind": _bind(settings.bind),
            **_memory(settings),
            "auto_arm": not live,
            "traces_url": settings.traces_url,
            "nats_tls": tls_files(settings.nats_tls_ca, settings.nats_tls_cert, settings.nats_tls_key),
            "execution_mode": settings.execution_mode,
            "router_standby": settings.router_standby,
            "hmac_key": current,
            "hmac_key_next": following,
            "api_tokens": ApiTokens(
                observer=layout.secret("token-observer")[0],
                operator=layout.secret("token-operator")[0],
                risk_owner=layout.secret("token-risk-owner")[0],
            ),
            "policy_path": policy_path,
            "external": _external(settings) if live else None,
            "venues": _live_venues(settings) if live else (),
        }
    )
    if live:
        _keep_logins(settings, layout)
    return plan
