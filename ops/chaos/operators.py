"""Faults with a person in them: the kill switch during a fault, a wrong secret, bad configuration, a second instance.

Guarantees: after each of them trading is what it was, by the operator's own commands. Never: a command that is not audited.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import nats.errors

from ops.chaos.arena import Arena
from ops.chaos.eyes import OWNER, Sight
from ops.chaos.fault import Inject, Injected, Skip
from ops.cli.plan import ROOT
from protos import trading_pb2 as pb
from titan import subjects
from titan.bus import Bus
from titan.codes import TradingState
from titan.errors import ExitCode, Transient
from titan.ids import new_ulid
from titan.metrics import Metrics
from titan.runtime import HmacKey

OBEYED_WITHIN_S = 90.0
AFTER = {"halt": TradingState.HALTED, "disarm": TradingState.DISARMED, "flatten": TradingState.DISARMED}


def commanded(verb: str, during: Inject | None = None) -> Inject:
    """A command that lowers risk, while another fault works; recovery counts until it is in force."""

    async def inject(arena: Arena) -> Injected:
        note = ""
        if during is None:
            note = await arena.moment()
        else:
            note = (await during(arena)).note
        since = time.monotonic()
        deadline = since + OBEYED_WITHIN_S
        receipt = None
        while receipt is None and time.monotonic() < deadline:
            receipt = await arena.trader.command(verb, f"chaos: {verb}")
        if receipt is None:
            return Injected(since, lambda _: False, note=f"no router obeyed {verb}; {note}")
        obeyed = time.monotonic()
        wanted = AFTER[verb]
        while time.monotonic() < deadline:
            sight = await arena.eyes.look()
            if sight.speaking and sight.trading is wanted:
                break
            await asyncio.sleep(0.05)
        else:
            return Injected(since, broken=lambda _: f"{verb} was obeyed and trading is not {wanted}", note=note)
        await arena.signals(1.0, 0.3)
        return Injected(since, lambda _: True, note=f"{receipt.code} after {obeyed - since:.2f} s; {note}")

    return inject


async def router_dies(arena: Arena) -> Injected:
    """The router dies just before the command."""
    router = await arena.actor("router")
    return Injected(arena.strike(router.pid, signal.SIGKILL), note="router just killed")


async def venue_hangs(arena: Arena) -> Injected:
    """The venue answers late when the command comes."""
    await arena.eyes.venue.switch("delay", on=["place", "cancel"], seconds=5, delay_ms=700)
    await arena.trader.signal()
    return Injected(time.monotonic(), note="venue slow")


async def wrong_secret(arena: Arena) -> Injected:
    """Commands signed with another secret: nothing may change."""
    runtime = arena.eyes.runtime
    forged = runtime.model_copy(
        update={"hmac_key": HmacKey(key_id=runtime.hmac_key.key_id, secret="00" * 32), "hmac_key_next": None}
    )
    before = (await arena.eyes.look()).trading
    client = arena.eyes.bus.client
    bus = Bus(client, forged, OWNER, Metrics())
    for verb in ("halt", "reduce", "flatten"):
        command = pb.OperatorCommand(command_id=new_ulid(), action=verb, reason="forged", operator_id="nobody")
        _, data = bus.seal(subjects.operator(verb), command)
        try:
            await client.publish(subjects.operator(verb), data)
        except nats.errors.Error as error:
            raise Skip(f"the bus is away: {error!r}") from error
    await asyncio.sleep(1.5)

    def broken(sight: Sight) -> str:
        forged_state = before is TradingState.ACTIVE and sight.trading is TradingState.HALTED
        return "a forged command was obeyed" if forged_state else ""

    return Injected(time.monotonic(), broken=broken)


async def bad_configuration(arena: Arena) -> Injected:
    """A start with impossible settings beside the running system: refused, and nothing changes."""
    code = await _run(arena, ["-m", "ops.cli.app", "up", "--detach"], {"TITAN_SPEED": "-3"})
    wrong = "" if code == ExitCode.BAD_CONFIG else f"a start with TITAN_SPEED=-3 ended with code {code}, not 4"
    return Injected(time.monotonic(), broken=lambda _: wrong)


async def second_instance(arena: Arena) -> Injected:
    """A second guardian and a second router of the same home: both are refused."""
    home = str(arena.system.home)
    guardian = await _run(arena, ["-m", "supervisors.guardian", "--home", home, "--groups", arena.system.groups], {})
    router = await _run(arena, ["-m", "titan.process", "actors.router.actor:Router", "--home", home], {})
    wrong = [
        f"a second {name} ended with code 0" for name, code in (("guardian", guardian), ("router", router)) if not code
    ]
    return Injected(time.monotonic(), broken=lambda _: "; ".join(wrong), note=f"codes {guardian} and {router}")


async def _run(arena: Arena, arguments: list[str], settings: dict[str, str]) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TITAN_")}
    environment = {**kept, "TITAN_HOME": str(arena.system.home), "TITAN_PORTS": "auto", **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(process.wait(), 60.0)
    except TimeoutError:
        return 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def warm_restart(arena: Arena) -> Injected:
    """The whole of Titan ends in order and starts again, with a position open if there is one."""
    return await _again(arena, arena.system.stop, "")


async def everything_killed(arena: Arena) -> Injected:
    """Every process of Titan dies at once, in the middle of an order; the next start finds what is left and cleans it up."""
    phase = await arena.moment()
    return await _again(arena, arena.system.kill, f"{phase}; ")


async def _again(arena: Arena, ended: Callable[[], object], note: str) -> Injected:
    held = arena.eyes.held(arena.eyes.runtime.symbols[0])
    await arena.close()
    await asyncio.to_thread(ended)
    since = time.monotonic()
    await arena.system.start_again()
    for _ in range(50):
        try:
            await arena.open()
            break
        except Transient:
            await asyncio.sleep(0.2)
    return Injected(since, note=f"{note}with {held} held")
