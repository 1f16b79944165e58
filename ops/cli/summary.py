"""What a run amounted to: the JSON summary of `titan up`, and its lines for people."""

from __future__ import annotations

from ops.cli.output import console, money, seconds_text
from ops.cli.tables import truth_dict
from protos import control_pb2 as pb
from protos import trading_pb2


def summary_of(
    status: pb.GetStatusResponse, truth: trading_pb2.Truth | None, duration_s: float, exit_reason: str
) -> dict[str, object]:
    """The `up` object that scripts rely on. A truth that could not be asked counts as incomplete, never as clean."""
    counters = status.counters
    return {
        "feed": status.feed,
        "speed": status.speed,
        "duration_s": round(duration_s, 3),
        "exit_reason": exit_reason,
        "events_in": counters.events_in,
        "signals": counters.signals,
        "decisions": {"approved": counters.approved, "rejected": dict(counters.rejected)},
        "orders": counters.orders,
        "fills": counters.fills,
        "round_trips": counters.round_trips,
        "fees_usd": float(counters.fees_usd or 0),
        "pnl_usd": float(counters.pnl_usd or 0),
        "equity_usd": float(status.equity.equity or 0),
        "positions": [
            {"symbol": row.symbol, "quantity": row.quantity, "stop_price": row.stop_price}
            for row in status.positions
            if row.quantity not in ("", "0")
        ],
        "restarts": {actor.name: actor.restarts for actor in status.actors},
        "truth": truth_dict(trading_pb2.Truth(error="the truth pass did not answer") if truth is None else truth),
    }


def print_summary(status: pb.GetStatusResponse, truth: trading_pb2.Truth | None, duration_s: float) -> None:
    """The same in a few lines."""
    counters = status.counters
    restarts = sum(actor.restarts for actor in status.actors)
    console.print(
        f"{seconds_text(duration_s)} on {status.feed} at {status.speed:g}x: {counters.events_in:,} market events, "
        f"{counters.signals} signals, {counters.approved} approved, {counters.orders} orders, {counters.fills} fills, "
        f"{counters.round_trips} round trips, {restarts} restarts"
    )
    console.print(
        f"equity {money(status.equity.equity)} {status.equity.currency}, realised {money(counters.pnl_usd)}, "
        f"fees {money(counters.fees_usd)}"
    )
    if truth is None:
        console.print("truth: not established, the truth pass did not answer; run: titan reconcile")
    else:
        console.print(
            f"truth: {truth.orders_compared} orders and {truth.fills_compared} fills compared between venue, journal "
            f"and ledger, {truth.differences} differences"
        )
