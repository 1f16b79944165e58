"""The journal's rows as news for the books, and the journal's side of the comparison.

Guarantees: a row of a kind that is not the books' business is passed over, one that should be and makes no sense is a
ValueError naming it; the mirror after all rows is the same however they were cut into replies; it holds positions and
money whole, but of orders and fills only what `forget` left, so that it does not grow with the journal. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from actors.execution.ledger import plus, rounded, settlement
from actors.execution.news import Adoption, FundingNews, News, OrderNews, WalletNews
from actors.execution.sides import FillView, OrderView, Snapshot
from titan.journal.format import FILL, FUNDING, ORDER, POSITION, WALLET, AnyRow, parse
from titan.journal.rows import SNAPSHOT
from titan.journal.values import FillRow, FundingRow, OrderRow, PositionRow, SnapshotRow, WalletRow
from titan.model import Fill, Order
from titan.money import ZERO

TOLD = frozenset({ORDER, FILL, FUNDING, POSITION})


def news_of(row: AnyRow) -> News | None:
    """The news in a row; None for a kind that says nothing by itself to the books. Raises ValueError."""
    if row.kind not in TOLD:
        return None
    match parse(row):
        case OrderRow(order=order, ts_ms=ts_ms):
            return OrderNews(order, row.term, row.seq, ts_ms)
        case FillRow(fill=fill):
            return fill
        case FundingRow() as payment:
            return FundingNews(
                payment_id=payment.venue_trade_id,
                venue=payment.venue,
                account=payment.account,
                symbol=payment.symbol,
                paid=payment.paid,
                ts_ms=payment.t_exchange_ms,
            )
        case PositionRow() as adopted:
            return Adoption(
                venue=adopted.venue,
                account=adopted.account,
                symbol=adopted.symbol,
                quantity=adopted.quantity,
                average_price=adopted.average_price,
                previous_quantity=adopted.previous_quantity,
                reason=adopted.reason,
                term=row.term,
                seq=row.seq,
                ts_ms=adopted.ts_ms,
            )
        case _:
            return None


def order_view(order: Order, changed_ms: int) -> OrderView:
    """An order in the words of the comparison; `changed_ms` is the wall time of its last row."""
    return OrderView(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        state=order.state,
        filled=order.filled,
        created_ms=order.venue_ts_ms,
        changed_ms=changed_ms,
    )


def fill_view(fill: Fill) -> FillView:
    """A fill in the words of the comparison."""
    return FillView(
        fill_id=fill.fill_id,
        venue_order_id=fill.venue_order_id,
        symbol=fill.symbol,
        side=fill.side,
        price=fill.price,
        quantity=fill.quantity,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        cash=plus(rounded(fill.realized_pnl), -fill.fee),
        ts_ms=fill.t_exchange_ms,
    )


class JournalMirror:
    """The journal's side of one account, row by row. `seq` is the last row taken."""

    def __init__(self, venue: str, account: str) -> None:
        self.seq = 0
        self.wallet_known = False
        self._venue = venue
        self._account = account
        self._orders: dict[tuple[str, str, str], tuple[int, int, OrderView]] = {}
        self._fills: dict[str, FillView] = {}
        self._positions: dict[str, Decimal] = {}
        self._cash: dict[str, Decimal] = {}

    def take(self, rows: Iterable[AnyRow]) -> list[News]:
        """Takes the next rows and gives their news. Raises ValueError for a gap or an unreadable row."""
        taken: list[News] = []
        for row in rows:
            if row.seq <= self.seq:
                continue
            if row.kind == SNAPSHOT:
                self._begin(row)
                continue
            if row.seq != self.seq + 1:
                raise ValueError(f"journal row {row.seq} does not follow {self.seq}: the reply has a gap")
            news = self._wallet_news(row) if row.kind == WALLET else news_of(row)
            if news is not None:
                self._note(news)
                taken.append(news)
            self.seq = row.seq
        return taken

    def snapshot(self) -> Snapshot:
        """What the journal says of the account."""
        return Snapshot(
            orders=tuple(view for _, _, view in self._orders.values()),
            fills=tuple(self._fills.values()),
            positions={symbol: held for symbol, held in self._positions.items() if held},
            money=dict(self._cash),
        )

    def forget(self, since_ms: int, since_wall_ms: int) -> None:
        """Drops the fills and ended orders that a comparison since then does not look at (see `Snapshot.since`)."""
        self._fills = {key: one for key, one in self._fills.items() if one.ts_ms >= since_ms}
        self._orders = {key: held for key, held in self._orders.items() if held[2].recent(since_ms, since_wall_ms)}

    def __len__(self) -> int:
        """How many orders and fills it holds."""
        return len(self._orders) + len(self._fills)

    def _begin(self, row: AnyRow) -> None:
        """Goes on from the first row of a compacted journal."""
        made = parse(row)
        assert isinstance(made, SnapshotRow)
        self._orders = {
            (order.venue, order.account, order.client_order_id): (row.term, row.seq, order_view(order, row.ts_ms))
            for order in made.orders
            if not order.state.is_terminal
        }
        self._fills = {}
        self._positions = {each.symbol: each.quantity for each in made.positions}
        self._cash = {} if made.cash is None else {made.currency: made.cash}
        self.wallet_known = made.cash is not None
        self.seq = row.seq

    def _wallet_news(self, row: AnyRow) -> WalletNews:
        """How far the wallet that the venue told is from what the rows before make."""
        told = parse(row)
        assert isinstance(told, WalletRow)
        change = plus(told.wallet, -self._cash.get(told.currency, ZERO))
        reason = f"wallet {told.wallet} {told.currency} as the venue told it ({told.reason})"
        return WalletNews(self._venue, self._account, told.currency, change, reason, row.term, row.seq, row.ts_ms)

    def _note(self, news: News) -> None:
        match news:
            case OrderNews():
                held = self._orders.get(news.key)
                if held is None or held[:2] < (news.term, news.seq):
                    view = order_view(news.order, news.ts_ms)
                    if held is not None and not view.venue_order_id:
                        view = replace(view, venue_order_id=held[2].venue_order_id)
                    self._orders[news.key] = (news.term, news.seq, view)
            case Fill():
                if news.fill_id not in self._fills:
                    seen = self._fills[news.fill_id] = fill_view(news)
                    self._add(self._positions, news.symbol, news.quantity * news.side.sign)
                    self._add(self._cash, settlement(news.symbol), seen.cash)
            case FundingNews():
                self._add(self._cash, settlement(news.symbol), -news.paid)
            case WalletNews():
                self.wallet_known = True
                self._add(self._cash, news.currency, news.change)
            case Adoption():
                self._positions[news.symbol] = news.quantity
            case _:
                pass

    @staticmethod
    def _add(totals: dict[str, Decimal], key: str, amount: Decimal) -> None:
        totals[key] = plus(totals.get(key, ZERO), amount)
