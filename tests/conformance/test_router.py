"""The router as a process at every venue, with the network killed in the middle of an order.

The venue takes a client id again after a fill, so a resend would be a second order; its own ledger is the oracle.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from protos import trading_pb2 as pb
from tests.actors.router.live import world
from tests.conformance.bench import VENUES
from tests.waiting import until
from titan.model import Action, Side


@pytest.mark.parametrize("name", VENUES)
async def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(name: str, open_dir: Path) -> None:
    async with world(open_dir, speaks=name) as here:
        await here.start_router()
        here.proxy.mode = "drop"
        entry = await here.intent()
        await here.order(entry)
        ended = await here.settled(entry.intent_id)
        assert ended.state == pb.ORDER_STATE_FILLED
        assert here.proxy.creates == 1
        here.proxy.mode = "pass"
        sent = [row for row in await here.ledger("orders") if row["link_id"] == ended.client_order_id]
        assert [row["status"] for row in sent] == ["Filled"]

        async def protected() -> bool:
            state = here.state
            return state is not None and any(each.stop_price for each in state.positions)

        await until(protected, "a stop at the venue")
        out = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None)
        await here.order(out)
        assert (await here.settled(out.intent_id)).state == pb.ORDER_STATE_FILLED
        assert await here.venue_position() == 0
        assert here.proxy.creates == 2

        async def booked() -> bool:
            trades = [row for row in await here.ledger("executions") if row["exec_type"] == "Trade"]
            fills = [row for row in await here.journal() if row["kind"] == "fill"]
            return sorted(Decimal(row["price"]) for row in fills) == sorted(Decimal(row["price"]) for row in trades)

        await until(booked, "every trade of the venue in the journal, once")
        assert here.router is not None
        assert await here.router.stop() == 0
