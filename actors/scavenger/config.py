"""The Scavenger's numbers: defaults of reference/phases.md §2.2 and the environment knobs that may change them.

Guarantees: every value is inside its documented range or construction fails with a sentence. Never: reads the environment
itself; the shell hands it in. Ghost mode is off by default, unlike the reference: in paper nothing real is at stake, and
live trading is guarded by the DISARMED state it boots in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from titan.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ScavengerConfig:
    """One immutable set of numbers. Fractions are of price or equity, times are milliseconds of market time."""

    update_interval_ms: int = 60_000
    liquidation_confidence: float = 95.0
    daily_level_confidence: float = 85.0
    bollinger_confidence: float = 90.0
    breakout_confidence: float = 80.0
    pullback_confidence: float = 75.0
    min_trades_in_window: int = 50
    volume_window_ms: int = 100
    confirmation_ms: int = 200
    burst_max_age_ms: int = 1_000
    """How old a finished burst may be when the next trade judges it; and how much later than due a confirmation may come,
    there never under two seconds of wall time, so that a replay is not stale by itself."""
    extreme_velocity: float = 0.005
    moderate_velocity: float = 0.001
    aggressive_markup: float = 0.002
    passive_markup: float = 0.0001
    max_slippage_bps: int = 50
    max_slippage_bps_when_bybit_leads: int = 30
    max_leverage: float = 20.0
    max_position_fraction: float = 0.5
    stop_fraction: float = 0.01
    target_fraction: float = 0.03
    enabled: bool = True
    risk_multiplier: float = 1.0
    ghost_mode: bool = False
    symbol_cooldown_ms: int = 1_000
    trap_cooldown_ms: int = 300_000
    blacklist_ms: int = 300_000
    failures_to_blacklist: int = 3
    min_flow_imbalance: float = 0.3
    adx_trend: float = 25.0
    ttl_ms: int = 5_000
    max_open_entries_per_symbol: int = 1
    allow_reversal: bool = False
    """Whether an entry against the position already held may be proposed."""
    max_hold_ms: int = 300_000
    """Time stop of a filled entry (0: none). A burst is over with its trap's cooldown; a trade that has reached neither
    stop nor target by then ties up the symbol for nothing."""
    pending_wall_ms: int = 6_000
    """Wall time that a submitted signal counts as open without any answer: a second more than it can live."""
    oi_price_drop: float = 0.03
    oi_drop: float = 0.20
    funding_squeeze: float = -0.0002
    basis_threshold: float = 0.005
    basis_min_volume: float = 1e6
    crash_threshold: float = 0.03
    btc_flat_threshold: float = 0.005

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"scavenger setting {name} is {value}; allowed is {low} to {high}")


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("update_interval_ms", 10_000, 300_000),
    ("liquidation_confidence", 0, 100),
    ("daily_level_confidence", 0, 100),
    ("bollinger_confidence", 0, 100),
    ("breakout_confidence", 0, 100),
    ("pullback_confidence", 0, 100),
    ("min_trades_in_window", 1, 1000),
    ("volume_window_ms", 10, 1000),
    ("extreme_velocity", 0, 0.1),
    ("moderate_velocity", 0, 0.05),
    ("aggressive_markup", 0, 0.01),
    ("max_leverage", 1, 100),
    ("max_position_fraction", 0, 1),
    ("stop_fraction", 0.001, 0.1),
    ("target_fraction", 0.001, 0.5),
    ("trap_cooldown_ms", 0, 86_400_000),
    ("max_open_entries_per_symbol", 1, 100),
    ("max_hold_ms", 0, 86_400_000),
)

KNOBS: Mapping[str, str] = {
    "OI_WIPEOUT_PRICE_DROP_THRESHOLD": "oi_price_drop",
    "OI_WIPEOUT_OI_DROP_THRESHOLD": "oi_drop",
    "FUNDING_SQUEEZE_THRESHOLD": "funding_squeeze",
    "BASIS_ARB_THRESHOLD": "basis_threshold",
    "BASIS_ARB_MIN_VOLUME": "basis_min_volume",
    "IDIOSYNCRATIC_CRASH_THRESHOLD": "crash_threshold",
    "BTC_FLAT_THRESHOLD": "btc_flat_threshold",
    "TRAP_COOLDOWN_MS": "trap_cooldown_ms",
}
"""Environment names and the settings they change. (Order time-outs belong to the router.)"""


def config_from_environment(environment: Mapping[str, str], base: ScavengerConfig | None = None) -> ScavengerConfig:
    """`base` (or the defaults) with the knobs found in `environment`. Raises ConfigError naming a bad value."""
    config = ScavengerConfig() if base is None else base
    kinds = {field.name: field.type for field in fields(ScavengerConfig)}
    changes: dict[str, float] = {}
    for knob, name in KNOBS.items():
        text = environment.get(knob, "").strip()
        if not text:
            continue
        try:
            changes[name] = int(text) if kinds[name] == "int" else float(text)
        except ValueError:
            raise ConfigError(f"{knob} is {text!r}; it must be a number") from None
    return replace(config, **changes) if changes else config  # type: ignore[arg-type]
