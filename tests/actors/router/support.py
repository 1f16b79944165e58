"""A router core in a bottle: instruments, intents, and venue values made short."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from actors.router import books
from actors.router.core import RouterCore
from actors.router.effects import Append, CancelOrder, Effect, LookUp, Receipt, SendOrder
from actors.router.events import (
    Acked,
    BrainBeat,
    Event,
    ExecutionsSeen,
    IntentArrived,
    QuoteSeen,
    RecoveryReport,
    VenueReport,
)
from actors.router.state import Quote, RouterConfig, RouterState
from titan.clock import ManualClock, Now
from titan.effects import RaiseAlert
from titan.ids import IntentId, SignalId
from titan.instruments import Instrument, Instruments
from titan.journal import Row, StoredRow
from titan.model import Action, Intent, Order, OrderRole, OrderState, OrderType, Phase, Side
from titan.policy import RiskPolicy, parse_policy
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenuePosition, VenueWallet

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"
T0 = 1_700_000_000_000
DEFAULT_POLICY: dict[str, Any] = {
    "maxAccountLeverage": 10,
    "maxPositionNotional": 50_000,
    "maxDailyLoss": -1000,
    "maxOpenOrdersPerSymbol": 5,
    "symbolWhitelist": ["BTC/USDT", "ETH/USDT"],
}


def d(text: str | int) -> Decimal:
    return Decimal(text)


def policy(**overrides: Any) -> RiskPolicy:
    return parse_policy({**DEFAULT_POLICY, **overrides})


def instrument(symbol: str = BTC, tick: str = "0.1", lot: str = "0.001") -> Instrument:
    base = symbol.split("/")[0]
    return Instrument(
        symbol, base, "USDT", "USDT", "perp", d(tick), d(lot), d(lot), d(5), d(100), "bybit", f"{base}USDT"
    )


def config(**overrides: Any) -> RouterConfig:
    limits = overrides.pop("policy", None) or policy()
    values: dict[str, Any] = {
        "venue": "bybit",
        "account": "main",
        "policy": limits,
        "policy_hash": limits.hash,
        "instruments": Instruments([instrument(BTC), instrument(ETH, "0.01", "0.01")]),
        "started_ms": T0,
        **overrides,
    }
    return RouterConfig(**values)


def stored(rows: list[Row], term: int = 1) -> list[StoredRow]:
    return [StoredRow(row.seq, term, row.kind, row.payload, b"", row.ts_ms) for row in rows]


@dataclass
class Bottle:
    """A core, its clock, and everything it asked for."""

    config: RouterConfig = field(default_factory=config)
    wallet: Decimal = Decimal(10_000)
    core: RouterCore = field(init=False)
    clock: ManualClock = field(init=False)
    rows: list[Row] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.core = RouterCore(self.config)
        self.clock = ManualClock(T0)

    @property
    def state(self) -> RouterState:
        return self.core.state

    @property
    def now(self) -> Now:
        return self.clock.now()

    def begin(self, **recovery: Any) -> Bottle:
        """Starts, recovers on an empty venue, and makes everything fresh: ready to open."""
        self._take(self.core.start(self.now, 1))
        self.tell(self.recovery(**recovery))
        self.refresh()
        return self

    def recovery(
        self,
        positions: tuple[VenuePosition, ...] = (),
        open_orders: tuple[VenueOrder, ...] = (),
        closed_orders: tuple[VenueOrder, ...] = (),
        executions: tuple[VenueExecution, ...] = (),
        missing: tuple[tuple[str, VenueOrder | None], ...] = (),
        halt_reason: str = "",
    ) -> RecoveryReport:
        report = self.report(positions, open_orders)
        return RecoveryReport(report, closed_orders, executions, missing, halt_reason)

    def report(
        self, positions: tuple[VenuePosition, ...] = (), open_orders: tuple[VenueOrder, ...] = ()
    ) -> VenueReport:
        cash = self.state.money.cash
        wallet = self.wallet if cash is None else cash
        return VenueReport(open_orders, positions, VenueWallet("USDT", wallet, d(0), wallet, wallet), self.now.wall_ms)

    def refresh(self, price: str = "50000") -> None:
        """Fresh quotes and a brain that was just heard."""
        self.quote(price)
        self.quote("2000", ETH)
        self.tell(BrainBeat())

    def quote(self, price: str, symbol: str = BTC, spread: str = "0") -> None:
        mid, half = d(price), d(spread) / 2
        self.tell(QuoteSeen(symbol, Quote(mid, mid, mid - half, mid + half, self.now.market_ms)))

    def tell(self, event: Event) -> list[Effect]:
        return self._take(self.core.handle(event, self.now))

    def intend(self, wanted: Intent) -> list[Effect]:
        return self.tell(IntentArrived(wanted))

    def send(self, wanted: Intent) -> Order:
        """An intent that must become an order."""
        sent = [effect.order for effect in self.intend(wanted) if isinstance(effect, SendOrder)]
        assert len(sent) == 1, self.rows[-1]
        return sent[0]

    def acknowledge(self, order: Order, venue_id: str = "") -> None:
        self.tell(Acked(order.client_order_id, venue_id or f"v-{order.client_order_id}"))

    def fill(self, order: Order, quantity: str | Decimal, price: str, trade: str, fee: str = "0") -> list[Effect]:
        return self.tell(ExecutionsSeen((execution(order, quantity, price, trade, fee),)))

    def open(self, side: Side = Side.BUY, usd: str = "5000", price: str = "50000", name: str = "i-open") -> Order:
        """An entry that filled whole."""
        order = self.send(intent(name, side=side, size_usd=usd, reference=price))
        self.acknowledge(order)
        self.fill(order, order.quantity, price, f"t-{name}")
        return self.state.orders[order.client_order_id]

    def last_row(self, kind: str) -> dict[str, Any]:
        import json

        found = [row for row in self.rows if row.kind == kind]
        loaded: dict[str, Any] = json.loads(found[-1].payload)
        return loaded

    def _take(self, effects: list[Effect]) -> list[Effect]:
        self.effects.extend(effects)
        for effect in effects:
            if isinstance(effect, Append):
                self.rows.extend(effect.rows)
        return effects

    def replayed(self) -> RouterState:
        """The state a restart would rebuild from the rows written so far."""
        state = RouterState(term=2)
        books.replay(state, self.config, stored(self.rows))
        return state


def sends(effects: list[Effect]) -> list[Order]:
    return [effect.order for effect in effects if isinstance(effect, SendOrder)]


def cancels(effects: list[Effect]) -> list[Order]:
    return [effect.order for effect in effects if isinstance(effect, CancelOrder)]


def lookups(effects: list[Effect]) -> list[Order]:
    return [effect.order for effect in effects if isinstance(effect, LookUp)]


def receipts(effects: list[Effect]) -> list[Receipt]:
    return [effect for effect in effects if isinstance(effect, Receipt)]


def alerts(effects: list[Effect]) -> list[str]:
    return [effect.code for effect in effects if isinstance(effect, RaiseAlert)]


def intent(
    name: str = "i-1",
    *,
    side: Side = Side.BUY,
    symbol: str = BTC,
    size_usd: str = "5000",
    reference: str | None = "50000",
    stop: str | None = "",
    target: str | None = None,
    action: Action = Action.OPEN,
    quantity: str | None = None,
    **overrides: Any,
) -> Intent:
    """An opening of BTC by default; an empty stop means one percent on the losing side."""
    at = d(reference or "50000")
    losing = at * (d("0.99") if side is Side.BUY else d("1.01"))
    wanted = Intent(
        intent_id=IntentId(name),
        signal_id=SignalId(f"s-{name}"),
        phase=Phase.SCAVENGER,
        action=action,
        venue="bybit",
        account="main",
        symbol=symbol,
        side=side,
        size_usd=d(size_usd),
        quantity=None if quantity is None else d(quantity),
        order_type=OrderType.MARKET,
        limit_price=None,
        reference_price=None if reference is None else at,
        stop_price=losing if stop == "" else (None if stop is None else d(stop)),
        target_price=None if target is None else d(target),
        max_slippage_bps=0,
        leverage=d(1),
        policy_hash=policy().hash,
        t_signal_ms=T0,
        t_decision_ms=T0,
        ttl_ms=5000,
    )
    return replace(wanted, **overrides)


def closing(name: str = "i-close", side: Side = Side.SELL, quantity: str | None = None, **overrides: Any) -> Intent:
    return intent(name, side=side, action=Action.CLOSE, quantity=quantity, stop=None, **overrides)


def execution(
    order: Order, quantity: str | Decimal, price: str, trade: str, fee: str = "0", ts_ms: int = T0
) -> VenueExecution:
    return VenueExecution(
        venue_trade_id=trade,
        venue_order_id=order.venue_order_id or f"v-{order.client_order_id}",
        client_order_id=order.client_order_id,
        kind=ExecutionKind.TRADE,
        symbol=order.symbol,
        side=order.side,
        price=d(price),
        quantity=Decimal(quantity),
        fee=d(fee),
        fee_currency="USDT",
        maker=False,
        ts_ms=ts_ms,
        order_quantity=order.quantity,
    )


def funding(trade: str, amount: str, symbol: str = BTC) -> VenueExecution:
    return VenueExecution(
        trade, "funding", "", ExecutionKind.FUNDING, symbol, Side.BUY, d(50000), d(1), d(amount), "USDT", False, T0
    )


def shown(order: Order, state: OrderState, filled: str = "0", updated_ms: int = T0, **overrides: Any) -> VenueOrder:
    """An order of ours as the venue shows it."""
    seen = VenueOrder(
        venue_order_id=order.venue_order_id or f"v-{order.client_order_id}",
        client_order_id=order.client_order_id,
        parent_client_order_id="",
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        role=OrderRole.EXTERNAL,
        quantity=order.quantity,
        price=order.price,
        trigger_price=None,
        reduce_only=order.reduce_only,
        state=state,
        filled=d(filled),
        average_price=d(0),
        created_ms=T0,
        updated_ms=updated_ms,
    )
    return replace(seen, **overrides)


def protective(
    venue_id: str, role: OrderRole, trigger: str, parent: str = "", quantity: str = "0.1", **overrides: Any
) -> VenueOrder:
    """A stop or target that the venue made."""
    seen = VenueOrder(
        venue_order_id=venue_id,
        client_order_id="",
        parent_client_order_id=parent,
        symbol=BTC,
        side=Side.SELL,
        order_type=OrderType.STOP_MARKET if role is OrderRole.STOP else OrderType.TAKE_PROFIT_MARKET,
        role=role,
        quantity=d(quantity),
        price=None,
        trigger_price=d(trigger),
        reduce_only=True,
        state=OrderState.OPEN,
        filled=d(0),
        average_price=d(0),
        created_ms=T0,
        updated_ms=T0,
    )
    return replace(seen, **overrides)


def held(quantity: str, symbol: str = BTC, average: str = "50000") -> VenuePosition:
    return VenuePosition(symbol, d(quantity), d(average), d(average), None, None, d(10))
