"""The trading state and the operator's commands.

Guarantees: whatever lowers risk is accepted at once, whoever asks and whatever stands; what raises it (arm, resume)
needs a ready router and, for arm, that no HALT stands. Every change is journalled; every receipt says what was really
done to orders and positions. Flatten works from the venue's truth and repeats until the venue says flat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.router import rows
from actors.router.effects import STATE_CHANGED, FetchReport, Receipt
from actors.router.events import Command, VenueReport
from actors.router.order_desk import OrderDesk
from actors.router.state import RouterConfig, RouterState
from actors.router.turn import Turn
from titan.codes import OperatorCode, TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.ids import client_order_id
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.venues.base import VenuePosition

FLATTEN_TIMER = "flatten"
FLATTEN_AGAIN_MS = 300
FLATTEN_PAUSE_MS = 5_000
RECEIPT_PATIENCE_MS = 3_000
FLATTEN_PATIENCE_MS = 20_000
REMEMBERED_COMMANDS = 1_000


@dataclass(slots=True)
class _Open:
    """A receipt that waits for the venue."""

    command: Command
    prior: TradingState
    code: OperatorCode
    detail: str
    deadline_ms: int
    effects: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Flatten:
    """A flatten that runs until the venue is flat."""

    receipt: _Open
    attempts: dict[str, int] = field(default_factory=dict)
    fruitless: dict[str, int] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    answered: bool = False

    def pause_ms(self, symbol: str, last: Order) -> int:
        """How long to wait after an order of it that ended: what the venue refuses (dust) is not asked for three times a second."""
        if last.filled > 0:
            self.fruitless[symbol] = 0
        tried = self.fruitless.get(symbol, 0)
        return min(FLATTEN_AGAIN_MS << min(tried - 1, 10), FLATTEN_PAUSE_MS) if tried else 0


class CommandDesk:
    """Owns transitions of the trading state."""

    def __init__(self, state: RouterState, config: RouterConfig, orders: OrderDesk) -> None:
        self._state = state
        self._config = config
        self._orders = orders
        self._open: list[_Open] = []
        self._flatten: _Flatten | None = None
        self._seen: dict[str, None] = {}

    @property
    def busy(self) -> bool:
        """Whether a receipt or a flatten waits for the venue."""
        return bool(self._open) or self._flatten is not None

    def boot(self, turn: Turn, halt_reason: str, same_run: bool) -> None:
        """The trading state after a start: live mode is never armed; paper arms itself in a new run."""
        state = self._state
        if halt_reason:
            if state.trading is not TradingState.HALTED:
                self._go(turn, TradingState.HALTED, halt_reason, "system")
            return
        if state.trading is TradingState.HALTED:
            return
        if self._config.live:
            self._go(turn, TradingState.DISARMED, "live mode boots disarmed", "system")
        elif same_run:
            return
        elif self._config.auto_arm:
            self._go(turn, TradingState.ACTIVE, "paper mode arms itself when ready", "system")
        else:
            self._go(turn, TradingState.DISARMED, "boots disarmed", "system")

    def handle(self, turn: Turn, command: Command) -> None:
        """Obeys, or says why not."""
        if command.command_id in self._seen:
            self._refuse(turn, command, OperatorCode.ALREADY, "this command was handled before")
            return
        self._seen[command.command_id] = None
        while len(self._seen) > REMEMBERED_COMMANDS:
            del self._seen[next(iter(self._seen))]
        handler = {
            "arm": self._arm,
            "disarm": self._disarm,
            "reduce": self._reduce,
            "halt": self._halt,
            "resume": self._resume,
            "flatten": self._start_flatten,
        }.get(command.verb)
        if handler is None:
            self._refuse(turn, command, OperatorCode.UNKNOWN_COMMAND, f"no command {command.verb!r}")
            return
        handler(turn, command)

    # raising

    def _arm(self, turn: Turn, command: Command) -> None:
        if not command.reason.strip():
            self._refuse(turn, command, OperatorCode.REASON_MISSING, "arming needs a reason")
            return
        if self._refused_by_halt(turn, command) or self._refused_unready(turn, command):
            return
        if self._state.trading is TradingState.ACTIVE:
            self._refuse(turn, command, OperatorCode.ALREADY, "trading is ACTIVE already", accepted=True)
            return
        prior = self._state.trading
        self._go(turn, TradingState.ACTIVE, command.reason, command.operator_id)
        self._answer(
            turn, command, prior, OperatorCode.DONE, "openings are possible", ["no order or position was touched"]
        )

    def _resume(self, turn: Turn, command: Command) -> None:
        if self._refused_unready(turn, command):
            return
        prior = self._state.trading
        if prior not in (TradingState.HALTED, TradingState.REDUCING):
            self._refuse(turn, command, OperatorCode.ALREADY, f"nothing to resume from: {prior.value}", accepted=True)
            return
        # A halt was pulled for a reason: opening again takes an arm of its own.
        disarmed = self._config.live or prior is TradingState.HALTED
        target = TradingState.DISARMED if disarmed else self._state.resume_to
        self._go(turn, target, command.reason or "resumed", command.operator_id)
        more = "openings are possible" if target is TradingState.ACTIVE else "arm to open positions"
        self._answer(turn, command, prior, OperatorCode.DONE, more, ["no order or position was touched"])

    def _refused_by_halt(self, turn: Turn, command: Command) -> bool:
        if self._state.trading is not TradingState.HALTED:
            return False
        breaker = self._state.trading_by == "brain"
        code = OperatorCode.BREAKER_STANDS if breaker else OperatorCode.HALT_STANDS
        self._refuse(turn, command, code, f"HALTED: {self._state.trading_reason}; resume first")
        return True

    def _refused_unready(self, turn: Turn, command: Command) -> bool:
        if self._state.ready and "journal" not in self._state.impediments:
            return False
        self._refuse(
            turn, command, OperatorCode.NOT_READY, self._state.impediments.get("journal", "recovery is not done")
        )
        return True

    # lowering

    def _disarm(self, turn: Turn, command: Command) -> None:
        reason = command.reason.strip() or "no reason given"
        if self._state.trading is TradingState.HALTED:
            self._state.resume_to = TradingState.DISARMED
            self._go(turn, TradingState.HALTED, self._state.trading_reason, self._state.trading_by)
            detail = f"HALTED stands, which is stricter; after it trading will be DISARMED ({reason})"
            self._lower(turn, command, TradingState.HALTED, OperatorCode.DONE, detail)
            return
        self._step_down(turn, command, TradingState.DISARMED, reason)

    def _reduce(self, turn: Turn, command: Command) -> None:
        if not self._refused_by_halt(turn, command):
            self._step_down(turn, command, TradingState.REDUCING, command.reason or "reduce")

    def _halt(self, turn: Turn, command: Command) -> None:
        self._step_down(turn, command, TradingState.HALTED, command.reason or "halt")

    def _step_down(self, turn: Turn, command: Command, target: TradingState, reason: str) -> None:
        prior = self._state.trading
        code = OperatorCode.ALREADY if prior is target else OperatorCode.DONE
        if prior is not target:
            self._go(turn, target, reason, command.operator_id)
        self._lower(turn, command, prior, code, f"{target.value}: {reason}")

    def _lower(self, turn: Turn, command: Command, prior: TradingState, code: OperatorCode, detail: str) -> None:
        strangers = self._state.trading is TradingState.HALTED
        cancelled = self._orders.cancel_raising(turn, strangers=strangers)
        waiting = _Open(command, prior, code, detail, turn.now.wall_ms + RECEIPT_PATIENCE_MS)
        waiting.waiting = {order.client_order_id for order in cancelled}
        self._open.append(waiting)
        self.settle(turn)

    def settle(self, turn: Turn) -> None:
        """Answers every command whose orders have come to their end, or whose patience has."""
        for waiting in list(self._open):
            orders = [self._state.orders[cid] for cid in sorted(waiting.waiting)]
            if any(not order.state.is_terminal for order in orders) and turn.now.wall_ms < waiting.deadline_ms:
                continue
            self._open.remove(waiting)
            effects = [_fate(order) for order in orders] or ["no order could raise risk"]
            effects.append(self._protection())
            self._answer(turn, waiting.command, waiting.prior, waiting.code, waiting.detail, effects)

    def _protection(self) -> str:
        standing = [order for order in self._state.live_orders() if order.reduce_only]
        open_positions = [each for each in self._state.positions.values() if not each.is_flat]
        return f"{len(open_positions)} positions and {len(standing)} protective or closing orders stand untouched"

    # flatten

    def _start_flatten(self, turn: Turn, command: Command) -> None:
        if self._flatten is not None:
            self._refuse(turn, command, OperatorCode.ALREADY, "a flatten is running", accepted=True)
            return
        prior = self._state.trading
        reason = f"flatten: {command.reason.strip() or 'no reason given'}"
        if prior in (TradingState.ACTIVE, TradingState.REDUCING):
            self._go(turn, TradingState.DISARMED, reason, command.operator_id)
        cancelled = self._orders.cancel_raising(turn, strangers=True)
        waiting = _Open(command, prior, OperatorCode.DONE, reason, turn.now.wall_ms + FLATTEN_PATIENCE_MS)
        waiting.waiting = {order.client_order_id for order in cancelled}
        self._flatten = _Flatten(waiting)
        self._state.flattening = True
        self.flatten_due(turn)

    def flatten_due(self, turn: Turn) -> None:
        """Asks the venue again what is still held."""
        if self._flatten is not None:
            rare = self._config.rare
            early = rare.on and rare.takes("hurry a flatten")
            turn.do(SetTimer(FLATTEN_TIMER, 1 if early else FLATTEN_AGAIN_MS))
            turn.do(FetchReport())

    def on_report(self, turn: Turn, report: VenueReport) -> None:
        """Closes what the venue still holds, or ends the flatten when it holds nothing."""
        job = self._flatten
        if job is None:
            return
        held = [each for each in report.positions if each.quantity != 0]
        if not held and not self._orders.raising(strangers=True):
            turn.do(CancelTimer(FLATTEN_TIMER))
            self._flatten = None
            self._state.flattening = False
            if not job.answered:
                self._answer_flatten(turn, job, "the venue is flat, verified")
            return
        for each in held:
            running = self._state.orders.get(job.sent.get(each.symbol, ""))
            if running is not None and not running.state.is_terminal:
                continue
            if running is not None and running.updated_ms > report.asked_ms:
                continue
            if running is not None and turn.now.wall_ms < running.updated_ms + job.pause_ms(each.symbol, running):
                continue
            child = job.attempts.get(each.symbol, 0)
            job.attempts[each.symbol] = child + 1
            order = self._close_order(turn, job.receipt.command, each, child)
            job.sent[each.symbol] = order.client_order_id
            job.fruitless[each.symbol] = job.fruitless.get(each.symbol, 0) + 1
            self._orders.send(turn, order)
        if not job.answered and turn.now.wall_ms >= job.receipt.deadline_ms:
            job.answered = True
            left = ", ".join(f"{each.quantity} {each.symbol}" for each in held)
            turn.do(RaiseAlert("FLATTEN_STUCK", "CRITICAL", f"not flat yet: {left}; it is tried on"))
            self._answer_flatten(turn, job, f"not flat yet: {left}; it is tried on")

    def _close_order(self, turn: Turn, command: Command, held: VenuePosition, child: int) -> Order:
        # A client id has room for 1,024 children; a flatten that needs more goes on under another name.
        turns = f":{child // 1024}" if child >= 1024 else ""
        intent_id = f"flatten:{command.command_id}:{held.symbol}{turns}"
        return Order(
            client_order_id=client_order_id(intent_id, child % 1024),
            intent_id=intent_id,
            signal_id=command.command_id,
            child=child,
            role=OrderRole.FLATTEN,
            phase=None,
            venue=self._config.venue,
            account=self._config.account,
            symbol=held.symbol,
            side=Side.SELL if held.quantity > 0 else Side.BUY,
            order_type=OrderType.MARKET,
            quantity=abs(held.quantity),
            price=None,
            trigger_price=None,
            stop_price=None,
            target_price=None,
            reduce_only=True,
            state=OrderState.PENDING,
            created_ms=turn.now.wall_ms,
            updated_ms=turn.now.wall_ms,
        )

    def _answer_flatten(self, turn: Turn, job: _Flatten, detail: str) -> None:
        effects = [_fate(self._state.orders[cid]) for cid in sorted(job.receipt.waiting)]
        effects += [_fate(self._state.orders[cid]) for cid in job.sent.values()]
        self._answer(
            turn,
            job.receipt.command,
            job.receipt.prior,
            OperatorCode.DONE,
            detail,
            effects or ["nothing was open and nothing was held"],
        )

    # keeping

    def _go(self, turn: Turn, target: TradingState, reason: str, operator_id: str) -> None:
        state = self._state
        previous = state.trading
        if target in (TradingState.HALTED, TradingState.REDUCING):
            if previous in (TradingState.ACTIVE, TradingState.DISARMED):
                state.resume_to = previous
        else:
            state.resume_to = target
        state.trading, state.trading_reason, state.trading_by = target, reason, operator_id
        state.run_started_ms = self._config.started_ms
        turn.write(
            rows.TRADING,
            {
                "current": target.value,
                "operator_id": operator_id,
                "previous": previous.value,
                "reason": reason,
                "resume_to": state.resume_to.value,
                "run_started_ms": state.run_started_ms,
                "ts_ms": turn.now.wall_ms,
            },
        )
        turn.do(STATE_CHANGED)

    def _refuse(self, turn: Turn, command: Command, code: OperatorCode, detail: str, *, accepted: bool = False) -> None:
        state = self._state.trading
        turn.do(
            Receipt(
                command.command_id,
                command.reply,
                command.verb,
                accepted,
                state,
                state,
                code,
                detail,
                ("nothing was changed",),
            )
        )

    def _answer(
        self, turn: Turn, command: Command, prior: TradingState, code: OperatorCode, detail: str, effects: list[str]
    ) -> None:
        turn.do(
            Receipt(
                command.command_id,
                command.reply,
                command.verb,
                True,
                prior,
                self._state.trading,
                code,
                detail,
                tuple(effects),
            )
        )


def _fate(order: Order) -> str:
    what = f"{order.side.value} {order.quantity} {order.symbol} ({order.client_order_id})"
    if order.state.is_terminal:
        return f"{what}: {order.state.value}, filled {order.filled}"
    return f"{what}: still {order.state.value}, filled {order.filled}"
