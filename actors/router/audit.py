"""Holds the books against the venue's truth: on start, and with every report afterwards.

Guarantees: the venue's REST state is truth. On start a position or wallet that still differs after every execution was
booked is adopted from the venue, journalled and told; while trading such a position stops openings until both agree
again. Never: a correction without a row and an alert.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from actors.router import books, rows
from actors.router.bracket_desk import BracketDesk
from actors.router.conditions import STOPS
from actors.router.effects import STATE_CHANGED, FetchExecutions, FetchReport, LookUp
from actors.router.events import RecoveryReport, VenueReport
from actors.router.fill_desk import FillDesk
from actors.router.order_desk import OrderDesk
from actors.router.state import RouterConfig, RouterState
from actors.router.turn import Turn
from titan.effects import RaiseAlert
from titan.model import OrderState
from titan.money import ZERO, text_of
from titan.venues.base import VenuePosition

PATIENCE_MS = 4_000
WALLET_TOLERANCE = Decimal("0.01")
KEEP_WATERMARK_MS = 10_000
KEEP_WATERMARK_STEP = Decimal("1.0005")
_WALLET = "wallet"


class Audit:
    """Agreement between journal and venue."""

    def __init__(
        self, state: RouterState, config: RouterConfig, orders: OrderDesk, fills: FillDesk, brackets: BracketDesk
    ) -> None:
        self._state = state
        self._config = config
        self._orders = orders
        self._fills = fills
        self._brackets = brackets
        self._bare: dict[str, int] = {}
        self._wallet_off = ZERO

    def recover(self, turn: Turn, event: RecoveryReport) -> None:
        """Makes the replayed books agree with the venue."""
        shown = sorted((*event.closed_orders, *event.report.open_orders), key=lambda each: each.created_ms)
        for seen in shown:
            self._orders.see(turn, seen, fetch=False)
        self._fills.see(turn, event.executions)
        for cid, found in event.missing:
            if found is None:
                self._orders.look_up(turn, cid)
            else:
                self._orders.see(turn, found)
        held = {each.symbol: each for each in event.report.positions}
        for symbol in sorted(set(held) | set(self._state.positions)):
            self._adopt_position(turn, symbol, held.get(symbol))
        self._adopt_wallet(turn, event.report, "start")
        self._roll_day(turn)

    def report(self, turn: Turn, report: VenueReport) -> None:
        """Compares a periodic report with the books."""
        listed = set()
        for seen in report.open_orders:
            listed.add(self._orders.see(turn, seen).client_order_id)
        for cid in list(self._state.live):
            order = self._state.orders[cid]
            open_here = order.state in (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
            quiet = self._state.touched_ms.get(cid, 0) < report.asked_ms
            if open_here and quiet and cid not in listed and cid not in self._state.lookups:
                turn.do(LookUp(order))
        self._compare_positions(turn, report)
        self._compare_wallet(turn, report)
        self._check_protection(turn, report)
        rare = self._config.rare
        if rare.on and rare.takes("read everything again"):
            turn.do(FetchExecutions())
            turn.do(FetchReport())

    def tick(self, turn: Turn) -> None:
        """Rolls the market day and keeps the high watermark."""
        self._roll_day(turn)
        money, equity = self._state.money, self._state.equity()
        if equity is None:
            return
        money.high_watermark = max(money.high_watermark, equity)
        risen = money.high_watermark > money.kept_watermark * KEEP_WATERMARK_STEP
        if risen and turn.now.wall_ms - money.kept_at_ms >= KEEP_WATERMARK_MS:
            self._keep_day(turn)

    def _compare_positions(self, turn: Turn, report: VenueReport) -> None:
        held = {each.symbol: each.quantity for each in report.positions}
        for symbol in sorted(set(held) | set(self._state.positions) | self._suspected()):
            ours = self._state.held(symbol)
            theirs = held.get(symbol, ZERO)
            name = f"position {symbol}"
            if ours == theirs:
                self._state.suspects.pop(symbol, None)
                if self._state.impediments.pop(name, None) is not None:
                    turn.do(
                        RaiseAlert("POSITION_AGREES", "INFO", f"{symbol}: journal and venue both hold {ours} again")
                    )
                    turn.do(STATE_CHANGED)
                continue
            since = self._state.suspects.setdefault(symbol, report.asked_ms)
            turn.do(FetchExecutions())
            if report.asked_ms - since >= PATIENCE_MS and name not in self._state.impediments:
                detail = f"journal holds {ours}, venue {theirs}"
                self._state.impediments[name] = detail
                turn.do(
                    RaiseAlert("POSITION_MISMATCH", "CRITICAL", f"{symbol}: {detail}; openings stop until they agree")
                )
                turn.do(STATE_CHANGED)

    def _check_protection(self, turn: Turn, report: VenueReport) -> None:
        guarded = {
            order.symbol
            for order in report.open_orders
            if order.reduce_only and order.order_type in STOPS and order.trigger_price is not None
        }
        bare = {
            each.symbol: each.quantity
            for each in report.positions
            if each.stop_price is None and each.symbol not in guarded
        }
        for symbol in set(self._bare) - set(bare):
            del self._bare[symbol]
        for symbol, quantity in bare.items():
            seen = self._bare.get(symbol, 0)
            self._bare[symbol] = seen + 1
            if seen < 1:
                continue
            done = self._brackets.repair(turn, symbol, quantity)
            if seen == 1:
                text = f"the position of {quantity} {symbol} has no stop at the venue; {done or 'set one or flatten'}"
                turn.do(RaiseAlert("POSITION_UNPROTECTED", "CRITICAL", text))

    def _suspected(self) -> set[str]:
        return {symbol for symbol in self._state.suspects if symbol != _WALLET}

    def _compare_wallet(self, turn: Turn, report: VenueReport) -> None:
        off_by = self._cash_off(report)
        if (off_by is not None and abs(off_by) <= WALLET_TOLERANCE) or self._suspected():
            self._state.suspects.pop(_WALLET, None)
            return
        if off_by is not None and abs(off_by - self._wallet_off) > WALLET_TOLERANCE:
            # Another difference than the last report's: news under way, not the same fault.
            self._wallet_off = off_by
            self._state.suspects.pop(_WALLET, None)
        since = self._state.suspects.setdefault(_WALLET, report.asked_ms)
        turn.do(FetchExecutions())
        if report.asked_ms - since >= PATIENCE_MS:
            self._adopt_wallet(turn, report, "report")
            self._state.suspects.pop(_WALLET, None)

    def _cash_off(self, report: VenueReport) -> Decimal | None:
        """By how much our money differs from the venue's; None before any is known.

        Fills booked in another order than the venue's give another average price: what cash has more, the open profit has
        less. So two answers are right: the same cash, and the same cash less the cost of what is held.
        """
        cash = self._state.money.cash
        if cash is None:
            return None
        off_by = cash - report.wallet.wallet
        if abs(off_by) <= WALLET_TOLERANCE:
            return off_by
        for theirs in report.positions:
            ours = self._state.positions.get(theirs.symbol)
            if ours is not None and ours.quantity == theirs.quantity:
                off_by -= (ours.average_price - theirs.average_price) * ours.quantity
        return off_by

    def _adopt_position(self, turn: Turn, symbol: str, seen: VenuePosition | None) -> None:
        previous = self._state.position(self._config, symbol)
        quantity = ZERO if seen is None else seen.quantity
        if previous.quantity == quantity:
            return
        average = ZERO if seen is None else seen.average_price
        books.put_position(self._state, self._config, symbol, quantity, average)
        adopted = self._state.positions[symbol]
        turn.write(rows.POSITION, rows.position_payload(adopted, previous, "venue truth at start", turn.now.wall_ms))
        turn.do(
            RaiseAlert(
                "POSITION_ADOPTED",
                "CRITICAL",
                f"{symbol}: the journal's executions make {previous.quantity}, the venue holds {quantity}; the venue's is kept",
            )
        )

    def _adopt_wallet(self, turn: Turn, report: VenueReport, reason: str) -> None:
        money, wallet, off_by = self._state.money, report.wallet, self._cash_off(report)
        previous = money.cash
        if off_by is not None and abs(off_by) <= WALLET_TOLERANCE:
            return
        adopted = wallet.wallet if previous is None or off_by is None else previous - off_by
        money.cash, money.currency = adopted, wallet.currency
        turn.write(
            rows.WALLET,
            {
                "currency": wallet.currency,
                "previous": text_of(previous),
                "reason": reason,
                "ts_ms": turn.now.wall_ms,
                "wallet": text_of(adopted),
            },
        )
        if previous is not None:
            if money.day:
                # Money that came or went by itself is no profit of the day.
                money.start_of_day += adopted - previous
                self._keep_day(turn)
            turn.do(
                RaiseAlert(
                    "WALLET_CORRECTED",
                    "WARNING",
                    f"the books had {previous} {wallet.currency}, the venue has {wallet.wallet}; the venue's is kept",
                )
            )

    def _roll_day(self, turn: Turn) -> None:
        money, equity = self._state.money, self._state.equity()
        day = datetime.fromtimestamp(turn.now.market_ms / 1000, UTC).date().isoformat()
        if equity is None or day == money.day:
            return
        money.day, money.start_of_day = day, equity
        money.high_watermark = max(money.high_watermark, equity)
        self._keep_day(turn)

    def _keep_day(self, turn: Turn) -> None:
        money = self._state.money
        money.kept_watermark, money.kept_at_ms = money.high_watermark, turn.now.wall_ms
        turn.write(
            rows.DAY,
            {
                "day": money.day,
                "high_watermark": text_of(money.high_watermark),
                "start_of_day": text_of(money.start_of_day),
                "ts_ms": turn.now.wall_ms,
            },
        )
