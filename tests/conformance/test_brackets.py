"""A bracket at every venue over real sockets: its targets stand with the position, survive the router, and go with it.

The stop travels as the venue has it (attached, or first); the targets are the router's own. The venue's ledger is the oracle.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from protos import trading_pb2 as pb
from tests.actors.router.live import World, world
from tests.conformance.bench import VENUES
from tests.waiting import until
from titan.model import Action, OrderRole, Side, Target, Terms
from titan.venues.adapters import make_venue


async def _targets(here: World) -> list[dict[str, Any]]:
    """Orders of the router that stand at the venue and only close."""
    return [
        row
        for row in await here.ledger("orders")
        if row["link_id"] and row["reduce_only"] and row["status"] in ("New", "PartiallyFilled")
    ]


@pytest.mark.parametrize("name", VENUES)
async def test_a_bracket_stands_survives_its_router_and_goes_with_its_position(name: str, open_dir: Path) -> None:
    async with world(open_dir, speaks=name) as here:
        await here.start_router()
        price = Decimal((await here.price())["ask1Price"])
        targets = (Target(price * Decimal("1.2"), Decimal("0.75")), Target(price * Decimal("1.3"), Decimal("0.25")))
        entry = await here.intent(usd="5000", terms=Terms(targets=targets))
        await here.order(entry)
        assert (await here.settled(entry.intent_id)).state == pb.ORDER_STATE_FILLED
        held = await here.venue_position()

        async def standing() -> bool:
            found = await _targets(here)
            return len(found) == 2 and sum(Decimal(str(row["qty"])) for row in found) == held

        await until(standing, "two targets that share what is held")
        before = {row["link_id"] for row in await _targets(here)}

        await here.kill_router()
        await here.start_router()
        assert {row["link_id"] for row in await _targets(here)} == before

        await here.told()
        out = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None)
        await here.order(out)
        assert (await here.settled(out.intent_id)).state == pb.ORDER_STATE_FILLED
        assert await here.venue_position() == 0

        async def gone() -> bool:
            return not await _targets(here)

        await until(gone, "no target without its position")
        sent = [row["link_id"] for row in await here.ledger("orders") if row["link_id"] in before]
        assert sorted(sent) == sorted(before)
        assert here.router is not None
        assert await here.router.stop() == 0


async def test_a_stop_that_vanished_is_set_again_and_found_where_the_venue_keeps_no_id_of_ours(open_dir: Path) -> None:
    async with world(open_dir, speaks="mexc") as here:
        await here.start_router()
        entry = await here.intent()
        await here.order(entry)
        assert (await here.settled(entry.intent_id)).state == pb.ORDER_STATE_FILLED
        held = await here.venue_position()

        async def waiting() -> list[dict[str, Any]]:
            return [row for row in await here.ledger("orders") if row["status"] == "Untriggered"]

        [attached] = await waiting()
        here.proxy.mode = "drop"
        venue = make_venue(here.runtime.venue)
        try:
            await venue.load_instruments()
            [stop] = [one for one in await venue.open_orders() if one.role is OrderRole.STOP]
            await venue.cancel(entry.symbol, "", stop.venue_order_id)
        finally:
            await venue.close()

        async def again() -> bool:
            found = await waiting()
            return len(found) == 1 and found[0]["order_id"] != attached["order_id"]

        await until(again, "a stop in the place of the one that vanished")
        [renewed] = await waiting()
        assert (renewed["reduce_only"], Decimal(str(renewed["qty"]))) == (True, held)
        assert renewed["trigger_price"] == attached["trigger_price"]
        # Its answer was lost, and the router dies before it may have asked.
        await here.kill_router()
        here.proxy.mode = "pass"
        await here.start_router()
        assert [row["order_id"] for row in await waiting()] == [renewed["order_id"]]
        await here.told()
        out = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None)
        await here.order(out)
        assert (await here.settled(out.intent_id)).state == pb.ORDER_STATE_FILLED

        async def gone() -> bool:
            return not await waiting()

        await until(gone, "no stop without its position")
        assert await here.venue_position() == 0
        orders = [row for row in await here.journal() if row["kind"] == "order"]
        assert "EXTERNAL" not in {row["role"] for row in orders}
        named = {row["client_order_id"] for row in orders if str(row["venue_order_id"]).startswith("plan-")}
        assert len(named) == 1
        assert here.router is not None
        assert await here.router.stop() == 0
