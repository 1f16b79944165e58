"""Round trips: fills folded into holdings, by venue, account and symbol.

Guarantees: a fill counts once; a round trip's PnL is net of every fee since it was opened; when the router keeps
reporting another quantity, the router is right. Never: live risk (that is the router's own position report).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from titan.model import Fill, OrderRole, Phase, Position
from titan.money import ZERO
from titan.positions import apply_fill

REMEMBERED_FILLS = 4096
DISAGREEMENT_MS = 10_000
_OPENERS = frozenset({OrderRole.ENTRY, OrderRole.EXTERNAL})

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one instrument, for whom, and why. `realized` is net of fees, since the opening."""

    position: Position
    phase: Phase
    trap_type: str
    realized: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One finished holding. `pnl` is net of fees."""

    symbol: str
    phase: Phase
    trap_type: str
    pnl: Decimal
    ts_ms: int


class Books:
    """All holdings of the phases."""

    def __init__(self, holdings: dict[Key, Holding] | None = None, seen: tuple[str, ...] = ()) -> None:
        self.holdings: dict[Key, Holding] = dict(holdings or {})
        self._seen: OrderedDict[str, None] = OrderedDict.fromkeys(seen)
        self._disagreeing: dict[Key, int] = {}

    @property
    def seen(self) -> tuple[str, ...]:
        """Ids of the fills that were counted, oldest first."""
        return tuple(self._seen)

    def phase_notional(self, phase: Phase) -> Decimal:
        """USD that a phase holds, at mark or average price."""
        return sum((held.position.notional for held in self.holdings.values() if held.phase is phase), ZERO)

    def count(self, phase: Phase) -> int:
        """Holdings of a phase."""
        return sum(1 for held in self.holdings.values() if held.phase is phase)

    def apply(self, fill: Fill, trap_type: str, market_ms: int) -> RoundTrip | None:
        """Books a fill; the round trip that it ended, if it did. A flip ends one and opens the next.

        A stop or close of a holding that is not known here ends nothing and opens nothing.
        """
        if fill.fill_id in self._seen:
            return None
        self._seen[fill.fill_id] = None
        if len(self._seen) > REMEMBERED_FILLS:
            self._seen.popitem(last=False)
        key = (fill.venue, fill.account, fill.symbol)
        phase = fill.phase or Phase.MANUAL
        held = self.holdings.get(key)
        if held is None:
            if fill.role not in _OPENERS:
                return None
            held = Holding(Position(fill.venue, fill.account, fill.symbol), phase, trap_type)
        applied = apply_fill(held.position, fill.side, fill.quantity, fill.price, fill.fee, market_ms)
        realized = held.realized + applied.realized - fill.fee
        if not applied.round_trip:
            self.holdings[key] = replace(held, position=applied.position, realized=realized)
            return None
        if applied.flipped:
            self.holdings[key] = Holding(applied.position, phase, trap_type)
        else:
            self.holdings.pop(key, None)
        return RoundTrip(fill.symbol, held.phase, held.trap_type, realized, market_ms)

    def agree(self, positions: Mapping[Key, Position], wall_ms: int) -> None:
        """Takes the router's quantities over where they have differed for ten seconds of wall time.

        Not at once: the router's report overtakes the fills that explain it.
        """
        for key, held in list(self.holdings.items()):
            real = positions.get(key)
            quantity = ZERO if real is None else real.quantity
            if quantity == held.position.quantity:
                self._disagreeing.pop(key, None)
                continue
            since = self._disagreeing.setdefault(key, wall_ms)
            if wall_ms - since < DISAGREEMENT_MS:
                continue
            del self._disagreeing[key]
            if real is None or real.is_flat:
                del self.holdings[key]
            else:
                self.holdings[key] = replace(held, position=real)
