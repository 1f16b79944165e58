"""Deliberately broken builds: each invariant must have something that breaks it, and the checks must find it.

A defect replaces one function of a core or a shell while it is planted, in this process only. Guarantees: nothing of it is
in a production module; leaving the context puts everything back. Never: planted outside `titan simulate --defect` and tests.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from google.protobuf.message import DecodeError

from actors.router import books, guard
from actors.router import core as router_core
from actors.router import rows as kinds
from actors.router.algo_desk import AlgoDesk
from actors.router.effects import SendOrder
from actors.router.fill_desk import FillDesk
from actors.router.lease import Lease, Standing, Verdict
from actors.router.order_desk import OrderDesk
from actors.router.turn import Turn
from protos import envelope_pb2
from simulation.bus import KEY
from simulation.journal import MemoryJournal
from simulation.router import SimRouter
from simulation.supervision import Supervision
from simulation.tenure import SimSuccession
from supervisors.events import Exited, KillChild
from supervisors.intensity import RestartWindow
from titan import positions as titan_positions
from titan.algos import ChildStatus
from titan.codes import TradingState
from titan.envelope import Verifier
from titan.ids import client_order_id
from titan.model import OrderState, fill_id_of
from titan.orders import OrderEventKind

Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Defect:
    """What is broken, which invariants (I1 to I10) its finding must name at least one of."""

    name: str
    says: str
    breaks: frozenset[str]
    patches: Callable[[], list[Patch]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The build is broken inside this context."""
        with ExitStack() as stack:
            for owner, name, broken in self.patches():
                stack.enter_context(_patched(owner, name, broken))
            yield


@contextmanager
def _patched(owner: Any, name: str, broken: Any) -> Iterator[None]:
    whole = getattr(owner, name)
    setattr(owner, name, broken)
    try:
        yield
    finally:
        setattr(owner, name, whole)


def _sends_twice() -> list[Patch]:
    whole = OrderDesk.send

    def send(desk: Any, turn: Turn, order: Any, *rest: Any, **named: Any) -> None:
        whole(desk, turn, order, *rest, **named)
        turn.do(SendOrder(order))

    return [(OrderDesk, "send", send)]


def _resends_in_doubt() -> list[Patch]:
    whole = OrderDesk.send_failed

    def send_failed(desk: Any, turn: Turn, event: Any) -> None:
        order = desk._state.orders.get(event.client_order_id)
        if event.outcome == "in_doubt" and order is not None:
            turn.do(SendOrder(order))
        else:
            whole(desk, turn, event)

    return [(OrderDesk, "send_failed", send_failed)]


def _loses_fills() -> list[Patch]:
    whole = FillDesk.see

    def see(desk: Any, turn: Turn, executions: Any) -> int:
        for done in executions:
            if done.venue_trade_id[0] in "01":
                desk._state.fills.add(fill_id_of(desk._config.venue, desk._config.account, done.venue_trade_id))
        return whole(desk, turn, executions)

    return [(FillDesk, "see", see)]


def _books_twice() -> list[Patch]:
    whole = FillDesk.see

    def see(desk: Any, turn: Turn, executions: Any) -> int:
        for done in executions:
            if done.venue_trade_id[0] in "0123":
                desk._state.fills.discard(fill_id_of(desk._config.venue, desk._config.account, done.venue_trade_id))
        return whole(desk, turn, executions)

    return [(FillDesk, "see", see)]


def _skips_rows() -> list[Patch]:
    whole = Turn.write

    def write(turn: Any, kind: str, payload: Any) -> int:
        if kind == kinds.ORDER and payload["event"] == OrderEventKind.CANCEL.value:
            return int(turn._state.seq)
        return whole(turn, kind, payload)

    return [(Turn, "write", write)]


def _sends_before_journal() -> list[Patch]:
    whole = Turn.do

    def do(turn: Any, effect: Any) -> None:
        if isinstance(effect, SendOrder):
            turn.effects.append(effect)
        else:
            whole(turn, effect)

    return [(Turn, "do", do)]


def _stale_leader_sends() -> list[Patch]:
    whole = Supervision._perform

    def perform(supervision: Any, effect: Any) -> None:
        if isinstance(effect, KillChild) and effect.child == "router":
            supervision._world.engine.after(
                5, lambda: supervision.post(Exited(effect.child, effect.incarnation, False, "taken for dead"))
            )
        else:
            whole(supervision, effect)

    return [(Supervision, "_perform", perform), *_unlocked_journal()]


def _unlocked_journal() -> list[Patch]:
    """The journal's lock is the last word on who leads: a defect before it shows only without it."""

    def open_unlocked(journal: Any, holder: object, *, after_term: int = 0) -> int:
        journal._holder = holder
        journal.term = max(journal.term, after_term) + 1
        return int(journal.term)

    whole_append = MemoryJournal.append

    def append_unlocked(journal: Any, _holder: object, rows: Any) -> Any:
        again = [replace(row, seq=journal.last_seq + place) for place, row in enumerate(rows, 1)]
        return whole_append(journal, journal._holder, again)

    return [(MemoryJournal, "open", open_unlocked), (MemoryJournal, "append", append_unlocked)]


def _sends_without_lease() -> list[Patch]:
    return [
        (Lease, "may_raise", lambda lease, _now: bool(lease.term)),
        (Lease, "may_lower", lambda lease, _now: bool(lease.term)),
        (Lease, "standing", lambda lease, _now: Standing.HELD if lease.term else Standing.FOLLOWING),
        *_unlocked_journal(),
    ]


def _promotes_without_tail() -> list[Patch]:
    whole = SimRouter.replay

    def replay(router: Any) -> None:
        whole(router) if router.mirror.seq == 0 else None
        router.mirror.core.state.seq = router.world.journal.last_seq

    return [(SimRouter, "replay", replay)]


def _takes_lease_from_the_living() -> list[Patch]:
    whole = SimSuccession.verdict

    def verdict(succession: Any) -> Verdict:
        said = whole(succession)
        return Verdict.TAKE if said is Verdict.KILL else said

    return [(SimSuccession, "verdict", verdict), *_unlocked_journal()]


def _opens_while(wrongly: TradingState) -> Callable[[], list[Patch]]:
    def patches() -> list[Patch]:
        whole = guard.examine

        def examine(intent: Any, state: Any, config: Any, now: Any) -> Any:
            stands = state.trading
            if stands is not wrongly:
                return whole(intent, state, config, now)
            state.trading = TradingState.ACTIVE
            try:
                return whole(intent, state, config, now)
            finally:
                state.trading = stands

        return [(router_core, "examine", examine)]

    return patches


def _forgets_intents() -> list[Patch]:
    whole = router_core.RouterCore._on_intent

    def on_intent(core: Any, turn: Turn, event: Any) -> None:
        if core.state.term > 1:
            core.state.intents.discard(event.intent.intent_id)
            forgotten = client_order_id(event.intent.intent_id, 0)
            core.state.orders.pop(forgotten, None)
            core.state.live.pop(forgotten, None)
        whole(core, turn, event)

    return [(router_core.RouterCore, "_on_intent", on_intent)]


def _forgets_trading_state() -> list[Patch]:
    whole = books._apply

    def apply(state: Any, config: Any, row: Any) -> None:
        if row.kind != kinds.TRADING:
            whole(state, config, row)

    return [(books, "_apply", apply)]


def _mistakes_sign() -> list[Patch]:
    whole = titan_positions.apply_fill

    def apply_fill(position: Any, side: Any, quantity: Any, *rest: Any) -> Any:
        wrong = position.quantity == 0 and side.sign < 0 and quantity > Decimal("0.05")
        return whole(position, side.opposite if wrong else side, quantity, *rest)

    return [(books, "apply_fill", apply_fill)]


def _rounds_profit() -> list[Patch]:
    whole = titan_positions.apply_fill

    def apply_fill(*given: Any) -> Any:
        applied = whole(*given)
        return replace(applied, realized=round(applied.realized, 2))

    return [(books, "apply_fill", apply_fill)]


def _forgets_intensity() -> list[Patch]:
    return [(RestartWindow, "exceeded", lambda *_given: False)]


def _takes_cancel_for_done() -> list[Patch]:
    whole = OrderDesk.cancel_failed

    def cancel_failed(desk: Any, turn: Turn, event: Any) -> None:
        order = desk._state.orders.get(event.client_order_id)
        if event.outcome == "in_doubt" and order is not None and order.state is OrderState.OPEN:
            desk.advance(turn, order, OrderEventKind.CANCEL)
        else:
            whole(desk, turn, event)

    return [(OrderDesk, "cancel_failed", cancel_failed)]


def _trusts_anybody() -> list[Patch]:
    whole = Verifier.open

    def open_unverified(verifier: Any, raw: bytes, *rest: Any, **named: Any) -> Any:
        try:
            signed = envelope_pb2.Signed.FromString(raw)
        except DecodeError:
            return whole(verifier, raw, *rest, **named)
        signed.key_id = KEY.key_id
        signed.signature = hmac.digest(KEY.secret, signed.body, "sha256")
        return whole(verifier, signed.SerializeToString(), *rest, **named)

    return [(Verifier, "open", open_unverified)]


def _gives_up_look_ups() -> list[Patch]:
    whole = OrderDesk.looked_up

    def looked_up(desk: Any, turn: Turn, event: Any) -> None:
        order = desk._state.orders.get(event.client_order_id)
        if event.found is None and not event.error and order is not None and order.state is OrderState.UNKNOWN:
            desk.advance(turn, order, OrderEventKind.NOT_FOUND)
            turn.do(SendOrder(order))
            return
        whole(desk, turn, event)

    return [(OrderDesk, "looked_up", looked_up)]


def _forgets_what_filled() -> list[Patch]:
    whole = AlgoDesk._child

    def child(desk: Any, *given: Any) -> Any:
        known = whole(desk, *given)
        return replace(known, filled=Decimal(0)) if known.status is ChildStatus.ENDED else known

    return [(AlgoDesk, "_child", child)]


_ALL = (
    Defect("sends-twice", "every order leaves twice", frozenset({"I1"}), _sends_twice),
    Defect("resends-in-doubt", "a send in doubt is sent again", frozenset({"I1"}), _resends_in_doubt),
    Defect("resends-not-found", "the first empty look-up sends again", frozenset({"I1"}), _gives_up_look_ups),
    Defect("loses-fills", "one fill in eight is never booked", frozenset({"I2", "I3"}), _loses_fills),
    Defect("books-fills-twice", "a fill that is told twice is booked twice", frozenset({"I2"}), _books_twice),
    Defect("skips-rows", "a cancel makes no journal row", frozenset({"I6", "I5"}), _skips_rows),
    Defect("sends-before-journal", "an order leaves before its row", frozenset({"I4"}), _sends_before_journal),
    Defect("stale-leader", "a silent router is taken for dead, and wakes", frozenset({"I9"}), _stale_leader_sends),
    Defect("sends-without-lease", "a leader sends whatever the lease says", frozenset({"I9"}), _sends_without_lease),
    Defect(
        "promotes-without-tail",
        "a standby leads without the rows it has not followed",
        frozenset({"I1", "I6", "I8"}),
        _promotes_without_tail,
    ),
    Defect(
        "takes-from-the-living",
        "a silent leader's lease is taken before it is dead",
        frozenset({"I9"}),
        _takes_lease_from_the_living,
    ),
    Defect("halted-opens", "HALTED opens positions", frozenset({"I4"}), _opens_while(TradingState.HALTED)),
    Defect("reducing-grows", "REDUCING grows positions", frozenset({"I4"}), _opens_while(TradingState.REDUCING)),
    Defect("forgets-intents", "a restart forgets which intents it knew", frozenset({"I1"}), _forgets_intents),
    Defect("forgets-halt", "a restart forgets the trading state", frozenset({"I6", "I8"}), _forgets_trading_state),
    Defect("mistakes-sign", "a short is booked as a long", frozenset({"I3", "I6"}), _mistakes_sign),
    Defect("rounds-profit", "realised profit is rounded to cents", frozenset({"I6"}), _rounds_profit),
    Defect("forgets-intensity", "restarts are never too many", frozenset({"I10"}), _forgets_intensity),
    Defect("cancel-on-timeout", "a cancel in doubt is taken for done", frozenset({"I5", "I8"}), _takes_cancel_for_done),
    Defect(
        "forgets-what-filled",
        "an execution style orders again what its earlier children filled",
        frozenset({"I4"}),
        _forgets_what_filled,
    ),
    Defect("trusts-anybody", "a wrong signature passes", frozenset({"I4"}), _trusts_anybody),
)
DEFECTS = {defect.name: defect for defect in _ALL}
