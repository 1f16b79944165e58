"""The paper venue from outside: its fault switches, and its ledger as the oracle.

Guarantees: what is read here is the venue's durable record, of before it answered. Never: the venue's public port.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import aiohttp

from titan.errors import Transient
from titan.invariants import VenueFill, VenueFunding, VenueOrder, VenueTruth
from titan.model import Side
from titan.money import dec, text_of

TIMEOUT = aiohttp.ClientTimeout(total=5.0)
OPEN = frozenset({"New", "PartiallyFilled", "Untriggered"})
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}

Row = Mapping[str, Any]


class VenueAdmin:
    """The admin port of one paper venue. `symbols` are the canonical ones that are traded."""

    def __init__(self, url: str, symbols: tuple[str, ...]) -> None:
        self._url = url
        self._symbols = {symbol.partition(":")[0].replace("/", ""): symbol for symbol in symbols}

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT) as session,
                session.request(method, self._url + path, json=body) as answer,
            ):
                found = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Transient(f"the paper venue's admin port does not answer: {error!r}") from error
        if answer.status >= 400:
            raise ValueError(f"{method} {path}: {found.get('error', answer.status)}")
        return found

    async def answers(self) -> bool:
        """Whether the venue works."""
        try:
            await self._ask("GET", "/health")
        except Transient:
            return False
        return True

    async def switch(self, kind: str, **fields: object) -> int:
        """Sets a fault switch; gives its number. Raises Transient, ValueError for a bad switch."""
        return int((await self._ask("POST", "/faults", {"kind": kind, **fields}))["number"])

    async def jump(self, symbol: str, factor: Decimal) -> None:
        """Multiplies the price of a symbol from now on. Raises Transient, ValueError."""
        await self._ask("POST", "/market/jump", {"symbol": symbol, "factor": text_of(factor)})

    async def acted(self) -> int:
        """How often switches have acted since the venue started. Raises Transient."""
        injected: dict[str, int] = (await self._ask("GET", "/faults"))["injected"]
        return sum(injected.values())

    async def standing(self) -> int:
        """How many switches stand. Raises Transient."""
        return len((await self._ask("GET", "/faults"))["faults"])

    async def clear(self) -> None:
        """Clears all switches. Raises Transient."""
        await self._ask("DELETE", "/faults")

    async def _rows(self, path: str) -> list[Row]:
        return cast("list[Row]", (await self._ask("GET", path))["rows"])

    async def truth(self) -> VenueTruth:
        """The whole ledger. Raises Transient."""
        orders = [self._order(row) for row in await self._rows("/ledger/orders")]
        done = await self._rows("/ledger/executions")
        held = {self._symbol(row): dec(str(row["size"])) for row in await self._rows("/ledger/positions")}
        balance = await self._ask("GET", "/ledger/balance")
        return VenueTruth(
            orders=tuple(orders),
            fills=tuple(self._fill(row) for row in done if row["exec_type"] != "Funding"),
            fundings=tuple(
                VenueFunding(str(row["exec_id"]), self._symbol(row), dec(str(row["fee"])))
                for row in done
                if row["exec_type"] == "Funding"
            ),
            positions=held,
            wallet=dec(str(balance["wallet"])),
        )

    def _symbol(self, row: Row) -> str:
        name = str(row["symbol"])
        return self._symbols.get(name, name)

    def _order(self, row: Row) -> VenueOrder:
        return VenueOrder(
            venue_order_id=str(row["order_id"]),
            client_order_id=str(row["link_id"]),
            symbol=self._symbol(row),
            side=SIDES[row["side"]],
            quantity=dec(str(row["qty"])),
            filled=dec(str(row["cum_qty"])),
            reduce_only=bool(row["reduce_only"]),
            live=row["status"] in OPEN,
        )

    def _fill(self, row: Row) -> VenueFill:
        return VenueFill(
            venue_trade_id=str(row["exec_id"]),
            venue_order_id=str(row["order_id"]),
            symbol=self._symbol(row),
            side=SIDES[row["side"]],
            price=dec(str(row["price"])),
            quantity=dec(str(row["qty"])),
            fee=dec(str(row["fee"])),
        )
