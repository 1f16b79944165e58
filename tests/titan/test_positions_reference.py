"""Position arithmetic against the position class of a published trading engine, over ten thousand random lives.

The reference is `nautilus_trader` (extra `reference`, some 600 MB, so no part of `make test`'s lock): without it these tests are
skipped and say so. Its averages are binary floats and its money has 8 places; quantities must be equal, the rest to that.
Its position does not turn by itself: its engine splits a fill that flips into one that closes and one that opens. So does this.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from titan.model import Position, Side
from titan.positions import apply_fill

LIVES = 10_000
MAX_FILLS = 24
NEEDS = (
    "nautilus_trader is not installed: pip install --require-hashes -r requirements/reference.lock, then run this file"
)


@dataclass(frozen=True, slots=True)
class _Reference:
    """The engine's names, imported once."""

    model: Any
    events: Any
    identifiers: Any
    enums: Any
    objects: Any
    instrument: Any
    usdt: Any
    uuid: Any

    def fill(self, number: int, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> Any:
        ids, enums, objects = self.identifiers, self.enums, self.objects
        return self.events.OrderFilled(
            ids.TraderId("T-1"),
            ids.StrategyId("S-1"),
            self.instrument.id,
            ids.ClientOrderId(f"c{number}"),
            ids.VenueOrderId(f"v{number}"),
            ids.AccountId("BYBIT-1"),
            ids.TradeId(f"t{number}"),
            ids.PositionId("P-1"),
            enums.OrderSide.BUY if side is Side.BUY else enums.OrderSide.SELL,
            enums.OrderType.MARKET,
            objects.Quantity.from_str(str(quantity)),
            objects.Price.from_str(str(price)),
            self.usdt,
            objects.Money(fee, self.usdt),
            enums.LiquiditySide.TAKER,
            self.uuid,
            0,
            0,
        )

    def position(self, opening: Any) -> Any:
        return self.model.Position(self.instrument, opening)


@pytest.fixture(scope="module")
def reference() -> _Reference:
    pytest.importorskip("nautilus_trader", reason=NEEDS)
    import importlib

    def module(name: str) -> Any:
        return importlib.import_module(f"nautilus_trader.{name}")

    ids, objects, currencies = module("model.identifiers"), module("model.objects"), module("model.currencies")
    nothing = Decimal(0)
    instrument = module("model.instruments").CryptoPerpetual(
        instrument_id=ids.InstrumentId.from_str("BTCUSDT-PERP.BYBIT"),
        raw_symbol=ids.Symbol("BTCUSDT"),
        base_currency=currencies.BTC,
        quote_currency=currencies.USDT,
        settlement_currency=currencies.USDT,
        is_inverse=False,
        price_precision=2,
        size_precision=3,
        price_increment=objects.Price.from_str("0.01"),
        size_increment=objects.Quantity.from_str("0.001"),
        ts_event=0,
        ts_init=0,
        margin_init=nothing,
        margin_maint=nothing,
        maker_fee=nothing,
        taker_fee=nothing,
    )
    return _Reference(
        module("model.position"),
        module("model.events"),
        ids,
        module("model.enums"),
        objects,
        instrument,
        currencies.USDT,
        module("core.uuid").UUID4(),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal


def _life(seed: int) -> list[_Step]:
    chance = random.Random(seed)
    price = chance.randrange(100, 9_000_000)
    steps = []
    for _ in range(chance.randrange(1, MAX_FILLS)):
        price = max(1, price + chance.randrange(-price // 20 - 1, price // 20 + 2))
        quantity = Decimal(chance.choice((1, 10, 250, chance.randrange(1, 5_000)))).scaleb(-3)
        paid = Decimal(price).scaleb(-2)
        fee = (quantity * paid * Decimal("0.00055")).quantize(Decimal("1e-8"))
        steps.append(_Step(chance.choice((Side.BUY, Side.SELL)), quantity, paid, fee))
    return steps


class _Theirs:
    """The reference's view of a whole life: one position object a holding, their money added up."""

    def __init__(self, reference: _Reference) -> None:
        self._reference = reference
        self._open: Any = None
        self._done = Decimal(0)
        self._number = 0
        self.parts = 0

    @property
    def quantity(self) -> Decimal:
        return Decimal(0) if self._open is None else Decimal(str(self._open.signed_decimal_qty()))

    @property
    def average(self) -> Decimal:
        return Decimal(0) if self._open is None else Decimal(repr(self._open.avg_px_open))

    @property
    def realized(self) -> Decimal:
        """After fees, as the reference has it."""
        live = Decimal(0) if self._open is None else self._open.realized_pnl.as_decimal()
        return self._done + live

    def take(self, step: _Step) -> None:
        held = self.quantity
        signed = step.quantity * step.side.sign
        if held and (held > 0) != (signed > 0) and abs(signed) > abs(held):
            closing_fee = (step.fee * abs(held) / step.quantity).quantize(Decimal("1e-8"))
            self._apply(step.side, abs(held), step.price, closing_fee)
            self._apply(step.side, step.quantity - abs(held), step.price, step.fee - closing_fee)
        else:
            self._apply(step.side, step.quantity, step.price, step.fee)

    def _apply(self, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        self._number += 1
        self.parts += 1
        fill = self._reference.fill(self._number, side, quantity, price, fee)
        if self._open is None:
            self._open = self._reference.position(fill)
        else:
            self._open.apply(fill)
        if self._open.is_closed:
            self._done += self._open.realized_pnl.as_decimal()
            self._open = None


def _near(ours: Decimal, theirs: Decimal, slack: Decimal) -> bool:
    return abs(ours - theirs) <= slack + abs(theirs) * Decimal("1e-12")


def test_ten_thousand_lives_agree_with_the_reference_on_quantity_average_and_profit(reference: _Reference) -> None:
    flips = closes = 0
    for seed in range(LIVES):
        position, theirs = Position("bybit", "main", "BTC/USDT:USDT"), _Theirs(reference)
        for step in _life(seed):
            applied = apply_fill(position, step.side, step.quantity, step.price, step.fee)
            position = applied.position
            flips += applied.flipped
            closes += position.is_flat
            theirs.take(step)
            where = f"seed {seed}, {step}"
            assert position.quantity == theirs.quantity, where
            assert _near(position.average_price, theirs.average, Decimal("1e-9")), where
            # Each of their amounts is rounded to 8 places.
            slack = Decimal("1e-8") * (theirs.parts + 1)
            assert _near(position.realized_pnl - position.fees, theirs.realized, slack), where
    assert flips > LIVES / 2
    assert closes > LIVES / 50


def test_ten_thousand_lives_earn_what_their_cash_flows_say() -> None:
    """What was sold for, less what was bought for, plus what is held at its average, is the realised profit."""
    for seed in range(LIVES):
        position = Position("bybit", "main", "BTC/USDT:USDT")
        flow = Decimal(0)
        for step in _life(seed):
            position = apply_fill(position, step.side, step.quantity, step.price, step.fee).position
            flow -= step.price * step.quantity * step.side.sign
        assert _near(position.realized_pnl, flow + position.average_price * position.quantity, Decimal("1e-15"))
