"""What the venue trades and keeps: instruments, orders, executions, balance rows and the answers of the core.

Guarantees: prices, quantities and money are Decimal; the vocabulary is Bybit v5's, so encoding is a rename.
Never: a rule of matching or margin; those live in the book, the account and the core.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import IntEnum, StrEnum
from operator import attrgetter

from titan.values import value

ZERO = Decimal(0)
MAX_LINK_ID = 36


class Side(StrEnum):
    """Direction of an order."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def opposite(self) -> Side:
        """The other direction."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """Whether an order names a price."""

    MARKET = "Market"
    LIMIT = "Limit"


class TimeInForce(StrEnum):
    """What happens to the part that does not trade at once."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class OrderStatus(StrEnum):
    """Life of an order as Bybit names it; `Cancelled` may carry a partial fill."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"
    DEACTIVATED = "Deactivated"

    @property
    def is_open(self) -> bool:
        """Whether the order can still trade."""
        return self in _OPEN


_OPEN = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.UNTRIGGERED})


class StopOrderType(StrEnum):
    """Why an order waits for a trigger; empty for a plain order."""

    NONE = ""
    STOP = "Stop"
    STOP_LOSS = "StopLoss"
    TAKE_PROFIT = "TakeProfit"

    @property
    def guards_position(self) -> bool:
        """Whether the order belongs to a position's stop loss or take profit."""
        return self in (StopOrderType.STOP_LOSS, StopOrderType.TAKE_PROFIT)


class TriggerBy(StrEnum):
    """Which price releases a conditional order."""

    LAST = "LastPrice"
    MARK = "MarkPrice"
    INDEX = "IndexPrice"


class OrderFilter(StrEnum):
    """Which orders a cancel-all or a query means."""

    ALL = ""
    ORDER = "Order"
    STOP_ORDER = "StopOrder"
    OPEN_ORDER = "OpenOrder"


class Reason(StrEnum):
    """`rejectReason` of an order."""

    NONE = "EC_NoError"
    POST_ONLY = "EC_PostOnlyWillTakeLiquidity"
    NO_IMMEDIATE = "EC_NoImmediateQtyToFill"
    BY_USER = "EC_PerCancelRequest"
    REDUCE_ONLY = "EC_CancelForNoFullFill"
    NO_BALANCE = "EC_NoEnoughQtyToFill"
    LIQUIDATION = "EC_CancelByLiquidation"
    MARKET_CLOSED = "EC_CancelByMarketClose"


class CancelType(StrEnum):
    """`cancelType` of an order."""

    UNKNOWN = "UNKNOWN"
    BY_USER = "CancelByUser"
    BY_REDUCE_ONLY = "CancelByReduceOnly"
    BY_TPSL_CLEAR = "CancelByTpSlTsClear"
    BY_LIQUIDATION = "CancelAllBeforeLiq"


class ExecType(StrEnum):
    """What moved the position or the wallet."""

    TRADE = "Trade"
    FUNDING = "Funding"
    BUST = "BustTrade"


class RetCode(IntEnum):
    """Bybit's answer codes that the venue uses; the text is chosen where the refusal happens."""

    OK = 0
    PARAMS = 10001
    EXPIRED = 10002
    BAD_KEY = 10003
    BAD_SIGN = 10004
    NOT_FOUND_PATH = 10404
    MODE_NOT_MODIFIED = 110025
    ORDER_NOT_EXISTS = 110001
    INSUFFICIENT_BALANCE = 110007
    LEVERAGE_RISK = 110013
    REDUCE_ONLY = 110017
    TOO_MANY_ORDERS = 110020
    LEVERAGE_NOT_MODIFIED = 110043
    DUPLICATE_LINK_ID = 110072
    EXPECT_RISING = 110092
    EXPECT_FALLING = 110093
    MIN_NOTIONAL = 110094
    TPSL_NOT_MODIFIED = 34040


@value
class Instrument:
    """A linear perpetual: `id` is the venue's spelling, `symbol` the canonical one; steps in quote and base units."""

    id: str
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    min_notional: Decimal
    max_leverage: Decimal
    max_qty: Decimal


@value
class NewOrder:
    """A validated wish to trade. `trigger_direction` 1 waits for a rise, 2 for a fall, 0 means no trigger."""

    symbol: str
    side: Side
    type: OrderType
    qty: Decimal
    price: Decimal = ZERO
    tif: TimeInForce = TimeInForce.GTC
    link_id: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    trigger_price: Decimal = ZERO
    trigger_direction: int = 0
    trigger_by: TriggerBy = TriggerBy.LAST
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    sl_trigger_by: TriggerBy = TriggerBy.LAST
    tp_trigger_by: TriggerBy = TriggerBy.LAST


@dataclass(slots=True)
class Order:
    """An order in the venue. Owned by the core; others get copies from `snapshot`."""

    order_id: str
    seq: int
    link_id: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: Decimal
    price: Decimal
    created_ms: int
    updated_ms: int
    status: OrderStatus = OrderStatus.NEW
    reduce_only: bool = False
    close_on_trigger: bool = False
    trigger_price: Decimal = ZERO
    trigger_direction: int = 0
    trigger_by: TriggerBy = TriggerBy.LAST
    stop_type: StopOrderType = StopOrderType.NONE
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    sl_trigger_by: TriggerBy = TriggerBy.LAST
    tp_trigger_by: TriggerBy = TriggerBy.LAST
    parent_link_id: str = ""
    cum_qty: Decimal = ZERO
    cum_value: Decimal = ZERO
    cum_fee: Decimal = ZERO
    queue_ahead: Decimal = ZERO
    last_on_created: Decimal = ZERO
    reject_reason: Reason = Reason.NONE
    cancel_type: CancelType = CancelType.UNKNOWN

    @property
    def leaves(self) -> Decimal:
        """Quantity that may still trade; zero once the order is finished."""
        return self.qty - self.cum_qty if self.status in _OPEN else ZERO

    def snapshot(self) -> Order:
        """An independent copy for effects and queries."""
        return Order(*_values(self))


_values = attrgetter(*(each.name for each in fields(Order)))


@value
class Execution:
    """One fill, funding payment or bust. `fee` is what the wallet paid (negative when it received)."""

    seq: int
    exec_id: str
    order_id: str
    link_id: str
    symbol: str
    side: Side
    price: Decimal
    qty: Decimal
    value: Decimal
    fee: Decimal
    fee_rate: Decimal
    is_maker: bool
    exec_type: ExecType
    time_ms: int
    order_type: OrderType
    order_price: Decimal
    order_qty: Decimal
    leaves: Decimal
    closed_size: Decimal
    realised: Decimal
    mark: Decimal
    stop_type: StopOrderType = StopOrderType.NONE


@value
class BalanceRow:
    """One change of the wallet: `change` = realised - fee, `wallet` is the balance after it."""

    seq: int
    time_ms: int
    kind: ExecType
    symbol: str
    realised: Decimal
    fee: Decimal
    change: Decimal
    wallet: Decimal
    ref: str


@value
class PositionView:
    """A position for readers: `size` is signed, `cost` is its signed entry value."""

    symbol: str
    size: Decimal
    cost: Decimal
    leverage: Decimal
    realised: Decimal
    cum_realised: Decimal
    stop_loss: Decimal
    take_profit: Decimal
    sl_trigger_by: TriggerBy
    tp_trigger_by: TriggerBy
    sl_parent: str
    tp_parent: str
    created_ms: int
    updated_ms: int
    next_funding_ms: int
    funding_rate: Decimal
    mark: Decimal

    @property
    def entry(self) -> Decimal:
        """Average entry price; zero when flat."""
        return abs(self.cost / self.size) if self.size else ZERO


@value
class OrderChanged:
    """An order was made or moved."""

    order: Order


@value
class Executed:
    """Something was executed."""

    execution: Execution


@value
class PositionChanged:
    """A position, its leverage or its protection changed."""

    position: PositionView


@value
class WalletChanged:
    """The wallet changed."""

    row: BalanceRow


Effect = OrderChanged | Executed | PositionChanged | WalletChanged


@value
class Refused:
    """The venue says no; nothing changed."""

    code: RetCode
    message: str


@value
class Accepted:
    """The venue took the command; the ids of the orders it concerned."""

    orders: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Result:
    """What a command or event led to: an answer and, in order, what must be durable before it leaves."""

    reply: Accepted | Refused = field(default_factory=Accepted)
    effects: list[Effect] = field(default_factory=list)
