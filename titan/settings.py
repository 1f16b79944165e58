"""Every setting of the environment, read once by the command and never by an actor.

Guarantees: an unknown TITAN_* name is an error that names the nearest known one; a secret may come from NAME_FILE;
`.env` in the working directory is read when it is there, the environment wins. Never: a setting without effect.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from titan.algos.routing import parse_rules
from titan.errors import ConfigError

LIVE_CONFIRMATION = "yes-trade-real-money"
ENV_FILE = ".env"


def _from(name: str, text: str) -> FieldInfo:
    """Where a field comes from, exactly one environment name, and what it is for."""
    field: FieldInfo = Field(validation_alias=name, description=text)
    return field


def _login(service: str) -> FieldInfo:
    """Where the password of a service at the bus comes from."""
    return _from(f"NATS_{service.upper()}_PASSWORD", f"NATS password of {service} in the live profile")


class Settings(BaseSettings):
    """The environment's say. Defaults are the paper profile's."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=True, frozen=True, populate_by_name=False)

    profile: Annotated[
        Literal["paper", "live"], _from("TITAN_PROFILE", "paper trades with play money, live with real")
    ] = "paper"
    home: Annotated[Path, _from("TITAN_HOME", "where ports, journal, data, logs and backups live")] = Path(".titan")
    feed: Annotated[str, _from("TITAN_FEED", "auto, replay:PATH, synthetic:SEED or live")] = "auto"
    speed: Annotated[
        float, _from("TITAN_SPEED", "market seconds per second; 0 chooses 60 for replay and synthetic, 1 for live")
    ] = 0.0
    symbols: Annotated[str, _from("TITAN_SYMBOLS", "comma-separated symbols; empty takes the feed's own")] = ""
    balance: Annotated[str, _from("TITAN_BALANCE", "starting wallet of the paper venue, USDT")] = "100000"
    venue: Annotated[
        Literal["binance", "bybit", "mexc"],
        _from("TITAN_VENUE", "which exchange is traded: binance, bybit or mexc; the paper venue speaks its protocol"),
    ] = "bybit"
    routing: Annotated[
        str,
        _from(
            "TITAN_ROUTING",
            "weights of venues, for all and by source: bybit=2,mexc=1;hunter:binance=1; empty takes each source's defaults",
        ),
    ] = ""
    router_cpu: Annotated[str, _from("TITAN_ROUTER_CPU", "core of the router's event loop: auto, off or a number")] = (
        "auto"
    )
    fast_lane: Annotated[
        bool, _from("TITAN_FAST_LANE", "whether signals and intents take a socket of this node beside the bus")
    ] = True
    external_orders: Annotated[
        Literal["adopt", "flag", "cancel"],
        _from(
            "TITAN_EXTERNAL_ORDERS",
            "what to do with orders on the account that Titan did not make: adopt them as ours, flag them, or cancel "
            "those that could raise risk",
        ),
    ] = "flag"
    execution_mode: Annotated[
        Literal["active", "standby"],
        _from(
            "EXECUTION_MODE",
            "active: this router trades; standby: it follows one elsewhere and trades when that is gone",
        ),
    ] = "active"
    router_standby: Annotated[
        bool, _from("TITAN_ROUTER_STANDBY", "whether a second router stands by on this node (about 150 MB)")
    ] = False
    traces_url: Annotated[
        str,
        _from("TITAN_TRACES_URL", "OTLP/HTTP address for traces, as http://127.0.0.1:4318/v1/traces; empty: no traces"),
    ] = ""
    nodes: Annotated[
        str,
        _from("TITAN_NODES", "comma-separated roles (brain, execution, scavenger) that have Ray nodes of their own"),
    ] = ""
    bind: Annotated[
        str, _from("TITAN_BIND", "address of the actors' HTTP listeners: 0.0.0.0 in a container on private networks")
    ] = "127.0.0.1"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], _from("TITAN_LOG_LEVEL", "what the logs keep")
    ] = "INFO"
    dashboard: Annotated[bool, _from("TITAN_DASHBOARD", "whether Ray's dashboard runs (about 250 MB)")] = True
    memory_warn_mb: Annotated[
        int,
        _from("TITAN_MEMORY_WARN_MB", "resident megabytes of an actor from which on a person is warned"),
        Field(gt=0),
    ] = 400
    memory_recycle_mb: Annotated[
        int,
        _from(
            "TITAN_MEMORY_RECYCLE_MB", "resident megabytes from which on an actor is restarted in order; 0 for never"
        ),
        Field(ge=0),
    ] = 500
    spares: Annotated[
        int,
        _from("TITAN_SPARES", "warm processes in reserve, which make restarts short (about 130 MB each); 0 for none"),
        Field(ge=0, le=3),
    ] = 1
    ports: Annotated[
        Literal["default", "auto"],
        _from("TITAN_PORTS", "default: the documented ports; auto: free ones, recorded in run/ports.json"),
    ] = "default"
    policy: Annotated[Path, _from("TITAN_POLICY", "the risk policy file")] = Path("ops/config/risk_policy.json")
    live_confirm: Annotated[
        str, _from("TITAN_LIVE_CONFIRM", f"{LIVE_CONFIRMATION!r} confirms live trading without a terminal")
    ] = ""
    db_password: Annotated[SecretStr, _from("TITAN_DB_PASSWORD", "password put into TITAN_DB_URL when it has none")] = (
        SecretStr("")
    )
    db_url: Annotated[SecretStr, _from("TITAN_DB_URL", "PostgreSQL of the live profile")] = SecretStr("")
    nats_url: Annotated[str, _from("NATS_URL", "NATS of the live profile")] = ""
    nats_user: Annotated[str, _from("NATS_USER", "one NATS user for all, instead of a login a service")] = ""
    nats_pass: Annotated[SecretStr, _from("NATS_PASS", "NATS password of the live profile")] = SecretStr("")
    nats_brain_password: Annotated[SecretStr, _login("brain")] = SecretStr("")
    nats_command_password: Annotated[SecretStr, _login("command")] = SecretStr("")
    nats_execution_password: Annotated[SecretStr, _login("execution")] = SecretStr("")
    nats_gateway_password: Annotated[SecretStr, _login("gateway")] = SecretStr("")
    nats_market_data_password: Annotated[SecretStr, _login("market_data")] = SecretStr("")
    nats_root_password: Annotated[SecretStr, _login("root")] = SecretStr("")
    nats_router_password: Annotated[SecretStr, _login("router")] = SecretStr("")
    nats_scavenger_password: Annotated[SecretStr, _login("scavenger")] = SecretStr("")
    nats_tls_ca: Annotated[
        str,
        _from(
            "TITAN_NATS_TLS_CA", "authority that signs the bus's certificates; set with both below, or empty for plain"
        ),
    ] = ""
    nats_tls_cert: Annotated[
        str, _from("TITAN_NATS_TLS_CERT", "this side's certificate at the bus; on paper the embedded server's, too")
    ] = ""
    nats_tls_key: Annotated[str, _from("TITAN_NATS_TLS_KEY", "the key of TITAN_NATS_TLS_CERT")] = ""
    redis_url: Annotated[SecretStr, _from("REDIS_URL", "Redis of the live profile; optional")] = SecretStr("")
    hmac_secret: Annotated[SecretStr, _from("HMAC_SECRET", "signing secret; paper makes a random one when empty")] = (
        SecretStr("")
    )
    hmac_key_id: Annotated[str, _from("HMAC_KEY_ID", "name of the signing key")] = "default"
    hmac_secret_next: Annotated[SecretStr, _from("HMAC_SECRET_NEXT", "second live secret during a rotation")] = (
        SecretStr("")
    )
    hmac_key_id_next: Annotated[str, _from("HMAC_KEY_ID_NEXT", "name of the second live key")] = ""
    binance_api_key: Annotated[SecretStr, _from("BINANCE_API_KEY", "Binance key of the live profile")] = SecretStr("")
    binance_api_secret: Annotated[SecretStr, _from("BINANCE_API_SECRET", "Binance secret of the live profile")] = (
        SecretStr("")
    )
    mexc_api_key: Annotated[SecretStr, _from("MEXC_API_KEY", "MEXC key of the live profile")] = SecretStr("")
    mexc_api_secret: Annotated[SecretStr, _from("MEXC_API_SECRET", "MEXC secret of the live profile")] = SecretStr("")
    bybit_api_key: Annotated[SecretStr, _from("BYBIT_API_KEY", "Bybit key of the live profile")] = SecretStr("")
    bybit_api_secret: Annotated[SecretStr, _from("BYBIT_API_SECRET", "Bybit secret of the live profile")] = SecretStr(
        ""
    )

    backup_dir: Annotated[str, _from("TITAN_BACKUP_DIR", "where backups lie; empty takes TITAN_HOME/backups")] = ""
    wal_archive: Annotated[
        str, _from("TITAN_WAL_ARCHIVE", "the archived log of the live profile's PostgreSQL; paper has its own")
    ] = ""
    backup_s3: Annotated[
        str, _from("TITAN_BACKUP_S3", "bucket and prefix that every backup is copied to; empty copies none")
    ] = ""
    backup_s3_endpoint: Annotated[
        str, _from("TITAN_BACKUP_S3_ENDPOINT", "address of the object store with its scheme; empty is Amazon's own")
    ] = ""
    backup_s3_region: Annotated[str, _from("TITAN_BACKUP_S3_REGION", "region of the bucket")] = ""
    backup_s3_key: Annotated[SecretStr, _from("TITAN_BACKUP_S3_KEY", "access key id of the object store")] = SecretStr(
        ""
    )
    backup_s3_secret: Annotated[SecretStr, _from("TITAN_BACKUP_S3_SECRET", "secret key of the object store")] = (
        SecretStr("")
    )

    @field_validator("speed")
    @classmethod
    def _speed_is_sane(cls, value: float) -> float:
        if not 0 <= value <= 1000:
            raise ValueError(f"speed {value:g} is outside 0..1000")
        return value

    @field_validator("routing")
    @classmethod
    def _routing_is_known(cls, value: str) -> str:
        parse_rules(value)
        return value

    @field_validator("router_cpu")
    @classmethod
    def _core_is_known(cls, value: str) -> str:
        if value not in ("auto", "off") and not value.isdigit():
            raise ValueError(f"{value!r} is neither auto, off nor a core number")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Everything comes in as initial values: `load_settings` has merged and checked the sources."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One row of the generated settings table."""

    name: str
    kind: str
    default: str
    text: str
    secret: bool


def _env_name(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, str)
    return alias


def known_names() -> list[str]:
    """Every environment name that has an effect."""
    return [_env_name(field) for field in Settings.model_fields]


def setting_docs() -> list[SettingDoc]:
    """The settings as documented."""
    rows = []
    for name, field in Settings.model_fields.items():
        secret = field.annotation is SecretStr
        choices = get_args(field.annotation)
        kind = " or ".join(choices) or getattr(field.annotation, "__name__", str(field.annotation))
        default = "" if secret else str(field.default)
        rows.append(SettingDoc(_env_name(name), "secret" if secret else kind, default, field.description or "", secret))
    return rows


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=VALUE lines of an .env file. Raises ConfigError naming the line that is neither that nor a comment."""
    values: dict[str, str] = {}
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return values
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f"{path} line {number}: expected NAME=VALUE, got {line.strip()[:40]!r}")
        values[name.strip()] = value.strip().strip("'\"")
    return values


def _promote_files(values: dict[str, str], known: set[str]) -> None:
    """NAME_FILE gives NAME the file's content, when NAME itself is not set."""
    for name in [entry for entry in values if entry.endswith("_FILE") and entry.removesuffix("_FILE") in known]:
        target = name.removesuffix("_FILE")
        if values.get(target):
            continue
        try:
            values[target] = Path(values[name]).read_text().strip()
        except OSError as error:
            raise ConfigError(f"{name} names {values[name]}, which can't be read: {error.strerror}") from error


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """The settings in force. Raises ConfigError with one sentence a mistake."""
    values = read_env_file(Path(ENV_FILE) if env_file is None else env_file)
    values.update(os.environ if environ is None else environ)
    known = set(known_names())
    _promote_files(values, known)
    for name in sorted(values):
        if name.startswith("TITAN_") and name not in known and name.removesuffix("_FILE") not in known:
            nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
            raise ConfigError(f"unknown setting {name}; the nearest known one is {nearest}")
    try:
        return Settings.model_validate({name: values[name] for name in known if values.get(name)})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise ConfigError(f"{name}={values.get(name, '')!r}: {first['msg']}") from error
