"""One look at a running Titan, as a panel for people and as an object for machines.

Guarantees: every number on the screen comes from a status answer and carries its age; what is unknown shows as a dash.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ops.cli.output import age_text, money, seconds_text
from protos import control_pb2 as pb
from protos import system_pb2, trading_pb2

STATE_STYLE = {"ACTIVE": "bold green", "DISARMED": "bold yellow", "REDUCING": "bold yellow", "HALTED": "bold red"}
STALE_S = 3.0
MB = 1_000_000


def trading_state(status: pb.GetStatusResponse) -> str:
    """The trading state's name; UNKNOWN before the router has spoken."""
    name = trading_pb2.TradingState.Name(status.trading_state).removeprefix("TRADING_STATE_")
    return "UNKNOWN" if name == "UNSPECIFIED" else name


def state_word(state: system_pb2.ActorState.ValueType) -> str:
    """The state of an actor or a server in one word."""
    return system_pb2.ActorState.Name(state).removeprefix("ACTOR_STATE_").lower()


def actor_state(actor: system_pb2.ActorStatus) -> str:
    """An actor's state in one word."""
    return state_word(actor.state)


def restart_line(actor: system_pb2.ActorStatus, ts_ms: int) -> str:
    """The last restart of an actor in one line."""
    at = time.strftime("%H:%M:%S", time.gmtime(ts_ms / 1000))
    why = f": {actor.last_exit}" if actor.last_exit else ""
    back = f", back after {actor.last_recovery_s:.2f} s" if actor.last_recovery_s > 0 else ""
    return f"{at} {actor.name} {actor_state(actor)} again{why}{back}"


def restarts_cell(actor: system_pb2.ActorStatus) -> str:
    """Crashes, then what was planned: by hand and for memory; only crashes where nothing was."""
    planned = actor.graceful_restarts + actor.recycles
    return f"{actor.restarts}+{planned}" if planned else str(actor.restarts)


def status_dict(status: pb.GetStatusResponse) -> dict[str, object]:
    """The `status` object that scripts rely on."""
    return {
        "profile": status.profile,
        "feed": status.feed,
        "speed": status.speed,
        "trading_state": trading_state(status),
        "trading_reason": status.trading_reason,
        "policy_hash": status.policy_hash,
        "brain_policy_hash": status.brain_policy_hash,
        "openings_held": status.openings_held,
        "equity_usd": float(status.equity.equity or 0),
        "equity_age_s": (status.ts_ms - status.equity.ts_ms) / 1000 if status.equity.ts_ms else None,
        "router_state_age_s": status.router_state_age_s,
        "version": status.version,
        "uptime_s": status.uptime_s,
        "actors": [
            {
                "name": actor.name,
                "supervisor": actor.supervisor,
                "pid": actor.pid,
                "node": actor.node,
                "state": actor_state(actor),
                "restarts": actor.restarts,
                "graceful_restarts": actor.graceful_restarts,
                "recycles": actor.recycles,
                "intensity_left": actor.intensity_left,
                "heartbeat_age_s": round(actor.heartbeat_age_s, 3),
                "last_exit": actor.last_exit,
                "last_recovery_s": actor.last_recovery_s,
                "cpus": list(actor.cpus),
                "resident_mb": round(actor.resident_bytes / MB, 1),
                "descriptors": actor.descriptors,
                "descriptor_limit": actor.descriptor_limit,
                "mode": actor.mode,
                "term": actor.term,
                "follow_lag_s": round(actor.follow_lag_s, 3),
            }
            for actor in status.actors
        ],
        "servers": [
            {
                "name": server.name,
                "pid": server.pid,
                "state": state_word(server.state),
                "restarts": server.restarts,
                "graceful_restarts": server.graceful_restarts,
                "intensity_left": server.intensity_left,
                "answer_age_s": round(server.answer_age_s, 3),
                "last_exit": server.last_exit,
                "last_recovery_s": server.last_recovery_s,
                "trouble": server.trouble,
            }
            for server in status.servers
        ],
        "streams": [
            {"venue": row.venue, "symbol": row.symbol, "kind": row.kind, "age_s": round(row.age_s, 3)}
            for row in status.streams
        ],
        "backlog": dict(status.backlog),
        "counters": {
            "events_in": status.counters.events_in,
            "signals": status.counters.signals,
            "approved": status.counters.approved,
            "rejected": dict(status.counters.rejected),
            "orders": status.counters.orders,
            "fills": status.counters.fills,
            "round_trips": status.counters.round_trips,
            "fees_usd": float(status.counters.fees_usd or 0),
            "pnl_usd": float(status.counters.pnl_usd or 0),
        },
        "router_affinity": dict(status.router_affinity),
    }


def _headline(status: pb.GetStatusResponse) -> Panel:
    state = trading_state(status)
    line = Text()
    line.append(f" {state} ", style=STATE_STYLE.get(state, "bold"))
    line.append(f" {status.profile}  feed {status.feed}  speed {status.speed:g}x")
    if status.market_ts_ms:
        market = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(status.market_ts_ms / 1000))
        line.append(f"  market {market} UTC")
    line.append(f"  up {seconds_text(status.uptime_s)}")
    hashes = f"policy {status.policy_hash[:12] or '-'}"
    if status.brain_policy_hash and status.brain_policy_hash != status.policy_hash:
        hashes += f" (brain {status.brain_policy_hash[:12]}: MISMATCH)"
    reason = f"\n {status.trading_reason}  {hashes}"
    line.append(reason, style="dim")
    for warning in _warnings(status):
        line.append(f"\n {warning}", style="bold yellow")
    return Panel(line, title="Titan", title_align="left", border_style="cyan")


def _money(status: pb.GetStatusResponse) -> Panel:
    counters, equity = status.counters, status.equity
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(justify="right")
    age = "-" if not equity.ts_ms else age_text(equity.ts_ms, status.ts_ms)
    grid.add_row("equity", f"{money(equity.equity)} {equity.currency}  ({age})")
    grid.add_row("unrealised", money(equity.unrealized_pnl))
    grid.add_row("realised", money(counters.pnl_usd))
    grid.add_row("fees", money(counters.fees_usd))
    grid.add_row("fills / round trips", f"{counters.fills} / {counters.round_trips}")
    grid.add_row("signals / approved", f"{counters.signals} / {counters.approved}")
    grid.add_row("market events", f"{counters.events_in:,}")
    if status.HasField("truth"):
        truth = status.truth
        grid.add_row("truth", f"{truth.differences} differences ({age_text(truth.ts_ms, status.ts_ms)})")
    return Panel(grid, title="Money", title_align="left")


def _positions(status: pb.GetStatusResponse) -> Panel:
    held = [row for row in status.positions if row.quantity not in ("", "0")]
    grid = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("symbol", "quantity", "average", "mark", "unrealised", "stop"):
        grid.add_column(name, justify="left" if name == "symbol" else "right")
    for row in held:
        grid.add_row(
            row.symbol,
            row.quantity,
            money(row.average_price),
            money(row.mark_price),
            money(row.unrealized_pnl),
            money(row.stop_price),
        )
    body: RenderableType = grid if held else Text("flat", style="dim")
    return Panel(body, title=f"Positions ({len(held)})", title_align="left")


def _actors(status: pb.GetStatusResponse) -> Panel:
    grid = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("actor", "state", "pid", "restarts", "left", "beat", "back", "memory", "files", "cpus", "last exit"):
        grid.add_column(name, justify="left" if name in ("actor", "state", "cpus", "last exit") else "right")
    for actor in status.actors:
        state = actor_state(actor)
        fresh = actor.heartbeat_age_s <= STALE_S
        style = "green" if state == "ready" and fresh else "yellow" if state in ("starting", "backoff") else "red"
        grid.add_row(
            actor.name,
            Text(f"{state}, {actor.mode}" if actor.mode else state, style=style),
            str(actor.pid or "-"),
            restarts_cell(actor),
            str(actor.intensity_left),
            seconds_text(actor.heartbeat_age_s) if actor.heartbeat_age_s >= 0 else "-",
            seconds_text(actor.last_recovery_s) if actor.last_recovery_s > 0 else "-",
            f"{actor.resident_bytes / MB:.0f} MB" if actor.resident_bytes else "-",
            str(actor.descriptors or "-"),
            ",".join(map(str, actor.cpus)),
            actor.last_exit[:40],
        )
    return Panel(grid, title="Actors", title_align="left")


def _servers(status: pb.GetStatusResponse) -> Panel:
    grid = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("server", "state", "pid", "restarts", "left", "answer", "back", "last exit"):
        grid.add_column(name, justify="left" if name in ("server", "state", "last exit") else "right")
    for server in status.servers:
        state = state_word(server.state)
        style = "red" if state != "ready" else "yellow" if server.trouble else "green"
        grid.add_row(
            server.name,
            Text(state, style=style),
            str(server.pid or "-"),
            str(server.restarts),
            str(server.intensity_left),
            seconds_text(server.answer_age_s) if server.answer_age_s >= 0 else "-",
            seconds_text(server.last_recovery_s) if server.last_recovery_s > 0 else "-",
            (server.trouble or server.last_exit)[:60],
        )
    return Panel(grid, title="Servers", title_align="left")


def _streams(status: pb.GetStatusResponse) -> Panel:
    grid = Table(box=None, padding=(0, 1), show_header=False)
    for row in status.streams:
        style = "green" if row.age_s <= STALE_S * max(1.0, status.speed) else "red"
        grid.add_row(row.symbol, row.kind, Text(f"{seconds_text(row.age_s)} old", style=style))
    return Panel(grid, title="Streams (market time)", title_align="left")


def _warnings(status: pb.GetStatusResponse) -> list[str]:
    """What the trading state alone would hide."""
    told = []
    if status.router_state_age_s > STALE_S:
        told.append(f"the router has been silent for {seconds_text(status.router_state_age_s)}: its state may be old")
    if status.openings_held:
        told.append(f"openings held: {status.openings_held}")
    return told


def _recent(lines: Sequence[str]) -> Panel:
    body = "\n".join(lines) if lines else "nothing yet: the phases are warming up"
    return Panel(Text(body, no_wrap=True, overflow="ellipsis"), title="Signals, decisions, fills", title_align="left")


def render(status: pb.GetStatusResponse, recent: Sequence[str] | None = None) -> RenderableType:
    """The whole look; None for `recent` where nobody follows the events."""
    events = () if recent is None else (_recent(recent),)
    return Group(
        _headline(status),
        Columns([_money(status), _positions(status)], expand=True),
        _actors(status),
        *((_servers(status),) if status.servers else ()),
        *events,
        _streams(status),
    )
