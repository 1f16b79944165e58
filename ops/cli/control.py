"""arm, disarm, reduce, halt, resume, flatten, restart: what changes the state of trading.

Guarantees: each prints exactly what the router did to orders and positions; `disarm` and `halt` have a second way over
the bus when the gateway is away, because lowering risk is always easy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import ParseDict

from ops.cli.client import Client, NotFound, connect, home_of
from ops.cli.output import console, emit, message_dict
from protos import control_pb2 as pb
from protos import system_pb2, trading_pb2
from supervisors.control import ask
from titan import subjects
from titan.access import COMMAND
from titan.bus import open_bus, wait_for_port
from titan.errors import NotRunning, Rejected, TimedOut, TitanError, Transient
from titan.ids import new_ulid
from titan.runtime import Runtime

Home = Annotated[
    Path | None, typer.Option("--home", help="TITAN_HOME of the run; .titan by default", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Reason = Annotated[str, typer.Argument(help="why; kept in the audit log")]
FLATTEN_TIMEOUT_S = 40.0
SAFETY_TIMEOUT_S = 3.0
BUS_PROBE_S = 2.0
RESTART_TIMEOUT_S = 70.0
GATEWAY = "gateway"


def show_receipt(receipt: trading_pb2.OperatorReceipt, as_json: bool) -> None:
    """Says what was done."""
    if as_json:
        emit(message_dict(receipt))
        return
    prior = trading_pb2.TradingState.Name(receipt.prior_state).removeprefix("TRADING_STATE_")
    new = trading_pb2.TradingState.Name(receipt.new_state).removeprefix("TRADING_STATE_")
    console.print(f"{prior} -> {new}  ({receipt.detail})" if receipt.detail else f"{prior} -> {new}")
    for effect in receipt.effects:
        console.print(f"  - {effect}")


async def _over_the_bus(runtime: Runtime, verb: str, reason: str) -> trading_pb2.OperatorReceipt:
    await wait_for_port(runtime.nats_url, BUS_PROBE_S)
    async with open_bus(runtime, COMMAND) as bus:
        command = trading_pb2.OperatorCommand(
            command_id=new_ulid(),
            action=verb,
            reason=reason,
            operator_id="cli",
            ts_ms=time.time_ns() // 1_000_000,
        )
        return await bus.request(subjects.operator(verb), command, trading_pb2.OperatorReceipt, 10.0)


def _command(
    home: Path | None,
    verb: str,
    reason: str,
    as_json: bool,
    call: Callable[[Client], trading_pb2.OperatorReceipt],
    *,
    bus_when_away: bool = False,
) -> None:
    try:
        with connect(home) as client:
            receipt = call(client)
    except (NotRunning, TimedOut) as away:
        if not bus_when_away:
            raise
        # A gateway that hangs is no better than none; the router takes a second disarm, halt or flatten as done.
        runtime = Runtime.load(home_of(home))
        try:
            receipt = asyncio.run(_over_the_bus(runtime, verb, reason))
        except Transient as silent:
            hint = "; titan up --halt makes every later start begin HALTED" if verb == "halt" else ""
            raise type(away)(f"{away}; nor over the bus: {silent}{hint}") from None
        if not receipt.accepted:
            raise Rejected(receipt.code, receipt.detail) from None
    show_receipt(receipt, as_json)


def arm(reason: Reason, home: Home = None, as_json: Json = False) -> None:
    """Let the phases open positions. Example: titan arm "morning check done"."""
    _command(home, "arm", reason, as_json, lambda c: c.call(c.stub.Arm, pb.ArmRequest(reason=reason)).receipt)


def disarm(reason: Reason, home: Home = None, as_json: Json = False) -> None:
    """Stop openings at once; closes stay possible. Example: titan disarm "policy update"."""
    _command(
        home,
        "disarm",
        reason,
        as_json,
        lambda c: c.call(c.stub.Disarm, pb.DisarmRequest(reason=reason), SAFETY_TIMEOUT_S).receipt,
        bus_when_away=True,
    )


def reduce(reason: Reason = "operator", home: Home = None, as_json: Json = False) -> None:
    """Allow only what lowers risk. Example: titan reduce "funding spike"."""
    _command(home, "reduce", reason, as_json, lambda c: c.call(c.stub.Reduce, pb.ReduceRequest(reason=reason)).receipt)


def halt(reason: Reason = "operator", home: Home = None, as_json: Json = False) -> None:
    """Cancel orders that could raise risk, leave protection standing, send nothing else. Example: titan halt "odd fills"."""
    _command(
        home,
        "halt",
        reason,
        as_json,
        lambda c: c.call(c.stub.Halt, pb.HaltRequest(reason=reason), SAFETY_TIMEOUT_S).receipt,
        bus_when_away=True,
    )


def resume(reason: Reason = "operator", home: Home = None, as_json: Json = False) -> None:
    """Lift a halt; Titan is DISARMED afterwards. Example: titan resume "venue answered"."""
    _command(home, "resume", reason, as_json, lambda c: c.call(c.stub.Resume, pb.ResumeRequest(reason=reason)).receipt)


def flatten(reason: Reason = "operator", home: Home = None, as_json: Json = False) -> None:
    """Cancel what could raise risk and close every position at market. Example: titan flatten "end of day"."""
    _command(
        home,
        "flatten",
        reason,
        as_json,
        lambda c: c.call(c.stub.FlattenAll, pb.FlattenAllRequest(reason=reason), FLATTEN_TIMEOUT_S).receipt,
        bus_when_away=True,
    )


def restart(
    actor: Annotated[str, typer.Argument(help="the actor's name, as in titan status")],
    reason: Annotated[str, typer.Option("--reason", help="why; kept in the audit log")] = "operator",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Drain, stop and start one actor, and say how long until it was Ready again. Example: titan restart scavenger."""
    try:
        if actor == GATEWAY:
            raise NotRunning("the gateway can't answer for its own restart")
        with connect(home) as client:
            request = pb.RestartActorRequest(name=actor, reason=reason)
            reply = client.call(client.stub.RestartActor, request, RESTART_TIMEOUT_S).reply
    except NotRunning:
        reply = _restart_on_the_node(home, actor, reason)
    if as_json:
        emit(message_dict(reply))
    else:
        console.print(reply.detail, markup=False, soft_wrap=True)


def _restart_on_the_node(home: Path | None, actor: str, reason: str) -> system_pb2.RestartActorReply:
    """Asks the root supervisor itself. Raises NotRunning, TimedOut, NotFound, TitanError with what became of it."""
    runtime = Runtime.load(home_of(home))
    asked = ask(runtime.run_dir, "restart", RESTART_TIMEOUT_S, name=actor, reason=f"command: {reason}", wait=1)
    reply = ParseDict(asyncio.run(asked), system_pb2.RestartActorReply(), ignore_unknown_fields=True)
    if reply.code == "NOT_FOUND":
        raise NotFound(reply.detail)
    if not reply.accepted:
        raise TitanError(reply.detail)
    return reply
