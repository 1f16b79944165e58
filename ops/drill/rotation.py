"""Rotations rehearsed on a Titan that trades: what is refused meanwhile, what is lost (nothing), how long nothing opens.

Guarantees: orders flow all the while; afterwards every approval has its end, and every order and fill is in venue, journal and
ledger once; a message without a live signature is refused
after every step, by brain and router. Never: a key or password of the operator's own home.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Mapping

import asyncpg
from nats.aio.msg import Msg

from ops.drill.proof import nothing_lost
from ops.drill.report import Report
from ops.drill.stage import Broken, Stage
from ops.drill.trades import Trades, trading
from protos import envelope_pb2
from titan import subjects
from titan.bus import open_bus
from titan.codes import DeadLetterReason
from titan.envelope import Head, SigningKey, seal
from titan.ledger_access import LOGINS
from titan.runtime import HmacKey, Runtime

ANSWER_WITHIN_S = 15.0
NOBODY = "titan.drill.Nothing"
"""A type that no service takes: a message with it that proves its sender ends as WRONG_TYPE, any other by what it fails to prove."""
SIGNED = DeadLetterReason.WRONG_TYPE
WRITERS = ("execution", "gateway")
ORDERS = 5
"""So many openings by hand show that orders flow."""
FLOW_WITHIN_S = 90.0


def rotate_hmac(stage: Stage, report: Report) -> None:
    """The signing key of the bus changes in two steps with two live keys, while positions stand and orders are under way."""
    old = HmacKey(key_id="default", secret=(stage.home / "run" / "secrets" / "hmac").read_text().strip())
    new = HmacKey(key_id="rotated", secret=secrets.token_hex(32))
    with trading(stage) as trades:
        _orders_flow(stage, report, trades)
        with report.step("only what the live key signed is believed"):
            expect(stage.runtime, {old: SIGNED, new: DeadLetterReason.UNKNOWN_KEY})
        with report.step("begin: the new key signs, the old one still verifies") as step:
            closed_s = _again_with(
                stage, trades,
                HMAC_SECRET=new.secret, HMAC_KEY_ID=new.key_id, HMAC_SECRET_NEXT=old.secret, HMAC_KEY_ID_NEXT=old.key_id,
            )  # fmt: skip
            step.seen = f"{closed_s:g} s without openings"
            report.measures["begin_without_openings_s"] = closed_s
            expect(stage.runtime, {old: SIGNED, new: SIGNED})
        with report.step("between the steps nothing is lost or doubled") as step:
            step.seen = str(nothing_lost(stage))
        with report.step("end: the old key is forgotten") as step:
            closed_s = _again_with(stage, trades, HMAC_SECRET_NEXT="", HMAC_KEY_ID_NEXT="")
            step.seen = f"{closed_s:g} s without openings"
            report.measures["end_without_openings_s"] = closed_s
            expect(stage.runtime, {old: DeadLetterReason.UNKNOWN_KEY, new: SIGNED})
    _nothing_lost(stage, report, trades)


def rotate_database(stage: Stage, report: Report) -> None:
    """Every role of the ledger gets a new password while Titan trades; nothing is restarted."""
    with trading(stage) as trades:
        _orders_flow(stage, report, trades)
        runtime = stage.runtime
        old = {login: runtime.ledger(login).url for login in LOGINS}
        pids = {actor.name: actor.pid for actor in stage.status().actors}
        began = time.monotonic()
        with report.step("every role gets a new password, and every session of the old one ends") as step:
            done = stage.command("ledger", "rotate")
            step.seen = f"{len(done['roles'])} roles, {done['sessions_ended']} sessions"
            if set(done["roles"]) != {f"titan_{login}" for login in LOGINS}:
                raise Broken(f"expected {len(LOGINS)} roles, got {done['roles']}")
        with report.step("execution and gateway are back in the ledger"):
            stage.until(lambda: _back(stage), "their sessions", 60.0)
            report.measures["ledger_back_s"] = round(time.monotonic() - began, 3)
        with report.step("it trades on meanwhile, and after it") as step:
            enough = trades.approved + ORDERS
            stage.until(lambda: trades.approved >= enough, f"{ORDERS} more approvals", FLOW_WITHIN_S)
            closed_s = trades.without_s(began, time.monotonic())
            report.measures["without_openings_s"] = closed_s
            step.seen = f"at most {closed_s:g} s between two openings"
        with report.step("no old password opens anything"):
            opened = [login for login, url in old.items() if asyncio.run(_opens(url))]
            if opened:
                raise Broken(f"the old password still opens {', '.join(opened)}")
        with report.step("no actor was restarted"):
            now = {actor.name: actor.pid for actor in stage.status().actors}
            if now != pids:
                raise Broken(f"processes were {pids}, are {now}")
    _nothing_lost(stage, report, trades)


def _orders_flow(stage: Stage, report: Report, trades: Trades) -> None:
    with report.step(f"orders flow: {ORDERS} openings by hand and a fill") as step:
        stage.until(lambda: trades.approved >= ORDERS, f"{ORDERS} approvals", FLOW_WITHIN_S)
        fills = stage.until(lambda: stage.status().counters.fills, "a fill", FLOW_WITHIN_S)
        step.seen = f"{trades.approved} openings by hand, {fills} fills"


def _again_with(stage: Stage, trades: Trades, **settings: str) -> float:
    """Restarts the actors with other keys, all at once, the account kept; for how long nothing opened, in seconds."""
    began = time.monotonic()
    stage.order("disarm", "rotation")
    stage.down(keep_servers=True)
    stage.use(settings)
    stage.up()
    stage.until(lambda: stage.order("arm", "rotation over").accepted, "the arming", 60.0)
    enough = trades.approved + ORDERS
    stage.until(lambda: trades.approved >= enough, f"{ORDERS} more approvals", FLOW_WITHIN_S)
    return trades.without_s(began, time.monotonic())


def expect(runtime: Runtime, live: Mapping[HmacKey, DeadLetterReason]) -> None:
    """Has brain and router judge every kind of signature. Raises Broken when one is judged otherwise than it should be."""
    venue = runtime.venue
    for subject in (subjects.SIGNAL_SUBMIT, subjects.intent_place(venue.name, venue.account, runtime.symbols[0])):
        tried = {key.key_id: (_sealed(key, subject), reason) for key, reason in live.items()}
        forger = HmacKey(key_id=runtime.hmac_key.key_id, secret=secrets.token_hex(32))
        tried["forged"] = (_sealed(forger, subject), DeadLetterReason.BAD_SIGNATURE)
        tried["unsigned"] = (_unsigned(subject), DeadLetterReason.UNSIGNED)
        found = asyncio.run(_verdicts(runtime, subject, {name: wire for name, (wire, _) in tried.items()}))
        wanted = {name: reason.value for name, (_, reason) in tried.items()}
        if found != wanted:
            raise Broken(f"{subject}: expected {wanted}, got {found}")


def _sealed(key: HmacKey, subject: str) -> bytes:
    head = Head(subject=subject, type=NOBODY, producer="drill", ts_ms=time.time_ns() // 1_000_000)
    return seal(SigningKey(key.key_id, key.secret.encode()), head, b"", os.urandom(26))[1]


def _unsigned(subject: str) -> bytes:
    signed = envelope_pb2.Signed.FromString(_sealed(HmacKey(key_id="x", secret="x"), subject))
    wire: bytes = envelope_pb2.Signed(body=signed.body).SerializeToString()
    return wire


async def _verdicts(runtime: Runtime, subject: str, wires: Mapping[str, bytes]) -> dict[str, str]:
    """What became of each message: the reason of its dead letter. One that is taken has none."""
    found: dict[str, str] = {}
    complete = asyncio.Event()

    async def heard(msg: Msg) -> None:
        letter = envelope_pb2.DeadLetter.FromString(msg.data)
        for name, wire in wires.items():
            if wire == letter.original_payload:
                found[name] = letter.reason
        if len(found) == len(wires):
            complete.set()

    async with open_bus(runtime.as_owner(), "drill") as bus:
        await bus.client.subscribe(subjects.DLQ_ALL, cb=heard)
        await bus.client.flush()
        for wire in wires.values():
            await bus.client.publish(subject, wire)
        try:
            await asyncio.wait_for(complete.wait(), ANSWER_WITHIN_S)
        except TimeoutError:
            found |= dict.fromkeys(wires.keys() - found.keys(), "taken")
    return found


def _back(stage: Stage) -> bool:
    """Whether the services that hold pools answer for the ledger again, with sessions of the new password."""
    return asyncio.run(_sessions(stage.runtime)) >= set(WRITERS)


async def _sessions(runtime: Runtime) -> set[str]:
    connection = await asyncpg.connect(runtime.ledger("backup").url)
    try:
        rows = await connection.fetch("SELECT DISTINCT usename FROM pg_stat_activity WHERE usename IS NOT NULL")
        return {str(row["usename"]).removeprefix("titan_") for row in rows}
    finally:
        await connection.close()


async def _opens(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except asyncpg.InvalidPasswordError:
        return False
    await connection.close()
    return True


def _nothing_lost(stage: Stage, report: Report, trades: Trades) -> None:
    with report.step("venue, journal and ledger agree") as step:
        step.seen = f"{stage.agreed()} fills"
    with report.step("no approval without its end, no order or fill lost or doubled, the money adds up") as step:
        books = nothing_lost(stage)
        step.seen = f"{trades.approved} openings by hand, {books}"
        if books.approvals < trades.approved:
            raise Broken(f"{trades.approved} openings were approved, the ledger knows {books.approvals}")
        report.measures["openings"] = trades.approved
        report.measures["fills"] = books.fills
