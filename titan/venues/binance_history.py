"""What happened on a Binance futures account, read without a gap.

Guarantees: a page that is full is never trusted to be all: its window is halved until every part fits, and a single
millisecond that still does not fit is paged by id. Symbols come from the account's income, so that nothing traded
elsewhere is missed. Never: a guess about the order in which the venue sorts a page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

WEEK_MS = 7 * 86_400_000
PAGE = 1000
INCOME_PAGE = 1000
FEW = 5

Row = Mapping[str, Any]


class Read(Protocol):
    """Sends one request; the last argument is its weight."""

    def __call__(self, call: Any, request: dict[str, Any], weight: float) -> Awaitable[Any]:
        """The venue's answer."""
        ...


class History:
    """The history endpoints of one account."""

    def __init__(self, read: Read, exchange: Any) -> None:
        self._read = read
        self._exchange = exchange
        self._touched: set[str] = set()

    def touch(self, venue_symbol: str) -> None:
        """Notes a symbol that this account has to do with."""
        self._touched.add(venue_symbol)

    async def orders(self, since_ms: int, until_ms: int) -> list[Row]:
        """Orders of every touched symbol made in [since, until]; 0 means all that the venue remembers."""
        await self.income(since_ms, until_ms)
        found: list[Row] = []
        for symbol in sorted(self._touched):
            found += await self._rows(self._exchange.fapiprivate_get_allorders, symbol, "orderId", since_ms, until_ms)
        return found

    async def executions(self, since_ms: int, until_ms: int) -> tuple[list[Row], list[Row]]:
        """Trades and funding payments in [since, until]; 0 means all that the venue remembers."""
        income = await self.income(since_ms, until_ms)
        trades: list[Row] = []
        for symbol in sorted(self._touched):
            trades += await self._rows(self._exchange.fapiprivate_get_usertrades, symbol, "id", since_ms, until_ms)
        return trades, [row for row in income if row["incomeType"] == "FUNDING_FEE"]

    async def orders_of(self, trades: Sequence[Row]) -> list[Row]:
        """The orders behind trades: one by one when they are few, else by the pages they stand on."""
        wanted: dict[str, set[int]] = {}
        for row in trades:
            wanted.setdefault(str(row["symbol"]), set()).add(int(row["orderId"]))
        found: list[Row] = []
        for symbol, numbers in wanted.items():
            if len(numbers) <= FEW:
                for number in sorted(numbers):
                    request = {"symbol": symbol, "orderId": number}
                    found.append(await self._read(self._exchange.fapiprivate_get_order, request, 1))
            else:
                call = self._exchange.fapiprivate_get_allorders
                found += await self._by_id(call, symbol, "orderId", "orderId", min(numbers), max(numbers))
        return found

    async def income(self, since_ms: int, until_ms: int) -> list[Row]:
        """Every change of the wallet in [since, until]; touches the symbols it names."""
        found: list[Row] = []
        page = 1
        while True:
            request = {"startTime": max(since_ms, 1), "endTime": until_ms, "page": page, "limit": INCOME_PAGE}
            rows = await self._read(self._exchange.fapiprivate_get_income, request, 30)
            found += rows
            if len(rows) < INCOME_PAGE:
                break
            page += 1
        self._touched.update(str(row["symbol"]) for row in found if row.get("symbol"))
        return found

    async def _rows(self, call: Callable[..., Any], symbol: str, key: str, since_ms: int, until_ms: int) -> list[Row]:
        first = "fromId" if key == "id" else "orderId"
        if since_ms <= 0:
            return [row for row in await self._by_id(call, symbol, key, first, 0) if int(row["time"]) <= until_ms]
        found: list[Row] = []
        start = since_ms
        while start <= until_ms:
            end = min(until_ms, start + WEEK_MS - 1)
            found += await self._window(call, symbol, key, first, start, end)
            start = end + 1
        return found

    async def _window(
        self, call: Callable[..., Any], symbol: str, key: str, first: str, start: int, end: int
    ) -> list[Row]:
        request = {"symbol": symbol, "startTime": start, "endTime": end, "limit": PAGE}
        rows: list[Row] = await self._read(call, request, 5)
        if len(rows) < PAGE:
            return rows
        if start < end:
            middle = (start + end) // 2
            left = await self._window(call, symbol, key, first, start, middle)
            return left + await self._window(call, symbol, key, first, middle + 1, end)
        # Which thousand of a crowded millisecond came is not said: only ids from the beginning leave no gap.
        paged = await self._by_id(call, symbol, key, first, 0)
        return [row for row in paged if int(row["time"]) == end]

    async def _by_id(
        self,
        call: Callable[..., Any],
        symbol: str,
        key: str,
        first: str,
        start: int,
        last: int | None = None,
    ) -> list[Row]:
        found: list[Row] = []
        while True:
            rows: list[Row] = await self._read(call, {"symbol": symbol, first: start, "limit": PAGE}, 5)
            found += rows
            if len(rows) < PAGE:
                return found
            newest = max(rows, key=lambda row: int(row[key]))
            start = int(newest[key]) + 1
            if last is not None and start > last:
                return found
