"""A small world in which everything holds, built row by row, for tests to break."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import orjson

from titan.codes import TradingState
from titan.ids import client_order_id
from titan.invariants import (
    LedgerFill,
    LedgerOrder,
    LedgerPosition,
    LedgerTruth,
    Live,
    VenueFill,
    VenueOrder,
    VenueTruth,
    World,
)
from titan.journal.rows import GENESIS, StoredRow, row_hash
from titan.model import Side

SYMBOL = "BTC/USDT:USDT"
NOW_MS = 1_000_000
POLICY = "f" * 64


@dataclass(slots=True)
class Book:
    """A journal under construction."""

    term: int = 1
    rows: list[StoredRow] = field(default_factory=list)

    def add(self, kind: str, ts_ms: int = NOW_MS - 60_000, **payload: str | int | bool) -> StoredRow:
        previous = self.rows[-1].hash if self.rows else GENESIS
        seq = self.rows[-1].seq + 1 if self.rows else 1
        body = orjson.dumps({"ts_ms": ts_ms, **payload}, option=orjson.OPT_SORT_KEYS)
        digest = row_hash(previous, self.term, seq, kind, body, ts_ms)
        row = StoredRow(seq, self.term, kind, body, digest, ts_ms)
        self.rows.append(row)
        return row

    def start(self, term: int) -> None:
        self.term = term
        self.add("start", account="main", pid=100 + term, policy_hash=POLICY, started_ms=1, venue="bybit")

    def trading(self, state: str) -> None:
        self.add("trading", current=state, previous="DISARMED", reason="test", operator_id="test", resume_to=state)

    def wallet(self, amount: str, previous: str = "") -> None:
        self.add("wallet", currency="USDT", previous=previous, reason="start", wallet=amount)

    def order(
        self,
        intent: str,
        event: str,
        state: str,
        *,
        side: str = "BUY",
        quantity: str = "0.1",
        filled: str = "0",
        role: str = "ENTRY",
        reduce_only: bool = False,
        child: int = 0,
        venue_order_id: str = "",
        approved: bool = True,
        client_id: str = "",
        ts_ms: int = NOW_MS - 60_000,
        symbol: str = SYMBOL,
    ) -> str:
        cid = client_id or client_order_id(intent, child)
        approval = {"approved_decision_id": f"d-{intent}", "approved_policy_hash": POLICY}
        self.add(
            "order",
            ts_ms,
            account="main",
            average_price="0",
            child=child,
            client_order_id=cid,
            event=event,
            filled=filled,
            intent_id=intent,
            order_type="LIMIT",
            quantity=quantity,
            reduce_only=reduce_only,
            role=role,
            side=side,
            signal_id=f"s-{intent}",
            state=state,
            symbol=symbol,
            venue="bybit",
            venue_order_id=venue_order_id,
            **(approval if approved and event == "NEW" else {}),
        )
        return cid

    def fill(
        self, trade_id: str, cid: str, side: str, price: str, quantity: str, fee: str, realized: str = "0"
    ) -> None:
        self.add(
            "fill",
            client_order_id=cid,
            fee=fee,
            fee_currency="USDT",
            fill_id=f"bybit:main:{trade_id}",
            price=price,
            quantity=quantity,
            realized_pnl=realized,
            side=side,
            symbol=SYMBOL,
            venue_trade_id=trade_id,
        )


def opened(book: Book) -> str:
    """The first rows of a run and an entry of 0.1 at 50000 that filled; gives its client order id."""
    book.start(1)
    book.wallet("100000")
    book.trading("ACTIVE")
    cid = book.order("i1", "NEW", "PENDING")
    book.order("i1", "ACK", "OPEN", venue_order_id="v1")
    book.fill("t1", cid, "BUY", "50000", "0.1", "2.75")
    book.order("i1", "FILL", "FILLED", filled="0.1", venue_order_id="v1")
    return cid


def closed(book: Book) -> str:
    """And the close of half of it at 51000; gives its client order id."""
    cid = book.order("i2", "NEW", "PENDING", side="SELL", quantity="0.05", role="CLOSE", reduce_only=True)
    book.fill("t2", cid, "SELL", "51000", "0.05", "1.4025", "50")
    book.order("i2", "FILL", "FILLED", side="SELL", quantity="0.05", filled="0.05", role="CLOSE", reduce_only=True)
    return cid


VENUE_ORDERS = (
    VenueOrder("v1", client_order_id("i1", 0), SYMBOL, Side.BUY, Decimal("0.1"), Decimal("0.1"), False, live=False),
    VenueOrder("v2", client_order_id("i2", 0), SYMBOL, Side.SELL, Decimal("0.05"), Decimal("0.05"), True, live=False),
)
VENUE_FILLS = (
    VenueFill("t1", "v1", SYMBOL, Side.BUY, Decimal(50000), Decimal("0.1"), Decimal("2.75")),
    VenueFill("t2", "v2", SYMBOL, Side.SELL, Decimal(51000), Decimal("0.05"), Decimal("1.4025")),
)
CASH = Decimal(100_000) - Decimal("2.75") + 50 - Decimal("1.4025")


def venue(
    orders: tuple[VenueOrder, ...] = VENUE_ORDERS,
    fills: tuple[VenueFill, ...] = VENUE_FILLS,
    position: str = "0.05",
    wallet: Decimal = CASH,
) -> VenueTruth:
    return VenueTruth(orders, fills, (), {SYMBOL: Decimal(position)}, wallet)


def ledger() -> LedgerTruth:
    return LedgerTruth(
        fills=tuple(
            LedgerFill(each.venue_trade_id, each.symbol, each.side, each.price, each.quantity, each.fee)
            for each in VENUE_FILLS
        ),
        orders=(LedgerOrder(client_order_id("i1", 0), "FILLED", Decimal("0.1")),),
        positions=(LedgerPosition(SYMBOL, Decimal("0.05"), Decimal(50), Decimal("4.1525"), Decimal(0)),),
    )


def book() -> Book:
    """The journal of the world in which everything holds."""
    made = Book()
    opened(made)
    closed(made)
    return made


def world(rows: Book | None = None, **parts: object) -> World:
    """The world in which everything holds, but for `parts`."""
    known: dict[str, object] = {
        "now_ms": NOW_MS,
        "rows": tuple((rows or book()).rows),
        "venue": venue(),
        "ledger": ledger(),
        "live": Live(TradingState.ACTIVE, {SYMBOL: Decimal("0.05")}, CASH),
    }
    return World(**{**known, **parts})  # type: ignore[arg-type]
