"""A brain's core with its hands on the table: time, reports and tickers by the test, effects sorted by kind."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from actors.brain.config import BrainConfig
from actors.brain.core import BrainCore
from actors.brain.events import (
    Announce,
    Effect,
    FillSeen,
    RejectSeen,
    RouterReported,
    SignalReceived,
    TickerSeen,
    TruthSeen,
)
from protos import brain_pb2, trading_pb2
from tests.actors.brain.world import (
    SYMBOL,
    equity_message,
    fill_message,
    router_message,
    signal_message,
    ticker_message,
)
from titan.algos import Rules
from titan.clock import Now
from titan.codec import intent_from_pb
from titan.effects import Publish, RaiseAlert
from titan.model import Intent
from titan.policy import RiskPolicy, load_policy
from titan.testing import POLICY

T0 = 1_700_000_000_000
POLICY_NOW = load_policy(POLICY)
ONLY_BYBIT = Rules({"bybit": Decimal(1)})


class Desk:
    """A core at `now`, fed with a fresh report and ticker unless told otherwise."""

    def __init__(self, policy: RiskPolicy = POLICY_NOW, *, ready: bool = True, **config: Any) -> None:
        self.now = Now(T0, T0)
        self.seq = 0
        self.count = 0
        self.fills = 0
        config.setdefault("routing", ONLY_BYBIT)
        self.core = BrainCore(BrainConfig(venue="bybit", **config), policy)
        self.started = self.core.start(self.now)
        if ready:
            self.report()
            self.tick()

    @property
    def state_text(self) -> str:
        return self.core.snapshot()

    def advance(self, ms: int) -> None:
        """Moves both clocks on."""
        self.now = Now(self.now.market_ms + ms, self.now.wall_ms + ms)

    def report(self, equity: str = "10000", start: str = "10000", **changes: Any) -> list[Effect]:
        """The router reports now."""
        self.seq += 1
        changes.setdefault("policy_hash", self.core.policy.hash)
        policy_hash = changes.pop("policy_hash")
        message = router_message(
            self.now.wall_ms, self.seq, policy_hash, **{"equity": equity_message(equity, start), **changes}
        )
        return self.core.handle(RouterReported(message), self.now)

    def refresh(self) -> None:
        """Report, ticker and truth are fresh again."""
        self.report()
        self.tick()
        self.core.handle(TruthSeen(trading_pb2.Truth(confidence=100)), self.now)

    def tick(self, price: str = "50000", symbol: str = SYMBOL) -> None:
        """The market is at a price now."""
        self.core.handle(TickerSeen(ticker_message(self.now.market_ms, price, symbol)), self.now)

    def propose(self, **changes: Any) -> tuple[brain_pb2.Decision, Intent | None]:
        """A fresh signal's decision, and the intent when there is one."""
        self.count += 1
        message = signal_message(f"sig-{self.count}", self.now.market_ms, **changes)
        return self.submit(message)

    def submit(self, message: trading_pb2.Signal) -> tuple[brain_pb2.Decision, Intent | None]:
        """A signal's decision, and the intent when there is one."""
        effects = self.core.handle(SignalReceived(message), self.now)
        (decision,) = [effect.decision for effect in effects if isinstance(effect, Announce)]
        intents = [effect.message for effect in effects if isinstance(effect, Publish)]
        assert len(intents) == int(decision.approved)
        if not intents:
            return decision, None
        assert isinstance(intents[0], trading_pb2.Intent)
        return decision, intent_from_pb(intents[0])

    def fill(
        self,
        intent_id: str,
        side: trading_pb2.Side.ValueType,
        quantity: str,
        price: str,
        role: trading_pb2.OrderRole.ValueType = trading_pb2.ORDER_ROLE_ENTRY,
        **changes: Any,
    ) -> list[Effect]:
        """An execution now."""
        self.fills += 1
        message = fill_message(
            f"f{self.fills}", intent_id, side, quantity, price, self.now.market_ms, role=role, **changes
        )
        return self.core.handle(FillSeen(message), self.now)

    def reject(self, intent_id: str, code: str = "BELOW_MINIMUM") -> list[Effect]:
        """The router refuses an intent."""
        return self.core.handle(RejectSeen(trading_pb2.Reject(intent_id=intent_id, code=code)), self.now)

    def lose(self, pnl: int = -100) -> list[Effect]:
        """A whole round trip of one BTC that ends with `pnl`."""
        self.fill("", trading_pb2.SIDE_BUY, "1", "50000")
        return self.fill("", trading_pb2.SIDE_SELL, "1", str(50_000 + pnl), trading_pb2.ORDER_ROLE_STOP)


def alerts(effects: list[Effect]) -> list[str]:
    """Codes of the alerts among effects."""
    return [effect.code for effect in effects if isinstance(effect, RaiseAlert)]


def published(effects: list[Effect], subject: str) -> list[Any]:
    """Messages published on a subject."""
    return [effect.message for effect in effects if isinstance(effect, Publish) and effect.subject == subject]


def policy_with(**changes: Any) -> RiskPolicy:
    """The shipped policy with changes."""
    return replace(POLICY_NOW, **changes)


def usd(text: str) -> Decimal:
    """An amount."""
    return Decimal(text)
