"""positions, orders, trades, equity, decisions, intents, reconcile: what the books say, with its age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from ops.cli.client import connect
from ops.cli.control import Home, Json
from ops.cli.output import age_text, console, emit, message_dict, money, show, table
from protos import control_pb2 as pb
from protos import trading_pb2
from titan.errors import ExitCode

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="rows at most")]
RECONCILE_TIMEOUT_S = 70.0


def _enum(name: str) -> str:
    return name.split("_", 2)[-1] if name.count("_") > 1 else name.rsplit("_", 1)[-1]


def _side(value: trading_pb2.Side.ValueType) -> str:
    return trading_pb2.Side.Name(value).removeprefix("SIDE_")


def _clock(ts_ms: int) -> str:
    return "-" if ts_ms <= 0 else datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%m-%d %H:%M:%S")


def positions(home: Home = None, as_json: Json = False) -> None:
    """Live positions, computed by the router from its journal and the venue. Example: titan positions."""
    with connect(home) as client:
        answer = client.call(client.stub.ListPositions, pb.ListPositionsRequest())
    held = [row for row in answer.positions if row.quantity not in ("", "0")]
    if as_json:
        emit({"positions": [message_dict(row) for row in held], "as_of_ms": answer.ts_ms, "source": "router"})
        return
    rows = [
        (
            row.venue,
            row.symbol,
            row.quantity,
            money(row.average_price),
            money(row.mark_price),
            money(row.unrealized_pnl),
            money(row.realized_pnl),
            money(row.stop_price),
            money(row.target_price),
        )
        for row in held
    ]
    columns = ("venue", "symbol", "quantity#", "average#", "mark#", "unrealized#", "realized#", "stop#", "target#")
    show(table("Positions", columns, rows, f"source router, {age_text(answer.ts_ms)} old"))


def orders(
    limit: Limit = 20,
    open_only: Annotated[bool, typer.Option("--open", help="only orders that can still fill")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Orders of the ledger, newest first. Example: titan orders --open."""
    with connect(home) as client:
        answer = client.call(client.stub.ListOrders, pb.ListOrdersRequest(limit=limit, open_only=open_only))
    if as_json:
        emit({"orders": [message_dict(row) for row in answer.orders], "as_of_ms": answer.ts_ms, "source": "ledger"})
        return
    rows = [
        (
            _clock(row.ts_ms),
            row.symbol,
            _side(row.side),
            trading_pb2.OrderRole.Name(row.role).removeprefix("ORDER_ROLE_"),
            trading_pb2.OrderType.Name(row.order_type).removeprefix("ORDER_TYPE_"),
            row.quantity,
            row.filled_quantity,
            money(row.average_price if row.average_price not in ("", "0") else row.trigger_price or row.price),
            trading_pb2.OrderState.Name(row.state).removeprefix("ORDER_STATE_"),
            row.code,
            row.client_order_id,
        )
        for row in answer.orders
    ]
    columns = (
        "changed",
        "symbol",
        "side",
        "role",
        "type",
        "quantity#",
        "filled#",
        "price#",
        "state",
        "code",
        "client id",
    )
    show(table("Orders", columns, rows, f"source ledger, {age_text(answer.ts_ms)} old; times UTC"))


def trades(
    date: Annotated[str, typer.Option("--date", help="a UTC day, YYYY-MM-DD")] = "",
    limit: Limit = 20,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fills of the ledger, newest first. Example: titan trades --date 2026-01-31 --limit 100."""
    with connect(home) as client:
        answer = client.call(client.stub.ListTrades, pb.ListTradesRequest(date=date, limit=limit))
    if as_json:
        emit({"trades": [message_dict(row) for row in answer.fills], "as_of_ms": answer.ts_ms, "source": "ledger"})
        return
    rows = [
        (
            _clock(row.t_exchange_ms),
            row.symbol,
            _side(row.side),
            trading_pb2.OrderRole.Name(row.role).removeprefix("ORDER_ROLE_"),
            row.quantity,
            money(row.price),
            money(row.fee, 4),
            money(row.realized_pnl),
            "maker" if row.maker else "taker",
            row.venue_trade_id,
        )
        for row in answer.fills
    ]
    columns = ("exchange time", "symbol", "side", "role", "quantity#", "price#", "fee#", "realized#", "", "trade id")
    show(table("Trades", columns, rows, f"source ledger, {age_text(answer.ts_ms)} old; times UTC"))


def equity(home: Home = None, as_json: Json = False) -> None:
    """Wallet, unrealised profit and equity as the router computes them. Example: titan equity --json."""
    with connect(home) as client:
        answer = client.call(client.stub.GetEquity, pb.GetEquityRequest()).equity
    if as_json:
        emit(message_dict(answer))
        return
    rows = [
        ("wallet", money(answer.wallet)),
        ("unrealised", money(answer.unrealized_pnl)),
        ("equity", money(answer.equity)),
        ("start of day", money(answer.start_of_day)),
        ("high watermark", money(answer.high_watermark)),
    ]
    caption = f"source router, {age_text(answer.ts_ms)} old"
    show(table(f"Equity of {answer.venue}:{answer.account} in {answer.currency}", ("", "amount#"), rows, caption))


def decisions(limit: Limit = 20, home: Home = None, as_json: Json = False) -> None:
    """The brain's decisions, newest first. Example: titan decisions -n 50."""
    _decisions("Decisions", limit, home, as_json, approved_only=False)


def intents(limit: Limit = 20, home: Home = None, as_json: Json = False) -> None:
    """The signals that became intents, newest first. Example: titan intents."""
    _decisions("Intents", limit, home, as_json, approved_only=True)


def _decisions(title: str, limit: int, home: Home, as_json: bool, *, approved_only: bool) -> None:
    with connect(home) as client:
        answer = client.call(client.stub.ListDecisions, pb.ListDecisionsRequest(limit=1000 if approved_only else limit))
    found = [row for row in answer.decisions if row.approved or not approved_only][:limit]
    if as_json:
        emit({title.lower(): [message_dict(row) for row in found], "as_of_ms": answer.ts_ms, "source": "ledger"})
        return
    rows = [
        (
            _clock(row.ts_ms),
            _enum(trading_pb2.Phase.Name(row.phase)),
            row.symbol,
            _side(row.side),
            row.trap_type,
            "yes" if row.approved else "no",
            row.code,
            money(row.requested_size_usd),
            money(row.authorized_size_usd),
            row.reason,
        )
        for row in found
    ]
    columns = ("market time", "phase", "symbol", "side", "trap", "go", "code", "asked $#", "given $#", "reason")
    show(table(title, columns, rows, f"source ledger, {age_text(answer.ts_ms)} old; times UTC"))


def reconcile(
    venue: Annotated[bool, typer.Option("--venue", help="name the venue that was compared")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare venue, journal and ledger order by order, fill by fill. Exit 1 when they differ. Example: titan reconcile."""
    with connect(home) as client:
        truth = client.call(client.stub.Reconcile, pb.ReconcileRequest(), RECONCILE_TIMEOUT_S).truth
    if as_json:
        emit(truth_dict(truth))
    else:
        rows = [(row.kind, row.key, row.venue_value, row.journal_value, row.ledger_value) for row in truth.details]
        caption = (
            f"{truth.orders_compared} orders and {truth.fills_compared} fills compared, "
            f"{truth.differences} differences, confidence {truth.confidence} of 100"
        )
        name = f" of {truth.venue}" if venue else ""
        show(table(f"Truth{name}", ("kind", "key", "venue", "journal", "ledger"), rows, caption))
        if truth.error:
            console.print(f"incomplete: {truth.error}")
    if truth.differences or not truth.complete:
        raise typer.Exit(ExitCode.FAILED)


def truth_dict(truth: trading_pb2.Truth) -> dict[str, object]:
    """The `truth` object that scripts rely on."""
    return {
        "orders_compared": truth.orders_compared,
        "fills_compared": truth.fills_compared,
        "since_ms": truth.since_ms,
        "differences": truth.differences,
        "details": [message_dict(row) for row in truth.details],
        "confidence": truth.confidence,
        "complete": truth.complete,
        "error": truth.error,
        "venue": truth.venue,
        "ts_ms": truth.ts_ms,
    }
