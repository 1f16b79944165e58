"""What the router knows: orders, fills, positions, money, trading state, and how fresh each is.

Guarantees: everything that must survive is a function of the journal's rows; the rest (quotes, heartbeats, links) is
learned again after a start. Never: I/O, clocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from actors.router.parents import Worked
from titan.buggify import NEVER, Rare
from titan.clock import market_limit_ms
from titan.codes import AlgoEnd, ExternalPolicy, TradingState
from titan.instruments import Instrument, Instruments
from titan.model import Order, OrderRole, OrderState, OrderType, Position, Side, Style
from titan.money import ZERO
from titan.policy import RiskPolicy
from titan.symbols import whitelisted
from titan.venues.base import ClientIdRule, PostOnlyRefusal, Protection, VenueCapabilities

BRAIN_SILENCE_MS = 5_000
DEFAULT_TTL_MS = 5_000
# Longer than a venue's queries lag behind what it took.
TORN_MS = 15_000
RAISING = frozenset({OrderRole.ENTRY, OrderRole.EXTERNAL})
CLOSING = frozenset({OrderRole.CLOSE, OrderRole.FLATTEN})
ABLE = VenueCapabilities(
    time_in_force={kind: kind.value for kind in OrderType},
    client_id_max=36,
    client_id_chars="[A-Za-z0-9_-]",
    client_id_rule=ClientIdRule.REFUSED_WHILE_OPEN,
    protection=Protection.ATTACHED,
    post_only_refusal=PostOnlyRefusal.CANCELED,
    amends=frozenset({"price", "quantity"}),
    amends_waiting=frozenset({"price", "quantity", "trigger_price"}),
)
"""A venue that can do everything; the shell puts the real one's capabilities in its place."""


class Ground(NamedTuple):
    """A symbol as one router may trade it. `stale_ms` is the age in market time from which a quote is none."""

    instrument: Instrument | None
    listed: bool
    stale_ms: int


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What does not change while the router lives. `speed` is market time per wall time."""

    venue: str
    account: str
    policy: RiskPolicy
    policy_hash: str
    instruments: Instruments
    speed: float = 1.0
    live: bool = False
    auto_arm: bool = True
    started_ms: int = 0
    brain_silence_ms: int = BRAIN_SILENCE_MS
    rare: Rare = NEVER
    can: VenueCapabilities = ABLE
    external: ExternalPolicy = ExternalPolicy.FLAG
    _grounds: dict[str, Ground] = field(default_factory=dict, init=False, repr=False, compare=False)

    def ground(self, symbol: str) -> Ground:
        """What the guard has to know of a symbol and what never changes. Raises ValueError for no symbol."""
        found = self._grounds.get(symbol)
        if found is None:
            found = self._grounds[symbol] = Ground(
                self.instruments.find(self.venue, symbol),
                whitelisted(symbol, self.policy.symbol_whitelist),
                market_limit_ms(self.policy.max_staleness_ms, self.speed),
            )
        return found


@dataclass(frozen=True, slots=True)
class Quote:
    """The last known prices of a symbol. `ts_ms` is exchange time."""

    last: Decimal
    mark: Decimal
    bid: Decimal
    ask: Decimal
    ts_ms: int

    def executable(self, side: Side) -> Decimal:
        """What an order of this side would trade at now."""
        return self.ask if side is Side.BUY else self.bid


class Pending(NamedTuple):
    """What entries on their way may add: how many entries, and base units each way."""

    entries: int
    buys: Decimal
    sells: Decimal

    def worst(self, held: Decimal) -> Decimal:
        """The largest absolute quantity that `held` can become when one side fills and the other does not."""
        return max(abs(held), held + self.buys, self.sells - held)


NOTHING_PENDING = Pending(0, ZERO, ZERO)


@dataclass(slots=True)
class LookUpState:
    """A search for an order whose send is in doubt. Times are wall ms."""

    began_ms: int
    answers: int = 0
    asked: int = 0


@dataclass(slots=True)
class Change:
    """A change of an order on its way; None keeps a value. `replacing`: by cancel and a new order.

    `filled` was booked when it was asked for; `doubts` counts how often its outcome had to be asked for. `ahead` is the
    client id of a stop's replacement, which stands before the old one is cancelled.
    """

    number: int
    price: Decimal | None
    quantity: Decimal | None
    trigger_price: Decimal | None
    replacing: bool
    filled: Decimal
    changes_anything: bool
    doubts: int = 0
    ahead: str = ""


@dataclass(slots=True)
class Money:
    """Cash and the marks of the day, in the settlement currency."""

    currency: str = "USDT"
    cash: Decimal | None = None
    day: str = ""
    start_of_day: Decimal = ZERO
    high_watermark: Decimal = ZERO
    kept_watermark: Decimal = ZERO
    kept_at_ms: int = 0


@dataclass(slots=True)
class RouterState:
    """The whole state, owned by one core."""

    term: int = 0
    seq: int = 0
    orders: dict[str, Order] = field(default_factory=dict)
    live: dict[str, None] = field(default_factory=dict)
    by_venue_id: dict[str, str] = field(default_factory=dict)
    intents: set[str] = field(default_factory=set)
    children: dict[str, int] = field(default_factory=dict)
    brackets: dict[str, None] = field(default_factory=dict)
    trails: dict[str, Decimal] = field(default_factory=dict)
    last_stop: dict[str, Order] = field(default_factory=dict)
    externals: int = 0
    fills: set[str] = field(default_factory=set)
    traded: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    last_entry: dict[str, str] = field(default_factory=dict)
    parents: dict[str, Worked] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    cursor_ms: int = 0
    finished: int = 0
    filled: int = 0
    trading: TradingState = TradingState.DISARMED
    trading_reason: str = "never armed"
    trading_by: str = ""
    resume_to: TradingState = TradingState.DISARMED
    run_started_ms: int = 0

    # Learned anew after every start.
    ready: bool = False
    torn_at_ms: int | None = None
    impediments: dict[str, str] = field(default_factory=dict)
    quotes: dict[str, Quote] = field(default_factory=dict)
    brain_beat_ms: int = 0
    touched_ms: dict[str, int] = field(default_factory=dict)
    lookups: dict[str, LookUpState] = field(default_factory=dict)
    resends: dict[str, int] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    change_number: int = 0
    flattening: bool = False
    given_up: set[str] = field(default_factory=set)
    suspects: dict[str, int] = field(default_factory=dict)
    expected: dict[str, Decimal] = field(default_factory=dict)
    slipped_ms: int = 0
    duplicates: int = 0
    moved: dict[str, None] = field(default_factory=dict)
    ended: dict[tuple[Style, AlgoEnd], int] = field(default_factory=dict)

    @property
    def effective(self) -> TradingState:
        """The trading state that binds: an impediment turns ACTIVE into REDUCING."""
        if self.impediments and self.trading is TradingState.ACTIVE:
            return TradingState.REDUCING
        return self.trading

    @property
    def reason(self) -> str:
        """Why the effective state is what it is."""
        if self.trading is TradingState.ACTIVE and self.impediments:
            return "; ".join(f"{name}: {detail}" for name, detail in sorted(self.impediments.items()))
        return self.trading_reason

    def position(self, config: RouterConfig, symbol: str) -> Position:
        """The position of a symbol, flat when none is held."""
        return self.positions.get(symbol) or Position(config.venue, config.account, symbol)

    def live_orders(self, symbol: str | None = None) -> list[Order]:
        """Orders that may still trade, oldest first."""
        found = [self.orders[each] for each in self.live]
        return found if symbol is None else [order for order in found if order.symbol == symbol]

    def may_lack_rows(self, made_ms: int, now_ms: int) -> bool:
        """Whether something made at `made_ms` may have children whose rows a machine's end took, and the venue not show yet.

        Wall time. A new run on an old journal may be one after a power loss; before it asks for a child again, it gives the
        venue time to show the one it has.
        """
        torn_ms = self.torn_at_ms
        return torn_ms is not None and made_ms < torn_ms and now_ms < torn_ms + TORN_MS

    def held(self, symbol: str) -> Decimal:
        """Signed base units held of a symbol."""
        found = self.positions.get(symbol)
        return ZERO if found is None else found.quantity

    def pending(self, symbol: str) -> Pending:
        """What risk-raising orders of a symbol may still add."""
        if not self.live and not self.parents:
            return NOTHING_PENDING
        entries, buys, sells = 0, ZERO, ZERO
        for cid in self.live:
            order = self.orders[cid]
            if order.symbol != symbol or order.reduce_only or order.role not in RAISING:
                continue
            entries += order.role is OrderRole.ENTRY
            if order.side is Side.BUY:
                buys += order.remaining
            else:
                sells += order.remaining
        for parent in self.parents.values():
            coming = parent.unplaced(self.orders, symbol)
            if coming is not None and coming[0] is Side.BUY:
                buys += coming[1]
            elif coming is not None:
                sells += coming[1]
        return Pending(entries, buys, sells)

    def closing(self, symbol: str) -> Decimal:
        """Base units that closing orders on their way will take off; one in doubt does not keep another from trying."""
        total = ZERO
        for order in self.live_orders(symbol):
            if order.order_type.waits:
                continue
            if order.role in CLOSING and order.state is not OrderState.UNKNOWN:
                total += order.remaining
        return total

    def price(self, symbol: str) -> Decimal | None:
        """The mark of a symbol, else what its position was last marked at, else its average price."""
        quote = self.quotes.get(symbol)
        if quote is not None:
            return quote.mark
        held = self.positions.get(symbol)
        if held is None or held.is_flat:
            return None
        return held.average_price if held.mark_price is None else held.mark_price

    def unrealized(self) -> Decimal:
        """Profit of all positions at mark."""
        total = ZERO
        for symbol, held in self.positions.items():
            if held.quantity:
                price = self.price(symbol)
                if price is not None:
                    total += (price - held.average_price) * held.quantity
        return total

    def equity(self) -> Decimal | None:
        """Cash plus unrealised profit; None until the venue has told the wallet."""
        cash = self.money.cash
        return cash if cash is None or not self.positions else cash + self.unrealized()

    def daily_pnl(self, equity: Decimal | None = None) -> Decimal:
        """Change of equity since the market day began: realised, unrealised, fees and funding.

        A caller that has the equity already gives it.
        """
        if equity is None:
            equity = self.equity()
        return ZERO if equity is None or not self.money.day else equity - self.money.start_of_day

    def exposure(self, besides: str = "") -> Decimal:
        """Absolute value of all positions and of what pending entries may add, without symbol `besides`."""
        if not self.positions and not self.live and not self.parents:
            return ZERO
        symbols: set[str] = set()
        for symbol, position in self.positions.items():
            if position.quantity:
                symbols.add(symbol)
        for cid in self.live:
            symbols.add(self.orders[cid].symbol)
        for parent in self.parents.values():
            symbols.update([leg.symbol for leg in parent.row.legs])
        symbols.discard(besides)
        total = ZERO
        for symbol in symbols:
            price = self.price(symbol)
            if price is not None:
                total += self.worst(symbol) * price
        return total

    def worst(self, symbol: str) -> Decimal:
        """The largest absolute quantity a symbol can reach when its pending entries fill."""
        return self.pending(symbol).worst(self.held(symbol))
