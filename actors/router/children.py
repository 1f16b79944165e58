"""Child orders of an intent: their numbers, their ids, and an order made after the pattern of another.

An intent's first order is child 0; a replacement, a target or stop of its bracket and a slice of an execution algorithm
are further children. Each has a life of its own; what they make together says `titan.orders.aggregate`.

How an execution algorithm uses this (from inside a turn of the core):

    child = children.child_of(state, parent, turn.now, quantity=slice_, price=price, order_type=OrderType.POST_ONLY)
    desk.send_child(turn, child, parent)                     # journalled as approved by the parent, then sent
    refusal = amends.change(turn, child, price=new_price)    # in place, or cancel and replace (`amend_desk`)
    desk.cancel(turn, child)                                 # its end is told by the venue

A client id stays a function of intent and child number, so the children made before a crash are found after it:
`children.of(state, intent_id)` gives them, and `number_of` names one that only the venue still knows. Guarantees: a number is
given once. Never: a decision.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.router.rows import Scalar
from actors.router.state import RouterConfig, RouterState
from titan.clock import Now
from titan.codes import RejectCode
from titan.ids import MAX_CHILDREN, ClientOrderId, client_order_id
from titan.model import Order, OrderRole, OrderState, OrderType, Side, Terms
from titan.money import ZERO

# So many rows of children can be lost together: a journal that is torn ends in the middle of one turn's rows.
LOST_AT_ONCE = 8


def child_id(intent_id: str, child: int) -> ClientOrderId:
    """The client id of any child: an id has room for 1,024 numbers, further ones go on under another name."""
    turns, number = divmod(child, MAX_CHILDREN)
    return client_order_id(f"{intent_id}:{turns}" if turns else intent_id, number)


def next_child(state: RouterState, intent_id: str) -> int:
    """The number of an intent's next child; it counts as given once the order is journalled.

    An order found at the venue may have a number whose row was lost: no order is ever sent under the id of another.
    """
    number = state.children.get(intent_id, 0) + 1
    while child_id(intent_id, number) in state.orders:
        number += 1
    return number


def number_of(state: RouterState, intent_id: str, client_id: str) -> int | None:
    """Which child of an intent an id names; None when it names none that can have been made."""
    numbers = range(state.children.get(intent_id, 0) + 1 + LOST_AT_ONCE)
    return next((number for number in numbers if child_id(intent_id, number) == client_id), None)


def of(state: RouterState, intent_id: str) -> list[Order]:
    """Every order of an intent that is known, by number."""
    numbers = range(state.children.get(intent_id, 0) + 1)
    found = (state.orders.get(child_id(intent_id, number)) for number in numbers)
    return [order for order in found if order is not None]


def child_of(
    state: RouterState,
    parent: Order,
    now: Now,
    *,
    quantity: Decimal,
    price: Decimal | None = None,
    trigger_price: Decimal | None = None,
    order_type: OrderType | None = None,
    side: Side | None = None,
    role: OrderRole | None = None,
    terms: Terms | None = None,
) -> Order:
    """The next child of `parent`'s intent, with nothing filled; what is not given is as in `parent`, prices excepted.

    An entry keeps its stop and target. Any other role is reduce-only and carries none.
    """
    number = next_child(state, parent.intent_id)
    role = role or parent.role
    enters = role is OrderRole.ENTRY
    return replace(
        parent,
        client_order_id=child_id(parent.intent_id, number),
        child=number,
        role=role,
        side=side or parent.side,
        order_type=order_type or parent.order_type,
        quantity=quantity,
        price=price,
        trigger_price=trigger_price,
        stop_price=parent.stop_price if enters else None,
        target_price=parent.target_price if enters else None,
        reduce_only=not enters,
        state=OrderState.PENDING,
        venue_order_id="",
        filled=ZERO,
        average_price=ZERO,
        code=RejectCode.NONE,
        detail="",
        created_ms=now.wall_ms,
        updated_ms=now.wall_ms,
        venue_ts_ms=0,
        terms=terms,
    )


def approval_fields(config: RouterConfig, parent: Order) -> dict[str, Scalar]:
    """What a child's first row says of its approval: it is its parent's, whose own first row names the decision."""
    return {
        "approved_decision_id": f"child of {parent.client_order_id}",
        "approved_leverage": "0",
        "approved_policy_hash": config.policy_hash,
        "approved_reference_price": "",
        "approved_size_usd": "0",
        "approved_t_decision_ms": 0,
        "approved_t_signal_ms": 0,
        "approved_trap_type": "",
    }
