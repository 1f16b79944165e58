"""One order: open or close by hand, change, cancel.

Guarantees: a trade by hand takes the way of every signal, through the brain's gate and the router's guard; a change or cancel
is answered by the router itself. Never: an order past either.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeVar

import typer

from ops.cli.client import connect
from ops.cli.control import Home, Json, show_receipt
from ops.cli.output import console, emit, message_dict
from protos import control_pb2 as pb
from protos import trading_pb2
from titan.errors import ConfigError, Rejected

app = typer.Typer(help="Open, close, change or cancel one order.", no_args_is_help=True)

_V = TypeVar("_V")
TYPES = tuple(name.removeprefix("ORDER_TYPE_") for name, number in trading_pb2.OrderType.items() if number)
ClientId = Annotated[str, typer.Argument(help="the client order id, as in titan orders --open")]
Why = Annotated[str, typer.Option("--reason", help="why; kept in the audit log")]


@app.command("new")
def new(
    symbol: Annotated[str, typer.Argument(help="as in titan positions, e.g. BTC/USDT:USDT")],
    side: Annotated[str, typer.Argument(help="buy or sell")],
    usd: Annotated[str, typer.Option("--usd", help="notional of an opening, USD")] = "0",
    close: Annotated[bool, typer.Option("--close", help="lower a position instead of opening one")] = False,
    kind: Annotated[str, typer.Option("--type", help=", ".join(TYPES).lower())] = "market",
    price: Annotated[str, typer.Option("--price", help="limit price")] = "",
    stop: Annotated[str, typer.Option("--stop", help="protective stop of an opening")] = "",
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="price:share, repeated; the shares add up to 1. One price alone takes the whole"),
    ] = None,
    trigger: Annotated[str, typer.Option("--trigger", help="price that a stop or take-profit order waits for")] = "",
    trail: Annotated[str, typer.Option("--trail", help="the stop follows the best price at this distance")] = "",
    good_till_ms: Annotated[int, typer.Option("--good-till-ms", help="market time after which it is cancelled")] = 0,
    reason: Why = "operator",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Trade by hand. Example: titan order new BTC/USDT:USDT buy --usd 500 --stop 48000 --target 52000:0.5 --target 54000:0.5."""
    terms = trading_pb2.Terms(
        trigger_price=trigger, trail=trail, good_till_ms=good_till_ms, targets=_targets(target or [])
    )
    request = pb.SubmitManualIntentRequest(
        symbol=symbol,
        side=_member(side, {"BUY": trading_pb2.SIDE_BUY, "SELL": trading_pb2.SIDE_SELL}, "side"),
        action=trading_pb2.SIGNAL_ACTION_CLOSE if close else trading_pb2.SIGNAL_ACTION_OPEN,
        size_usd=usd,
        stop_price=stop,
        order_type=_member(kind, {name: trading_pb2.OrderType.Value(f"ORDER_TYPE_{name}") for name in TYPES}, "type"),
        limit_price=price,
        terms=terms if terms.ByteSize() else None,
        reason=reason,
    )
    with connect(home) as client:
        answer = client.call(client.stub.SubmitManualIntent, request)
    if as_json:
        emit(message_dict(answer))
    if not answer.decision.approved:
        raise Rejected(answer.decision.code, answer.decision.reason)
    if not as_json:
        console.print(f"approved: {answer.decision.decision_id}; see titan orders")


@app.command("amend")
def amend(
    client_order_id: ClientId,
    price: Annotated[str, typer.Option("--price", help="new limit price")] = "",
    quantity: Annotated[str, typer.Option("--quantity", help="new whole quantity, filled part included")] = "",
    trigger: Annotated[str, typer.Option("--trigger", help="new trigger; a stop moves only closer")] = "",
    reason: Why = "operator",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change a live order, in place or by cancel and replacement. Example: titan order amend ttaa01 --price 49990."""
    if not (price or quantity or trigger):
        raise ConfigError("nothing to change: give --price, --quantity or --trigger")
    request = pb.AmendOrderRequest(
        client_order_id=client_order_id, price=price, quantity=quantity, trigger_price=trigger, reason=reason
    )
    with connect(home) as client:
        receipt = client.call(client.stub.AmendOrder, request).receipt
    show_receipt(receipt, as_json)


@app.command("cancel")
def cancel(client_order_id: ClientId, reason: Why = "operator", home: Home = None, as_json: Json = False) -> None:
    """Cancel a live order; protective stops are refused. Example: titan order cancel ttaa01."""
    request = pb.CancelOrderRequest(client_order_id=client_order_id, reason=reason)
    with connect(home) as client:
        receipt = client.call(client.stub.CancelOrder, request).receipt
    show_receipt(receipt, as_json)


def _targets(wanted: list[str]) -> list[trading_pb2.Target]:
    found = []
    for each in wanted:
        price, _, share = each.partition(":")
        try:
            Decimal(price), Decimal(share or 1)
        except InvalidOperation:
            raise ConfigError(f"--target is price:share, e.g. 52000:0.5, got {each!r}") from None
        found.append(trading_pb2.Target(price=price, share=share or "1"))
    return found


def _member(said: str, known: Mapping[str, _V], what: str) -> _V:
    found = known.get(said.upper().replace("-", "_"))
    if found is None:
        raise ConfigError(f"{what} is one of {', '.join(known).lower()}, got {said!r}")
    return found
