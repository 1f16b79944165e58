"""A router and a venue for Execution's tests: the router is a real journal file behind the real RPC, the venue a script."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from actors.execution.news import OrderNews
from actors.router import rows
from protos import trading_pb2 as pb
from titan import subjects
from titan.bus import Bus, Received
from titan.codec import ORDER_STATE_TO_PB, fill_to_pb, order_to_pb
from titan.instruments import Instrument
from titan.journal import Journal, Row
from titan.model import Fill, Order, Position, Side
from titan.money import text_of
from titan.positions import apply_fill
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenuePosition, VenueWallet

PERP = "BTC/USDT:USDT"
OPENING = Decimal(10_000)

assert ORDER_STATE_TO_PB


def order_payload(order: Order, ts_ms: int) -> dict[str, str | int | bool]:
    """An order row as the router journals it."""
    return rows.order_payload(order, "ACK", ts_ms)


def fill_payload(fill: Fill) -> dict[str, str | int | bool]:
    """A fill row as the router journals it."""
    return rows.fill_payload(fill, fill.t_ingress_ms)


def wallet_payload(wallet: Decimal, previous: str = "") -> dict[str, str | int | bool]:
    """A wallet row as the router journals it."""
    return {"currency": "USDT", "previous": previous, "reason": "start", "ts_ms": 1, "wallet": text_of(wallet)}


class FakeRouter:
    """Journals and announces; serves RPC_JOURNAL and flatten."""

    def __init__(self, bus: Bus, path: Path) -> None:
        self.bus = bus
        self.journal = Journal.open(path)
        self.commands: list[pb.OperatorCommand] = []
        self.asked: list[int] = []
        self.position = Position("bybit", "main", PERP)

    async def serve(self) -> None:
        """Answers requests."""
        await self.bus.serve(subjects.RPC_JOURNAL, pb.JournalFollowRequest, self._follow)
        await self.bus.serve(subjects.operator("flatten"), pb.OperatorCommand, self._flatten)

    async def _follow(self, received: Received[pb.JournalFollowRequest]) -> pb.JournalFollowReply:
        self.asked.append(received.message.from_seq)
        found = self.journal.follow(received.message.from_seq, received.message.limit)
        return pb.JournalFollowReply(
            rows=[
                pb.JournalRow(
                    term=row.term, seq=row.seq, kind=row.kind, payload=row.payload, hash=row.hash, ts_ms=row.ts_ms
                )
                for row in found
            ],
            last_seq=self.journal.last_seq,
        )

    async def _flatten(self, received: Received[pb.OperatorCommand]) -> pb.OperatorReceipt:
        self.commands.append(received.message)
        return pb.OperatorReceipt(
            command_id=received.message.command_id,
            accepted=True,
            prior_state=pb.TRADING_STATE_ACTIVE,
            new_state=pb.TRADING_STATE_DISARMED,
            code="DONE",
            effects=["cancelled 0 orders"],
        )

    def write(self, kind: str, payload: dict[str, str | int | bool]) -> int:
        """Appends a row; gives its sequence."""
        seq = self.journal.last_seq + 1
        self.journal.append([Row(seq, kind, rows.encode(payload), 1)])
        return seq

    def wallet(self, amount: Decimal = OPENING) -> None:
        """The first reading of the wallet."""
        self.write("wallet", wallet_payload(amount))

    async def order(self, news: OrderNews, *, announce: bool = True) -> pb.OrderEvent:
        """Journals an order's state and tells the bus."""
        seq = self.write("order", order_payload(news.order, news.ts_ms))
        event = order_to_pb(news.order, journal_seq=seq, term=self.journal.term, ts_ms=news.ts_ms)
        if announce:
            await self.bus.publish_durable(subjects.ORDER_EVENT, event, idempotency_key=f"o{self.journal.term}.{seq}")
        return event

    async def fill(self, fill: Fill, *, announce: bool = True) -> pb.Fill:
        """Journals a fill with the profit that it realises and tells the bus."""
        from dataclasses import replace

        applied = apply_fill(self.position, fill.side, fill.quantity, fill.price, fill.fee)
        self.position = applied.position
        booked = replace(fill, realized_pnl=applied.realized, term=self.journal.term)
        seq = self.write("fill", fill_payload(booked))
        message = fill_to_pb(replace(booked, journal_seq=seq))
        if announce:
            await self.bus.publish_durable(
                subjects.fill(fill.venue, fill.account, fill.symbol), message, idempotency_key=fill.fill_id
            )
        return message

    async def speak(self, mark: str = "100") -> None:
        """Publishes the router's own account."""
        await self.bus.publish(
            subjects.ROUTER_STATE,
            pb.RouterState(
                trading_state=pb.TRADING_STATE_ACTIVE,
                equity=pb.Equity(venue="bybit", account="main", currency="USDT", wallet=text_of(OPENING)),
                positions=[
                    pb.Position(
                        venue="bybit",
                        account="main",
                        symbol=PERP,
                        quantity=text_of(self.position.quantity),
                        mark_price=mark,
                        stop_price="90",
                    )
                ],
                journal_seq=self.journal.last_seq,
                reconciled=True,
            ),
        )


class FakeVenue:
    """A venue that says what it is told to say."""

    def __init__(self) -> None:
        self.orders: dict[str, VenueOrder] = {}
        self.done: list[VenueExecution] = []
        self.held = Decimal(0)
        self.money = OPENING
        self.error: Exception | None = None
        self.closed = False

    def take(self, news: OrderNews) -> None:
        """The venue has this order."""
        order = news.order
        self.orders[order.venue_order_id] = VenueOrder(
            venue_order_id=order.venue_order_id,
            client_order_id=order.client_order_id,
            parent_client_order_id="",
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            role=order.role,
            quantity=order.quantity,
            price=order.price,
            trigger_price=None,
            reduce_only=order.reduce_only,
            state=order.state,
            filled=order.filled,
            average_price=order.average_price,
            created_ms=2_000_000_000_000,
            updated_ms=2_000_000_000_000,
        )

    def trade(self, fill: Fill, cash: Decimal) -> None:
        """The venue has traded; `cash` is what it did to the wallet."""
        self.done.append(
            VenueExecution(
                venue_trade_id=fill.venue_trade_id,
                venue_order_id=fill.venue_order_id,
                client_order_id=fill.client_order_id,
                kind=ExecutionKind.TRADE,
                symbol=fill.symbol,
                side=fill.side,
                price=fill.price,
                quantity=fill.quantity,
                fee=fill.fee,
                fee_currency=fill.fee_currency,
                maker=fill.maker,
                ts_ms=fill.t_exchange_ms,
            )
        )
        self.held += fill.quantity if fill.side is Side.BUY else -fill.quantity
        self.money += cash

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    async def load_instruments(self) -> Sequence[Instrument]:
        """None are needed."""
        self._answer()
        return ()

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Live orders."""
        self._answer()
        return [order for order in self.orders.values() if not order.state.is_terminal]

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Ended orders that it dates to then."""
        self._answer()
        ended = (order for order in self.orders.values() if order.state.is_terminal)
        return [order for order in ended if since_ms <= order.updated_ms <= until_ms]

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """Trades of then."""
        self._answer()
        return [done for done in self.done if since_ms <= done.ts_ms <= until_ms]

    async def positions(self) -> Sequence[VenuePosition]:
        """The one position."""
        self._answer()
        if not self.held:
            return []
        return [VenuePosition(PERP, self.held, Decimal(100), None, None, None, Decimal(1))]

    async def wallet(self) -> VenueWallet:
        """The wallet."""
        self._answer()
        return VenueWallet("USDT", self.money, Decimal(0), self.money, self.money)

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """By the venue's id."""
        self._answer()
        return self.orders.get(venue_order_id)

    async def close(self) -> None:
        """Remembers that it was closed."""
        self.closed = True
