"""People at the buttons: signed commands, receipts, and what the receipts promised.

Guarantees: a command goes to the router that lives now, as core NATS brings it: lost when nobody listens. What a receipt
promised is remembered, so that a forgotten halt is found. Never: a second try of a raising command.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from actors.router.effects import Receipt
from protos import trading_pb2
from simulation.bus import Wire
from simulation.plan import Deed
from titan import subjects
from titan.codes import TradingState
from titan.model import OrderRole
from titan.money import text_of

if TYPE_CHECKING:
    from simulation.performer import SimPerformer
    from simulation.world import World


class Operators:
    """Everybody who commands: people, the brain's breaker, the supervisor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent = 0
        self.receipts = 0
        self.promised: tuple[TradingState, int] | None = None
        self.flattening = 0

    def press(self, verb: str, operator_id: str = "operator", **of_order: str) -> None:
        """A person presses a button; `of_order` are the command's fields about one order."""
        self._sent += 1
        message = trading_pb2.OperatorCommand(
            command_id=f"command-{self._sent}",
            action=verb,
            reason=f"test {self._sent}",
            operator_id=operator_id,
            ts_ms=self._world.engine.now().wall_ms,
            **of_order,
        )
        self.deliver(self._world.bus.seal("gateway", subjects.operator(verb), message, reply=f"inbox-{self._sent}"))

    def ask(self, verb: str, a: int, b: int) -> None:
        """A person cancels or changes one of the orders that a console shows; the numbers say which, and how."""
        router = self._world.router
        shown = [] if router is None or not router.leads else router.core.state.live_orders()
        if not shown:
            return
        order = shown[a % len(shown)]
        wanted: dict[str, str] = {"client_order_id": order.client_order_id}
        if verb == Deed.AMEND.value:
            step = Decimal(b % 9 - 4) / 2_000
            if b % 3 != 1 and order.price is not None:
                wanted["price"] = text_of(order.price * (1 + step))
            if b % 3 != 2 and order.role is not OrderRole.STOP:
                wanted["quantity"] = text_of(order.quantity * Decimal(1 + b % 4) / 4)
            if order.trigger_price is not None:
                wanted["trigger_price"] = text_of(order.trigger_price * (1 + step))
        self.press(verb, **wanted)

    def press_plain(self, verb: str) -> None:
        """A person types a reason with the bus's own tool."""
        self._carry(subjects.operator(verb), b"typed by hand", "")

    def deliver(self, wire: Wire) -> None:
        """A signed command on its way."""
        self._carry(wire.subject, wire.raw, wire.reply)

    def _carry(self, subject: str, raw: bytes, reply: str) -> None:
        world = self._world
        if not world.bus.up:
            return

        def arrive() -> None:
            for router in world.routers:
                if router.leads and world.bus.reaches(router):
                    router.deliver(partial(router.on_operator, subject, raw, reply))

        world.engine.after(world.engine.chance("bus").randint(1, 6), arrive)

    def receipt(self, router: SimPerformer, receipt: Receipt, journal_seq: int) -> None:
        """A router answered: what it says is to last."""
        self.receipts += 1
        self._world.engine.note(f"receipt {receipt.verb} {receipt.accepted} {receipt.current.value}")
        # A disk that is full keeps nothing: what was done then is forgotten by a crash before it is written.
        if receipt.accepted and not router.unwritten:
            self.promised = (receipt.current, journal_seq)
