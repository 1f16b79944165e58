"""The journal's rows as news for the books, and the journal's side of the comparison.

Guarantees: a row of a kind that is not the books' business is passed over, one that should be and makes no sense is a
ValueError naming it; the mirror after all rows is the same however they were cut into replies. Never: I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from actors.execution.ledger import plus, rounded, settlement
from actors.execution.news import Adoption, FundingNews, News, OrderNews, WalletNews
from actors.execution.sides import FillView, OrderView, Snapshot
from protos import trading_pb2 as pb
from titan.codes import RejectCode
from titan.ids import ClientOrderId
from titan.model import Fill, Order, OrderRole, OrderState, OrderType, Phase, Side
from titan.money import ZERO, dec, dec_or_none

Payload = Mapping[str, str | int | bool]

ORDER = "order"
FILL = "fill"
FUNDING = "funding"
POSITION = "position"
WALLET = "wallet"


def news_of(row: pb.JournalRow) -> News | None:
    """The news in a row; None for a kind that says nothing by itself to the books. Raises ValueError."""
    if row.kind not in (ORDER, FILL, FUNDING, POSITION):
        return None
    try:
        payload: Payload = json.loads(row.payload)
        return _decode(row, payload)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"journal row {row.seq} ({row.kind}) can't be read: {error!r}") from error


def _decode(row: pb.JournalRow, payload: Payload) -> News:
    if row.kind == ORDER:
        return OrderNews(_order(payload), row.term, row.seq, int(payload["ts_ms"]))
    if row.kind == FILL:
        return _fill(payload, row.seq, row.term)
    if row.kind == FUNDING:
        return FundingNews(
            payment_id=str(payload["venue_trade_id"]),
            venue=str(payload["venue"]),
            account=str(payload["account"]),
            symbol=str(payload["symbol"]),
            paid=dec(str(payload["paid"])),
            ts_ms=int(payload["t_exchange_ms"]),
        )
    return Adoption(
        venue=str(payload["venue"]),
        account=str(payload["account"]),
        symbol=str(payload["symbol"]),
        quantity=dec(str(payload["quantity"])),
        average_price=dec(str(payload["average_price"])),
        previous_quantity=dec(str(payload["previous_quantity"])),
        reason=str(payload["reason"]),
        term=row.term,
        seq=row.seq,
        ts_ms=int(payload["ts_ms"]),
    )


def _phase(payload: Payload) -> Phase | None:
    name = str(payload["phase"])
    return Phase(name) if name else None


def _order(payload: Payload) -> Order:
    return Order(
        client_order_id=ClientOrderId(str(payload["client_order_id"])),
        intent_id=str(payload["intent_id"]),
        signal_id=str(payload["signal_id"]),
        child=int(payload["child"]),
        role=OrderRole(str(payload["role"])),
        phase=_phase(payload),
        venue=str(payload["venue"]),
        account=str(payload["account"]),
        symbol=str(payload["symbol"]),
        side=Side(str(payload["side"])),
        order_type=OrderType(str(payload["order_type"])),
        quantity=dec(str(payload["quantity"])),
        price=dec_or_none(str(payload["price"])),
        trigger_price=dec_or_none(str(payload["trigger_price"])),
        stop_price=dec_or_none(str(payload["stop_price"])),
        target_price=dec_or_none(str(payload["target_price"])),
        reduce_only=bool(payload["reduce_only"]),
        state=OrderState(str(payload["state"])),
        venue_order_id=str(payload["venue_order_id"]),
        filled=dec(str(payload["filled"])),
        average_price=dec(str(payload["average_price"])),
        code=RejectCode(str(payload["code"])),
        detail=str(payload["detail"]),
        created_ms=int(payload["created_ms"]),
        updated_ms=int(payload["updated_ms"]),
        venue_ts_ms=int(payload["venue_ts_ms"]),
    )


def _fill(payload: Payload, seq: int, term: int) -> Fill:
    return Fill(
        fill_id=str(payload["fill_id"]),
        venue_trade_id=str(payload["venue_trade_id"]),
        client_order_id=ClientOrderId(str(payload["client_order_id"])),
        venue_order_id=str(payload["venue_order_id"]),
        venue=str(payload["venue"]),
        account=str(payload["account"]),
        symbol=str(payload["symbol"]),
        side=Side(str(payload["side"])),
        price=dec(str(payload["price"])),
        quantity=dec(str(payload["quantity"])),
        fee=dec(str(payload["fee"])),
        fee_currency=str(payload["fee_currency"]),
        maker=bool(payload["maker"]),
        t_exchange_ms=int(payload["t_exchange_ms"]),
        intent_id=str(payload["intent_id"]),
        signal_id=str(payload["signal_id"]),
        phase=_phase(payload),
        role=OrderRole(str(payload["role"])),
        t_ingress_ms=int(payload["t_ingress_ms"]),
        journal_seq=seq,
        term=term,
        realized_pnl=dec(str(payload["realized_pnl"])),
    )


def order_view(order: Order) -> OrderView:
    """An order in the words of the comparison."""
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

    def take(self, rows: Iterable[pb.JournalRow]) -> list[News]:
        """Takes the next rows and gives their news. Raises ValueError for a gap or an unreadable row."""
        taken: list[News] = []
        for row in rows:
            if row.seq <= self.seq:
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

    def _wallet_news(self, row: pb.JournalRow) -> WalletNews:
        """How far the wallet that the venue told is from what the rows before make."""
        try:
            payload: Payload = json.loads(row.payload)
            currency, wallet = str(payload["currency"]), dec(str(payload["wallet"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"journal row {row.seq} ({row.kind}) can't be read: {error!r}") from error
        change = plus(wallet, -self._cash.get(currency, ZERO))
        reason = f"wallet {wallet} {currency} as the venue told it ({payload.get('reason', '')})"
        return WalletNews(self._venue, self._account, currency, change, reason, row.term, row.seq, row.ts_ms)

    def _note(self, news: News) -> None:
        match news:
            case OrderNews():
                held = self._orders.get(news.key)
                if held is None or held[:2] < (news.term, news.seq):
                    view = order_view(news.order)
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
