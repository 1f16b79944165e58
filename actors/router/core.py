"""The router's state machine: intents in, journal rows and venue calls out.

Entry points: `RouterCore.replay` with the journal's rows, then `handle(event, now)` for everything that happens.
Guarantees: (1) an intent id makes at most one order, ever; (2) a row stands before the send it is about; (3) an order
in doubt is looked up and never resent; (4) an execution is booked once; (5) whatever raises risk passed every check of
`guard`; (6) what lowers risk is checked only to truly lower it. Never: I/O, clocks, randomness.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import assert_never

from actors.router import books, conditions, rows, slippage
from actors.router.algo_desk import ALGO_TIMER, AlgoDesk
from actors.router.amend_desk import AMEND_TIMER, AmendDesk
from actors.router.audit import Audit
from actors.router.bracket_desk import BracketDesk
from actors.router.closing import close_order
from actors.router.command_desk import FLATTEN_TIMER, CommandDesk
from actors.router.effects import STATE_CHANGED, Effect, FetchReport
from actors.router.events import (
    Acked,
    Amended,
    AmendFailed,
    BrainBeat,
    CancelFailed,
    Command,
    Event,
    ExecutionsSeen,
    IntentArrived,
    LinkChanged,
    LookedUp,
    OrdersSeen,
    QuoteSeen,
    RecoveryReport,
    SendFailed,
    Tick,
    TimerFired,
    VenueReport,
)
from actors.router.fill_desk import FillDesk
from actors.router.guard import examine
from actors.router.order_commands import ORDER_VERBS, OrderCommands
from actors.router.order_desk import FILLS_TIMER, OrderDesk
from actors.router.refusal import Refusal
from actors.router.state import DEFAULT_TTL_MS, RouterConfig, RouterState
from actors.router.turn import Turn
from titan.clock import Now, market_limit_ms
from titan.codes import RejectCode, TradingState
from titan.effects import RaiseAlert, Severity
from titan.ids import ClientOrderId, client_order_id
from titan.journal.rows import StoredRow
from titan.model import Action, Intent, Order, OrderRole

_limit_ms = lru_cache(maxsize=64)(market_limit_ms)
# Looking a member up on its class costs 0.1 us in Python 3.11.
_CLOSE, _ENTRY, _CLOSING = Action.CLOSE, OrderRole.ENTRY, OrderRole.CLOSE


class RouterCore:
    """One account's router. `term` is the fencing term of this start."""

    def __init__(self, config: RouterConfig, term: int = 1) -> None:
        self.config = config
        self.state = RouterState(term=term)
        self._orders = OrderDesk(self.state, config)
        self._amends = AmendDesk(self.state, config, self._orders)
        self._fills = FillDesk(self.state, config, self._orders)
        self._brackets = BracketDesk(self.state, config, self._orders, self._amends)
        self._audit = Audit(self.state, config, self._orders, self._fills, self._brackets)
        self._algos = AlgoDesk(self.state, config, self._orders)
        self._commands = CommandDesk(self.state, config, self._orders)
        self._order_commands = OrderCommands(self.state, self._orders, self._amends)
        self._effective = TradingState.DISARMED

    # before the first event

    def replay(self, stored: Iterable[StoredRow]) -> int:
        """Rebuilds the state from the journal; returns how many rows there were."""
        return books.replay(self.state, self.config, stored)

    def start(self, now: Now, pid: int) -> list[Effect]:
        """Opens this start's term with a row. Call it once, after `replay` and before any event."""
        turn = Turn(self.state, now)
        turn.write(
            rows.START,
            {
                "account": self.config.account,
                "pid": pid,
                "policy_hash": self.config.policy_hash,
                "started_ms": self.config.started_ms,
                "ts_ms": now.wall_ms,
                "venue": self.config.venue,
            },
        )
        return turn.finish()

    def unsettled(self) -> list[Order]:
        """Orders that may still be open at the venue: what a recovery has to ask about."""
        return self.state.live_orders()

    # every event

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """What an event leads to, in the order in which it must happen."""
        turn = Turn(self.state, now)
        self._dispatch(turn, event)
        if self._orders.news:
            self._follow(turn)
        if self.state.parents:
            self._algos.run(turn)
        if self._commands.busy:
            self._commands.settle(turn)
        effective = self.state.effective
        if effective is not self._effective:
            self._effective = effective
            turn.do(STATE_CHANGED)
        return turn.finish()

    def _dispatch(self, turn: Turn, event: Event) -> None:  # noqa: C901 - one case an event type, nothing nested
        match event:
            case IntentArrived():
                self._on_intent(turn, event)
            case QuoteSeen():
                self._on_quote(turn, event)
            case Acked():
                self._orders.acked(turn, event)
            case OrdersSeen():
                for seen in event.orders:
                    self._orders.see(turn, seen)
            case ExecutionsSeen():
                self._fills.see(turn, event.executions)
            case BrainBeat():
                self.state.brain_beat_ms = turn.now.wall_ms
            case SendFailed():
                self._orders.send_failed(turn, event)
            case CancelFailed():
                self._orders.cancel_failed(turn, event)
            case LookedUp():
                self._orders.looked_up(turn, event)
                self._amends.looked_up(turn, event)
            case Amended():
                self._amends.amended(turn, event)
            case AmendFailed():
                self._amends.failed(turn, event)
            case VenueReport():
                self._audit.report(turn, event)
                self._commands.on_report(turn, event)
            case RecoveryReport():
                self._on_recovery(turn, event)
            case LinkChanged():
                self._on_link(turn, event)
            case TimerFired():
                self._on_timer(turn, event)
            case Tick():
                self._audit.tick(turn)
                self._orders.tick(turn)
                self._brackets.tick(turn)
                slippage.relax(self.state, turn)
                if self.state.parents:
                    self._algos.run(turn, everyone=True)
                turn.do(STATE_CHANGED)
            case Command():
                (self._order_commands if event.verb in ORDER_VERBS else self._commands).handle(turn, event)
            case _:
                assert_never(event)

    def _follow(self, turn: Turn) -> None:
        """Lets those who follow orders see what changed, until nothing more does."""
        news, orders = self._orders.news, self.state.orders
        while news:
            cid = next(iter(news))
            del news[cid]
            order = orders[cid]
            self._amends.follow(turn, order)
            self._brackets.follow(turn, order)

    # intents

    def _on_intent(self, turn: Turn, event: IntentArrived) -> None:
        intent = event.intent
        # While the journal can't be written a close leaves all the same; after a crash only the venue still knows it.
        state, cid = self.state, client_order_id(intent.intent_id, 0)
        if intent.intent_id in state.intents or cid in state.orders:
            state.duplicates += 1
            return
        state.intents.add(intent.intent_id)
        refusal = self._untimely(intent, turn.now)
        if refusal is None:
            closing = intent.action is _CLOSE
            refusal = self._close(turn, intent, cid) if closing else self._open(turn, intent, cid)
            if closing and refusal is None and state.parents:
                self._algos.overtake(turn, intent)
        if refusal is not None:
            self._reject(turn, intent, refusal)

    def _untimely(self, intent: Intent, now: Now) -> Refusal | None:
        if intent.account != self.config.account or intent.venue != self.config.venue:
            return Refusal(
                RejectCode.INVALID_INTENT,
                f"intent for {intent.venue}/{intent.account}, this router trades {self.config.venue}/{self.config.account}",
            )
        limit = _limit_ms(intent.ttl_ms or DEFAULT_TTL_MS, self.config.speed)
        age = now.market_ms - intent.t_signal_ms
        if -limit <= age <= limit:
            return None
        if age > limit:
            return Refusal(RejectCode.INTENT_EXPIRED, f"the signal is {age} ms old, {limit} ms allowed")
        return Refusal(RejectCode.INVALID_INTENT, f"the signal is {-age} ms in the future; check the clocks")

    def _open(self, turn: Turn, intent: Intent, cid: ClientOrderId) -> Refusal | None:
        try:
            sized = examine(intent, self.state, self.config, turn.now)
        except (ValueError, ArithmeticError) as error:
            # A check that errors says no.
            return Refusal(RejectCode.INVALID_INTENT, str(error))
        if isinstance(sized, Refusal):
            return sized
        if intent.execution is not None:
            return self._algos.open(turn, intent, sized)
        terms = None
        if intent.terms is not None:
            instrument = self.config.instruments.find(intent.venue, intent.symbol)
            assert instrument is not None
            refusal = conditions.unfit(
                intent, intent.terms, self.config.can, instrument, sized.quantity, sized.price, turn.now
            )
            if refusal is not None:
                return refusal
            terms = conditions.kept(intent.terms, enters=not sized.reduces)
        wall_ms = turn.now.wall_ms
        order = Order(
            cid,
            intent.intent_id,
            intent.signal_id,
            child=0,
            role=_CLOSING if sized.reduces else _ENTRY,
            phase=intent.phase,
            venue=intent.venue,
            account=intent.account,
            symbol=intent.symbol,
            side=intent.side,
            order_type=intent.order_type,
            quantity=sized.quantity,
            price=sized.limit_price,
            trigger_price=sized.trigger_price,
            stop_price=sized.stop_price,
            target_price=sized.target_price,
            reduce_only=sized.reduces,
            created_ms=wall_ms,
            updated_ms=wall_ms,
            terms=terms,
        )
        if sized.limit_price is None and intent.reference_price is not None and sized.trigger_price is None:
            self.state.expected[cid] = intent.reference_price
        self._orders.send(turn, order, rows.approval_fields(intent), intent.t_wall_ns)
        return None

    def _close(self, turn: Turn, intent: Intent, cid: ClientOrderId) -> Refusal | None:
        order = close_order(intent, cid, self.state, self.config, turn.now)
        if isinstance(order, Refusal):
            return order
        if intent.execution is not None:
            return self._algos.close(turn, intent, order.quantity)
        self._orders.send(turn, order, rows.approval_fields(intent), intent.t_wall_ns)
        return None

    def _reject(self, turn: Turn, intent: Intent, refusal: Refusal) -> None:
        turn.write(
            rows.REJECT,
            rows.reject_payload(intent, refusal.code, refusal.detail, self.config.policy_hash, turn.now.wall_ms),
        )

    # the venue

    def _on_recovery(self, turn: Turn, event: RecoveryReport) -> None:
        self._audit.recover(turn, event)
        same_run = self.state.run_started_ms == self.config.started_ms and self.config.started_ms > 0
        if 0 < self.state.run_started_ms != self.config.started_ms:
            self.state.torn_at_ms = turn.now.wall_ms
        self._commands.boot(turn, event.halt_reason, same_run)
        self.state.ready = True
        self._algos.run(turn, everyone=True)
        turn.do(STATE_CHANGED)

    # the world

    def _on_quote(self, turn: Turn, event: QuoteSeen) -> None:
        held = self.state.quotes.get(event.symbol)
        if held is None or event.quote.ts_ms >= held.ts_ms:
            self.state.quotes[event.symbol] = event.quote
            if self.state.trails and self.state.ready:
                self._brackets.quoted(turn, event.symbol, event.quote)
            if self.state.parents:
                self._algos.quoted(event.symbol)

    def _on_link(self, turn: Turn, event: LinkChanged) -> None:
        known = event.name in self.state.impediments
        if event.up:
            self.state.impediments.pop(event.name, None)
        else:
            self.state.impediments[event.name] = event.detail or "away"
        if event.up is known:
            lost: Severity = "CRITICAL" if event.name == "journal" else "WARNING"
            said = "is back" if event.up else f"is away: {event.detail}; openings stop, protection stands"
            code = f"{event.name.upper().replace(' ', '_')}_{'BACK' if event.up else 'AWAY'}"
            turn.do(RaiseAlert(code, "INFO" if event.up else lost, f"{event.name} {said}"))
            turn.do(STATE_CHANGED)
            if event.up and event.name == "venue stream":
                turn.do(FetchReport())

    def _on_timer(self, turn: Turn, event: TimerFired) -> None:
        kind, _, cid = event.key.partition(":")
        if kind == "lookup":
            self._orders.look_up_due(turn, cid)
        elif kind == "resend":
            self._orders.resend(turn, cid)
        elif kind == FILLS_TIMER:
            self._orders.fills_due(turn)
        elif kind == AMEND_TIMER:
            self._amends.due(turn, cid)
        elif kind == ALGO_TIMER:
            self._algos.due(cid)
        elif kind == FLATTEN_TIMER:
            self._commands.flatten_due(turn)
        else:
            raise ValueError(f"no timer {event.key!r} was ever set")
