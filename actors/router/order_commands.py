"""An operator's commands about one order: cancel it, or change it.

Guarantees: what could raise risk is refused (a protective stop is not cancelled, and moves only closer); a receipt says
that a request is on its way, the order's own events say what came of it. Never: another order touched.
"""

from __future__ import annotations

from actors.router.amend_desk import AmendDesk
from actors.router.effects import Receipt
from actors.router.events import Command
from actors.router.order_desk import OrderDesk
from actors.router.state import RouterState
from actors.router.turn import Turn
from titan.codes import OperatorCode
from titan.model import Order, OrderRole

CANCEL, AMEND = "cancel_order", "amend_order"
ORDER_VERBS = frozenset({CANCEL, AMEND})


class OrderCommands:
    """Obeys, or says why not."""

    def __init__(self, state: RouterState, orders: OrderDesk, amends: AmendDesk) -> None:
        self._state = state
        self._orders = orders
        self._amends = amends

    def handle(self, turn: Turn, command: Command) -> None:
        """Takes a command of `ORDER_VERBS`; a copy finds the order as the first one left it."""
        asked = command.order
        order = None if asked is None else self._state.orders.get(asked.client_order_id)
        if asked is None or order is None or order.state.is_terminal:
            name = "" if asked is None else asked.client_order_id
            self._answer(turn, command, OperatorCode.NO_SUCH_ORDER, f"no live order {name!r}; see titan orders --open")
        elif command.verb == CANCEL:
            self._cancel(turn, command, order)
        else:
            refusal = self._amends.change(
                turn, order, price=asked.price, quantity=asked.quantity, trigger_price=asked.trigger_price
            )
            if refusal is not None:
                text = f"{refusal.code.value}: {refusal.detail}"
                self._answer(turn, command, OperatorCode.ORDER_REFUSED, text)
                return
            replacing = self._state.changes[order.client_order_id].replacing
            how = "cancelled and replaced" if replacing else "changed in place"
            self._answer(turn, command, OperatorCode.DONE, f"{order.client_order_id} is being {how}")

    def _cancel(self, turn: Turn, command: Command, order: Order) -> None:
        cid = order.client_order_id
        if order.role is OrderRole.STOP:
            text = f"{cid} protects a position: move it closer with amend_order, or flatten"
            self._answer(turn, command, OperatorCode.ORDER_REFUSED, text)
        elif self._orders.cancelling(cid):
            self._answer(turn, command, OperatorCode.ALREADY, f"a cancel of {cid} is on its way")
        else:
            self._orders.cancel(turn, order)
            self._answer(turn, command, OperatorCode.DONE, f"{cid} is being cancelled; {order.filled} are filled")

    def _answer(self, turn: Turn, command: Command, code: OperatorCode, detail: str) -> None:
        accepted = code in (OperatorCode.DONE, OperatorCode.ALREADY)
        trading = self._state.trading
        effects = () if accepted else ("nothing was changed",)
        turn.do(
            Receipt(command.command_id, command.reply, command.verb, accepted, trading, trading, code, detail, effects)
        )
