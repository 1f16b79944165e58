"""Invariants of the core under random commands and events: money, fills, priority, protection, determinism."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.titan.paper.house import BTC, CANONICAL, ETH, SYMBOL, T0, D, levels
from titan.paper.commands import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder, SetLeverage
from titan.paper.core import PaperVenueCore
from titan.paper.feeds.base import FeedBook, FeedEvent, FeedMark, FeedTrade
from titan.paper.orders import (
    Effect,
    ExecType,
    Executed,
    NewOrder,
    OrderChanged,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    WalletChanged,
)

prices = st.integers(940, 1060).map(lambda n: D(n) / 10)
quantities = st.integers(1, 3000).map(lambda n: D(n) / 1000)
sides = st.sampled_from(Side)


@st.composite
def orders(draw: st.DrawFn) -> PlaceOrder:
    kind = draw(st.sampled_from(OrderType))
    side = draw(sides)
    price = draw(prices) if kind is OrderType.LIMIT else D(0)
    protected = draw(st.booleans())
    base = price or D(100)
    trigger = draw(st.sampled_from([0, 0, 0, 1, 2]))
    return PlaceOrder(
        NewOrder(
            SYMBOL,
            side,
            kind,
            draw(quantities),
            price,
            draw(st.sampled_from(TimeInForce)) if kind is OrderType.LIMIT else TimeInForce.GTC,
            reduce_only=draw(st.booleans()),
            trigger_direction=trigger,
            trigger_price=D(0) if not trigger else draw(prices),
            stop_loss=base - 8 * side.sign if protected else D(0),
            take_profit=base + 8 * side.sign if protected else D(0),
        )
    )


@st.composite
def books(draw: st.DrawFn) -> FeedBook:
    middle = draw(st.integers(950, 1050))
    sizes = draw(st.lists(st.integers(1, 2000), min_size=6, max_size=6))
    bids = levels(*((str(D(middle - 1 - n) / 10), str(D(sizes[n]) / 1000)) for n in range(3)))
    asks = levels(*((str(D(middle + 1 + n) / 10), str(D(sizes[3 + n]) / 1000)) for n in range(3)))
    return FeedBook(T0, CANONICAL, bids, asks)


inputs = st.one_of(
    orders(),
    books(),
    st.builds(
        FeedTrade, st.just(T0), st.just(CANONICAL), prices, quantities, st.sampled_from(["buy", "sell"]), st.just("t")
    ),
    st.builds(
        FeedMark,
        st.just(T0),
        st.just(CANONICAL),
        prices,
        prices,
        st.sampled_from([D("0.0001"), D("-0.0003"), D(0)]),
        st.integers(T0 + 20, T0 + 60),
        st.just(D(9)),
    ),
    st.builds(CancelAll, st.just(SYMBOL)),
    st.builds(SetLeverage, st.just(SYMBOL), st.integers(1, 20).map(D)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("amend"), st.integers(0, 9), prices, quantities),
)
scripts = st.lists(inputs, min_size=15, max_size=70)


class Checked:
    """A core whose every step is held against the invariants."""

    def __init__(self, wallet: str) -> None:
        self.core = PaperVenueCore([BTC, ETH], D(wallet), "property")
        self.initial = D(wallet)
        self.now = T0
        self.traded = D(0)
        self.fees = D(0)
        self.size = D(0)
        self.filled: dict[str, D] = {}
        self.log: list[Effect] = []
        for event in (
            FeedBook(T0, CANONICAL, levels(("99.9", 2), ("99.8", 2)), levels(("100.1", 2), ("100.2", 2))),
            FeedTrade(T0, CANONICAL, D(100), D(1), "buy", "t"),
            FeedMark(T0, CANONICAL, D(100), D(100), D("0.0001"), T0 + 20, D(9)),
        ):
            self.step(event)

    def step(self, raw: object) -> None:
        event = self._resolve(raw)
        if event is None:
            return
        self.now += 1
        before = {o.order_id: (o.side, o.price, o.seq) for side in Side for o in self.core.symbols[SYMBOL].queues[side]}
        result = self.core.handle(event, self.now)
        self.log.extend(result.effects)
        done = [e.execution for e in result.effects if isinstance(e, Executed)]
        reduce_only = {e.order.order_id for e in result.effects if isinstance(e, OrderChanged) and e.order.reduce_only}
        for execution in done:
            self.fees += execution.fee
            if execution.exec_type is ExecType.FUNDING:
                continue
            signed = execution.qty * execution.side.sign
            if execution.order_id in reduce_only:
                assert abs(self.size + signed) < abs(self.size)
                assert (self.size + signed) * self.size >= 0
            self.size += signed
            self.traded += signed * execution.price
            self.filled[execution.order_id] = self.filled.get(execution.order_id, D(0)) + execution.qty
        if isinstance(event, FeedTrade):
            makers = [e for e in done if e.is_maker]
            assert sum((e.qty for e in makers), D(0)) <= event.qty
            self._check_priority(before, {e.order_id for e in makers})
        self._check(result.effects)

    def _resolve(self, raw: object) -> Command | FeedEvent | None:
        if not isinstance(raw, tuple):
            return raw  # type: ignore[return-value]
        ids = list(self.core.open_orders)
        if not ids:
            return None
        chosen = ids[raw[1] % len(ids)]
        if raw[0] == "cancel":
            return CancelOrder(SYMBOL, chosen)
        return AmendOrder(SYMBOL, chosen, price=raw[2], qty=raw[3])

    def _check_priority(self, before: dict[str, tuple[Side, D, int]], hit: set[str]) -> None:
        """Whoever was filled leaves no open order of its side with an earlier right behind it."""
        for order_id in hit:
            side, price, seq = before[order_id]
            for other in self.core.symbols[SYMBOL].queues[side]:
                if other.order_id not in before or other.order_id == order_id:
                    continue
                better = other.price > price if side is Side.BUY else other.price < price
                assert not better
                assert not (other.price == price and other.seq < seq)

    def _check(self, effects: list[Effect]) -> None:
        core = self.core
        position = core.account.positions[SYMBOL]
        assert position.size == self.size
        assert core.account.wallet - position.cost == self.initial - self.traded - self.fees
        for effect in effects:
            if isinstance(effect, OrderChanged):
                order = effect.order
                assert order.cum_qty <= order.qty
                assert order.cum_qty == self.filled.get(order.order_id, D(0))
                assert (order.status is OrderStatus.FILLED) == (order.cum_qty == order.qty)
        state = core.symbols[SYMBOL]
        for side, counted in ((Side.BUY, state.exposure.buy_qty), (Side.SELL, state.exposure.sell_qty)):
            assert counted == sum((o.leaves for o in state.queues[side] if not o.reduce_only), D(0))
            for order in state.queues[side]:
                assert order.queue_ahead >= 0
                if order.reduce_only:
                    assert order.leaves <= state.room(order.side)
        for price, kind in ((position.stop_loss, "StopLoss"), (position.take_profit, "TakeProfit")):
            waiting = [o.qty for o in state.untriggered.values() if o.stop_type.value == kind]
            assert waiting == ([abs(self.size)] if price else [])
        if not self.size:
            assert position.cost == 0


@settings(max_examples=200, deadline=None)
@given(scripts)
def test_money_fills_priority_and_protection_hold_after_every_input(script: list[object]) -> None:
    checked = Checked("100000")
    for raw in script:
        checked.step(raw)


@settings(max_examples=100, deadline=None)
@given(scripts)
def test_they_hold_for_an_account_that_can_be_liquidated(script: list[object]) -> None:
    checked = Checked("30")
    for raw in script:
        checked.step(raw)


@settings(max_examples=50, deadline=None)
@given(scripts)
def test_the_same_inputs_give_the_same_effects(script: list[object]) -> None:
    first, second = Checked("1000"), Checked("1000")
    for raw in script:
        first.step(raw)
        second.step(raw)
    assert first.log == second.log


@settings(max_examples=50, deadline=None)
@given(scripts)
def test_wallet_rows_chain_and_numbers_have_no_gap(script: list[object]) -> None:
    checked = Checked("1000")
    for raw in script:
        checked.step(raw)
    rows = [e.row for e in checked.log if isinstance(e, WalletChanged)]
    wallet = D(1000)
    for number, row in enumerate(rows, 1):
        wallet += row.change
        assert (row.seq, row.wallet) == (number, wallet)
    executions = [e.execution for e in checked.log if isinstance(e, Executed)]
    assert [e.seq for e in executions] == list(range(1, len(executions) + 1))
    assert len({e.exec_id for e in executions}) == len(executions)


@settings(max_examples=60, deadline=None)
@given(books(), quantities, st.one_of(st.none(), prices), sides)
def test_a_taker_never_gets_more_than_the_book_shows_nor_a_worse_price_than_its_limit(
    event: FeedBook, qty: D, limit: D | None, side: Side
) -> None:
    core = PaperVenueCore([BTC], D(10**6), "taker")
    core.handle(event, T0)
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    result = core.handle(PlaceOrder(NewOrder(SYMBOL, side, kind, qty, limit or D(0), TimeInForce.IOC)), T0)
    fills = [e.execution for e in result.effects if isinstance(e, Executed)]
    shown = dict(event.asks if side is Side.BUY else event.bids)
    for fill in fills:
        assert fill.qty <= shown[fill.price]
        assert limit is None or (fill.price - limit) * side.sign <= 0
    assert [f.price * side.sign for f in fills] == sorted(f.price * side.sign for f in fills)
    assert sum((f.qty for f in fills), D(0)) <= qty
