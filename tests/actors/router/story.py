"""A seeded life of a router as journal rows: orders, fills, funding, wallets, days, refusals, adopted positions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from actors.router import books, rows
from actors.router.state import RouterState
from tests.actors.router.support import BTC, ETH, T0, config
from titan.codes import TradingState
from titan.ids import ClientOrderId
from titan.journal import Row, StoredRow
from titan.model import Fill, Order, OrderRole, OrderState, OrderType, Phase, Side
from titan.money import text_of

HOUR_MS = 3_600_000
CONFIG = config()


class Story:
    """Writes rows that follow from each other; `state` is what they make."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.state = RouterState()
        self.ts_ms = T0
        self.seq = 0
        self.numbers = 0
        self.live: list[Order] = []

    def begin(self) -> Iterator[Row]:
        """A start and the first reading of the wallet."""
        yield self._row(
            rows.START,
            {"account": "main", "pid": 1, "policy_hash": "h", "started_ms": T0, "ts_ms": self.ts_ms, "venue": "bybit"},
        )
        yield self.wallet(Decimal(10_000), "")

    def more(self, count: int) -> list[Row]:
        """The next rows, at least `count`."""
        made: list[Row] = [] if self.seq else list(self.begin())
        steps = (self._new, self._new, self._advance, self._advance, self._advance, self._fund, self._other)
        while len(made) < count:
            self.ts_ms += self.chance.randrange(HOUR_MS)
            made.extend(self.chance.choice(steps)())
        return made

    def wallet(self, amount: Decimal, previous: str) -> Row:
        """The venue's wallet."""
        payload: dict[str, rows.Scalar] = {"currency": "USDT", "previous": previous, "reason": "x", "ts_ms": self.ts_ms}
        return self._row(rows.WALLET, {**payload, "wallet": text_of(amount)})

    def _row(self, kind: str, payload: rows.Payload) -> Row:
        self.seq += 1
        row = Row(self.seq, kind, rows.encode(payload), self.ts_ms)
        books.replay(self.state, CONFIG, [StoredRow(row.seq, 1, kind, row.payload, b"", row.ts_ms)])
        return row

    def _price(self) -> Decimal:
        return Decimal(self.chance.randrange(90_000, 110_000)) / 10

    def _new(self) -> Iterator[Row]:
        self.numbers += 1
        order = Order(
            client_order_id=ClientOrderId(f"c{self.numbers}"),
            intent_id=f"i{self.numbers}",
            signal_id=f"s{self.numbers}",
            child=0,
            role=self.chance.choice((OrderRole.ENTRY, OrderRole.ENTRY, OrderRole.CLOSE, OrderRole.STOP)),
            phase=self.chance.choice((Phase.SCAVENGER, Phase.HUNTER)),
            venue="bybit",
            account="main",
            symbol=self.chance.choice((BTC, ETH)),
            side=self.chance.choice((Side.BUY, Side.SELL)),
            order_type=OrderType.LIMIT,
            quantity=Decimal(self.chance.randrange(1, 500)) / 1000,
            price=self._price(),
            trigger_price=None,
            stop_price=self._price(),
            target_price=None,
            reduce_only=False,
            state=OrderState.PENDING,
            created_ms=self.ts_ms,
            updated_ms=self.ts_ms,
        )
        yield self._order(order, "NEW")
        acked = replace(order, state=OrderState.OPEN, venue_order_id=f"v{self.numbers}", venue_ts_ms=self.ts_ms)
        yield self._order(acked, "ACK")
        self.live.append(acked)

    def _order(self, order: Order, event: str) -> Row:
        return self._row(rows.ORDER, rows.order_payload(order, event, self.ts_ms))

    def _advance(self) -> Iterator[Row]:
        if not self.live:
            return
        order = self.live.pop(self.chance.randrange(len(self.live)))
        if self.chance.random() < 0.25:
            ended = replace(order, state=OrderState.CANCELED, updated_ms=self.ts_ms)
            yield self._order(ended, "CANCEL")
            if self.chance.random() < 0.3:
                # A late fill is still booked.
                self.live.append(ended)
            return
        rest = order.quantity - order.filled
        quantity = rest if self.chance.random() < 0.5 else max(Decimal("0.001"), (rest / 2).quantize(Decimal("0.001")))
        yield self._fill(order, quantity)
        filled = order.filled + quantity
        whole = filled >= order.quantity
        state = OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED
        average = self.state.traded[order.client_order_id] / filled
        grown = replace(order, filled=filled, average_price=average, state=state, updated_ms=self.ts_ms)
        yield self._order(grown, "FILL" if whole else "PARTIAL_FILL")
        if not whole:
            self.live.append(grown)

    def _fill(self, order: Order, quantity: Decimal) -> Row:
        self.numbers += 1
        price = self._price()
        fill = Fill(
            fill_id=f"bybit:main:t{self.numbers}",
            venue_trade_id=f"t{self.numbers}",
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            venue="bybit",
            account="main",
            symbol=order.symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=price * quantity * Decimal("0.00055"),
            fee_currency="USDT",
            maker=False,
            t_exchange_ms=self.ts_ms,
            intent_id=order.intent_id,
            signal_id=order.signal_id,
            phase=order.phase,
            role=order.role,
            t_ingress_ms=self.ts_ms,
        )
        realized = books.applied_fill(self.state, CONFIG, fill).realized
        return self._row(rows.FILL, rows.fill_payload(replace(fill, realized_pnl=realized), self.ts_ms))

    def _fund(self) -> Iterator[Row]:
        self.numbers += 1
        symbol = self.chance.choice((BTC, ETH))
        payload: dict[str, rows.Scalar] = {
            "account": "main",
            "fill_id": f"bybit:main:f{self.numbers}",
            "paid": text_of(Decimal(self.chance.randrange(-500, 500)) / 100),
            "price": "10000",
            "quantity": "1",
            "symbol": symbol,
            "t_exchange_ms": self.ts_ms,
            "ts_ms": self.ts_ms,
            "venue": "bybit",
            "venue_trade_id": f"f{self.numbers}",
        }
        yield self._row(rows.FUNDING, payload)

    def _other(self) -> Iterator[Row]:
        self.numbers += 1
        cash = self.state.money.cash
        assert cash is not None
        match self.chance.randrange(5):
            case 0:
                yield self.wallet((cash + self.chance.randrange(-50, 50)).quantize(Decimal("0.01")), text_of(cash))
            case 1:
                day: dict[str, rows.Scalar] = {
                    "day": f"2026-01-{1 + self.numbers % 28:02}",
                    "start_of_day": text_of(cash),
                    "ts_ms": self.ts_ms,
                }
                yield self._row(rows.DAY, {**day, "high_watermark": text_of(cash + 5)})
            case 2:
                held = self.state.position(CONFIG, BTC)
                adopted = replace(held, quantity=held.quantity + Decimal("0.25"), average_price=self._price())
                yield self._row(rows.POSITION, rows.position_payload(adopted, held, "venue", self.ts_ms))
            case 3:
                names = ("expected_policy_hash", "got_policy_hash", "phase", "side", "signal_id", "symbol")
                refused = dict.fromkeys(names, "")
                said: dict[str, rows.Scalar] = {
                    "code": "HALTED",
                    "detail": "no",
                    "intent_id": f"i{self.numbers}",
                    "ts_ms": self.ts_ms,
                }
                yield self._row(rows.REJECT, {**refused, **said})
            case _:
                before, now = self.state.trading, self.chance.choice(tuple(TradingState))
                payload: dict[str, rows.Scalar] = {
                    "current": now.value,
                    "previous": before.value,
                    "resume_to": now.value,
                    "reason": "why",
                }
                times: dict[str, rows.Scalar] = {"run_started_ms": self.ts_ms, "ts_ms": self.ts_ms}
                yield self._row(rows.TRADING, {**payload, "operator_id": "op", **times})
