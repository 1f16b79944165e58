"""The brain's own settings: everything that is not a limit of the risk policy.

Optional features of reference/brain.md stand here as flags, each with the default documented there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from actors.brain.allocation import Thresholds
from actors.brain.costs import CostVeto
from actors.brain.performance import SharpeMode
from actors.brain.tail import TailMode, TailPolicy
from titan.algos import ImpactGate, Rules
from titan.model import Phase


@dataclass(frozen=True, slots=True)
class PhaseLimit:
    """A phase's own caps: leverage as a multiple of equity, allocation (margin over equity) as a fraction."""

    max_leverage: Decimal
    max_allocation: Decimal


@dataclass(frozen=True, slots=True)
class BrainConfig:
    """How this brain runs. Durations ending in `_wall_ms` are wall time, all others market time."""

    venue: str
    account: str = "main"
    speed: float = 1.0
    profile: str = "paper"
    benchmark: str = "BTC/USDT:USDT"
    thresholds: Thresholds = field(default_factory=Thresholds)
    signal_ttl_ms: int = 5000
    intent_ttl_ms: int = 5000
    min_order_usd: Decimal = Decimal(5)
    router_state_limit_wall_ms: int = 3000
    truth_limit_wall_ms: int = 900_000
    reservation_wall_ms: int = 10_000
    idempotency_wall_ms: int = 3_600_000
    survival_override_ms: int = 300_000
    tail_limit_ms: int = 3_600_000
    # The reference says five seconds; a phase that has just come back would wait that long, five minutes of a 60x replay.
    budget_every_wall_ms: int = 1000
    budget_ttl_wall_ms: int = 10_000
    sharpe_mode: SharpeMode = SharpeMode.DAILY
    adaptive_weights: bool = False
    kelly_bound: bool = False
    trade_gate: bool = False
    cost_veto: CostVeto | None = None
    surprise_gate: bool = False
    change_point_regime: bool = False
    phase_limits: Mapping[Phase, PhaseLimit] = field(default_factory=dict)
    tail_mode: TailMode = TailMode.SHADOW
    tail_policy: TailPolicy = field(default_factory=TailPolicy)
    # Venues with a router of their own; empty for `venue` alone.
    venues: tuple[str, ...] = ()
    routing: Rules = field(default_factory=Rules)
    impact: ImpactGate = field(default_factory=ImpactGate)

    @property
    def all_venues(self) -> tuple[str, ...]:
        """Every venue that an order can be sent to."""
        return self.venues or (self.venue,)
