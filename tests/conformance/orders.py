"""Cards C01 to C19: the life of orders when nothing goes wrong, and the venue's clear refusals."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from tests.conformance.bench import BTC, FAR_MS, Bench, limit, order
from tests.conformance.cards import card
from tests.titan.paper.house import T0, book, levels, mark, trade
from titan.errors import Ambiguous, Rejected
from titan.ids import ClientOrderId
from titan.model import OrderState, OrderType, Side
from titan.paper.protocol.auth import Credentials
from titan.venues.base import ClientIdRule, ExecutionKind, PostOnlyRefusal

D = Decimal
ORDERS = "Orders"
REFUSALS = "Refusals"


@card("C01", ORDERS, "A market order is acknowledged, fills, and stands in history and executions under its client id")
async def market_order(b: Bench) -> None:
    sent = order()
    ack = await b.venue.submit(sent)
    assert ack.client_order_id == sent.client_order_id
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert (found.state, found.filled, found.average_price) == (OrderState.FILLED, D("0.1"), D(101))
    assert found.venue_order_id == ack.venue_order_id
    done = await b.venue.executions(0, FAR_MS)
    assert [(one.client_order_id, one.venue_order_id, one.price, one.quantity, one.maker) for one in done] == [
        (sent.client_order_id, ack.venue_order_id, D(101), D("0.1"), False)
    ]
    assert [one.client_order_id for one in await b.venue.closed_orders(0, FAR_MS)] == [sent.client_order_id]


@card("C02", ORDERS, "A resting order fills in parts; every part is one execution, the order grows with them")
async def partial_fills(b: Bench) -> None:
    sent = limit("100", quantity="2")
    await b.venue.submit(sent)
    b.feed(book(levels((100, "0.5"), (99, 2)), levels((101, 1))))
    states = []
    for number in range(1, 4):
        b.feed(trade(100, 1, "sell", ts=T0 + 2000 + number))
        found = await b.venue.find_order(BTC, sent.client_order_id)
        assert found is not None
        states.append((found.state, found.filled))
    assert states[0][0] is OrderState.PARTIALLY_FILLED
    assert states[-1] == (OrderState.FILLED, D(2))
    done = await b.venue.executions(0, FAR_MS)
    assert len(done) > 1
    assert sum(one.quantity for one in done) == D(2)
    assert len({one.venue_trade_id for one in done}) == len(done)
    assert all(one.maker and one.client_order_id == sent.client_order_id for one in done)


@card("C03", ORDERS, "A post-only order that would take ends without a fill, as the capabilities say")
async def post_only(b: Bench) -> None:
    taker = limit("105", order_type=OrderType.POST_ONLY)
    if b.venue.capabilities.post_only_refusal is PostOnlyRefusal.REJECTED:
        with pytest.raises(Rejected):
            await b.venue.submit(taker)
    else:
        await b.venue.submit(taker)
        found = await b.venue.find_order(BTC, taker.client_order_id)
        assert found is not None
        assert (found.state, found.filled) == (OrderState.CANCELED, D(0))
    maker = limit("90", order_type=OrderType.POST_ONLY)
    await b.venue.submit(maker)
    assert [one.client_order_id for one in await b.venue.open_orders()] == [maker.client_order_id]
    assert b.trades() == []


@card("C04", ORDERS, "What an IOC order can't fill at once is cancelled; what it filled stays")
async def immediate_or_cancel(b: Bench) -> None:
    sent = limit("101", quantity="3", order_type=OrderType.IOC)
    await b.venue.submit(sent)
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert (found.state, found.filled) == (OrderState.CANCELED, D(1))
    assert await b.venue.open_orders() == []
    assert [one.quantity for one in await b.venue.executions(0, FAR_MS)] == [D(1)]


@card("C05", ORDERS, "A reduce-only order closes at most the position, and is refused when there is none")
async def reduce_only(b: Bench) -> None:
    with pytest.raises(Rejected):
        await b.venue.submit(order(Side.SELL, reduce_only=True))
    await b.venue.submit(order(quantity="0.2"))
    await b.venue.submit(order(Side.SELL, "0.5", reduce_only=True))
    assert await b.venue.positions() == []


@card("C06", ORDERS, "A resting order is cancelled by either id and seen cancelled; a second cancel is refused")
async def cancel(b: Bench) -> None:
    for by_venue_id in (False, True):
        sent = limit("80")
        ack = await b.venue.submit(sent)
        await b.venue.cancel(BTC, sent.client_order_id, ack.venue_order_id if by_venue_id else "")
        found = await b.venue.find_order(BTC, sent.client_order_id)
        assert found is not None
        assert found.state is OrderState.CANCELED
        with pytest.raises(Rejected):
            await b.venue.cancel(BTC, sent.client_order_id, ack.venue_order_id if by_venue_id else "")
    assert await b.venue.open_orders() == []


@card("C07", ORDERS, "Cancelling a filled order is refused and changes nothing")
async def cancel_of_filled(b: Bench) -> None:
    sent = order()
    ack = await b.venue.submit(sent)
    for venue_order_id in ("", ack.venue_order_id):
        with pytest.raises(Rejected):
            await b.venue.cancel(BTC, sent.client_order_id, venue_order_id)
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert found.state is OrderState.FILLED


@card("C08", ORDERS, "Price and quantity of a resting order change in place", instead={"mexc": "refused, not offered"})
async def amend(b: Bench) -> None:
    sent = limit("80", quantity="0.2")
    ack = await b.venue.submit(sent)
    if not b.venue.capabilities.amends:
        with pytest.raises(Rejected):
            await b.venue.amend(sent, price=D(81))
        assert [one.price for one in await b.venue.open_orders()] == [D(80)]
        return
    await b.venue.amend(sent, price=D(81), quantity=D("0.3"))
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert (found.venue_order_id, found.price, found.quantity) == (ack.venue_order_id, D(81), D("0.3"))
    assert len(await b.venue.open_orders()) == 1


@card("C09", ORDERS, "A client id that is live already is a question (Ambiguous), and makes no second order")
async def duplicate_id_while_live(b: Bench) -> None:
    sent = limit("80")
    await b.venue.submit(sent)
    with pytest.raises(Ambiguous):
        await b.venue.submit(sent)
    assert len(b.orders(sent.client_order_id)) == 1


@card(
    "C10",
    ORDERS,
    "A client id is taken again after a fill: a resend would be a second order, the venue's id tells them apart",
)
async def id_reused_after_fill(b: Bench) -> None:
    assert b.venue.capabilities.client_id_rule is ClientIdRule.REFUSED_WHILE_OPEN
    sent = order()
    first = await b.venue.submit(sent)
    second = await b.venue.submit(sent)
    assert first.venue_order_id != second.venue_order_id
    assert len(b.orders(sent.client_order_id)) == 2
    for ack in (first, second):
        found = await b.venue.find_order(BTC, sent.client_order_id, ack.venue_order_id)
        assert found is not None
        assert found.venue_order_id == ack.venue_order_id


@card("C11", ORDERS, "Every word of the capabilities about client ids holds at the venue")
async def client_id_limits(b: Bench) -> None:
    can = b.venue.capabilities
    longest = "x" * can.client_id_max
    assert re.fullmatch(f"{can.client_id_chars}+", longest)
    await b.venue.submit(limit("80", client_order_id=ClientOrderId(longest)))
    assert [one.client_order_id for one in await b.venue.open_orders()] == [longest]
    for bad in (longest + "x", "a b"):
        with pytest.raises(Rejected):
            await b.venue.submit(limit("80", client_order_id=ClientOrderId(bad)))


@card("C12", REFUSALS, "A quantity off the lot or a price off the tick is refused; nothing reaches the book")
async def precision(b: Bench) -> None:
    for bad in (limit("80", quantity="0.1005"), limit("80.05"), limit("80", quantity="0.0001")):
        with pytest.raises(Rejected):
            await b.venue.submit(bad)
    assert b.orders() == []


@card("C13", REFUSALS, "A symbol that is not listed is refused before anything is sent")
async def unknown_symbol(b: Bench) -> None:
    before = b.paper.commands
    with pytest.raises(Rejected, match="lists no DOGE"):
        await b.venue.submit(order(symbol="DOGE/USDT:USDT"))
    assert b.paper.commands == before


@card("C14", REFUSALS, "A wrong secret is a refusal, not a doubt")
async def wrong_secret(b: Bench) -> None:
    other = await b.other(Credentials("card-key", "wrong"))
    with pytest.raises(Rejected):
        await other.wallet()
    stranger = await b.other(Credentials("nobody", "wrong"))
    with pytest.raises(Rejected):
        await stranger.wallet()


@card("C15", REFUSALS, "An order that the account can't pay for is refused in the venue's words")
async def insufficient_margin(b: Bench) -> None:
    with pytest.raises(Rejected, match=r"\d"):
        await b.venue.submit(limit("99999", Side.SELL, quantity="999"))
    assert b.orders() == []
    assert await b.venue.positions() == []


@card("C16", "Account", "Instruments carry the venue's own steps and limits")
async def instruments(b: Bench) -> None:
    found = {one.symbol: one for one in await b.venue.load_instruments()}
    btc = found[BTC]
    assert (btc.tick, btc.lot, btc.min_qty, btc.max_leverage) == (D("0.1"), D("0.001"), D("0.001"), D(100))
    assert (btc.venue, btc.kind, btc.settle) == (b.name, "perp", "USDT")


@card("C17", "Account", "Setting a leverage that is set already is a success")
async def leverage_twice(b: Bench) -> None:
    for _ in range(2):
        await b.venue.set_leverage(BTC, D(7))
    assert b.paper.core.account.positions["BTCUSDT"].leverage == 7
    await b.venue.submit(order())
    await b.venue.set_leverage(BTC, D(5))
    assert [one.leverage for one in await b.venue.positions()] == [D(5)]


@card("C18", "Account", "Positions and wallet equal the venue's books to the last digit")
async def books_agree(b: Bench) -> None:
    await b.venue.submit(order(quantity="0.5"))
    await b.venue.submit(order(Side.SELL, "0.2", reduce_only=True))
    held = await b.venue.positions()
    assert [(one.symbol, one.quantity, one.average_price, one.mark_price) for one in held] == [
        (BTC, D("0.3"), D(101), D(100))
    ]
    margin = b.paper.core.margin()
    money = await b.venue.wallet()
    assert (money.wallet, money.unrealized_pnl, money.equity) == (margin.wallet, margin.unrealised, margin.equity)


@card("C19", "Account", "A funding payment is one FUNDING execution of what the wallet paid")
async def funding(b: Bench) -> None:
    await b.venue.submit(order(quantity="1"))
    before = (await b.venue.wallet()).wallet
    due = T0 + 8 * 3_600_000
    b.feed(mark(100, next_ms=due, ts=due + 1))
    paid = [one for one in await b.venue.executions(0, FAR_MS) if one.kind is ExecutionKind.FUNDING]
    assert [(one.symbol, one.fee, one.ts_ms) for one in paid] == [(BTC, D("0.01"), due + 1)]
    assert (await b.venue.wallet()).wallet == before - D("0.01")
    again = [one.venue_trade_id for one in await b.venue.executions(due, due + 1000)]
    assert again == [paid[0].venue_trade_id]
