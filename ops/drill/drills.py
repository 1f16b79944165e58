"""The drills: what each breaks, and what must be seen afterwards.

Guarantees: a drill that passes has seen every line of its report; it ends with venue, journal and ledger in agreement.
Never: a drill on real money (each has a stage of its own).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.drill.conditions import guardian_of, held, kill
from ops.drill.nodes import node_loss
from ops.drill.observability import DISK_MB, observability
from ops.drill.proof import nothing_lost
from ops.drill.report import Report
from ops.drill.rotation import rotate_database, rotate_hmac
from ops.drill.stage import SPEED, Broken, Stage
from ops.drill.trades import trading
from protos import trading_pb2
from titan.policy import load_policy

POLICY = Path(__file__).resolve().parents[1] / "config" / "risk_policy.json"
HALTED, DISARMED = trading_pb2.TRADING_STATE_HALTED, trading_pb2.TRADING_STATE_DISARMED
HALT_WITHIN_S = 5.0
WATCH_MINUTES = 5.0
"""For which health is watched before anything is broken."""
OPENINGS = 5
"""By hand, before a backup and after it."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One rehearsal. `policy` changes limits of the stage's risk policy."""

    name: str
    purpose: str
    every: str
    run: Callable[[Stage, Report], None]
    policy: dict[str, float] = field(default_factory=dict)
    standby: bool = False
    speed: int = SPEED
    disk_mb: int = 0
    """Of a disk of the stage's own, where rights allow; 0 is none."""
    starts: bool = False
    """Whether it starts its Titan itself."""

    def settings(self, scratch: Path) -> dict[str, str]:
        """The stage's settings; a changed policy is written into `scratch`."""
        own = {"TITAN_ROUTER_STANDBY": "true"} if self.standby else {}
        if not self.policy:
            return own
        path = scratch / "risk_policy.json"
        path.write_text(json.dumps({**json.loads(POLICY.read_text()), **self.policy}))
        load_policy(path)
        return {**own, "TITAN_POLICY": str(path)}


def kill_switch(stage: Stage, report: Report) -> None:
    """Halt by hand: nothing opens, a restarted router stays halted, only a person lifts it."""
    with report.step(f"the switch halts trading within {HALT_WITHIN_S:g} s"):
        began = time.monotonic()
        stage.order("halt", "drill")
        stage.until(lambda: stage.status().trading_state == HALTED, "HALTED", HALT_WITHIN_S)
        took_s = report.measures["halt_s"] = round(time.monotonic() - began, 3)
        if took_s > HALT_WITHIN_S:
            raise Broken(f"it took {took_s:g} s")
    with report.step("an opening is refused") as step:
        approved, step.seen = stage.opening()
        if approved:
            raise Broken("an opening was approved while HALTED")
    with report.step("a router that starts anew is halted still"):
        stage.restart_actor("router")
        stage.until(lambda: stage.status().trading_state == HALTED, "HALTED after the restart", 60.0)
    with report.step("resume leads to DISARMED, never to trading"):
        stage.order("resume", "drill over")
        stage.until(lambda: stage.status().trading_state == DISARMED, "DISARMED", 10.0)
    _arm_and_agree(stage, report)


def nats_outage(stage: Stage, report: Report) -> None:
    """The bus dies, comes back, and nothing was lost."""
    _server_outage(stage, report, "nats")


def postgres_outage(stage: Stage, report: Report) -> None:
    """The ledger dies; trading goes on from the journal and the books catch up."""
    _server_outage(stage, report, "postgres")


def redis_outage(stage: Stage, report: Report) -> None:
    """The cache dies and nobody starts it again: trading goes on as if nothing were."""
    pids = {actor.name: actor.pid for actor in stage.status().actors}
    old = stage.server_pid("redis")

    def another() -> bool:
        return stage.server_pid("redis") not in (0, old)

    with trading(stage) as trades:
        with report.step(f"orders flow: {OPENINGS} openings by hand"):
            stage.until(lambda: trades.approved >= OPENINGS, f"{OPENINGS} approvals", 90.0)
        with report.step("without the cache they flow on, it trades and no actor was restarted") as step:
            with held(guardian_of(stage)):
                kill(old)
                began, enough = time.monotonic(), trades.approved + OPENINGS
                stage.until(lambda: trades.approved >= enough, f"{OPENINGS} more approvals", 90.0)
                gap_s = report.measures["without_openings_s"] = trades.without_s(began, time.monotonic())
                now = {actor.name: actor.pid for actor in stage.status().actors}
                if another() or not stage.all_ready() or now != pids:
                    raise Broken(f"actors were {pids}, are {now}")
            step.seen = f"at most {gap_s:g} s between two openings"
    with report.step("the cache is back"):
        stage.until(another, "another redis", 30.0)
    with report.step("venue, journal and ledger agree, nothing is lost or doubled") as step:
        stage.agreed()
        step.seen = str(nothing_lost(stage))


def _server_outage(stage: Stage, report: Report, name: str) -> None:
    pid = stage.server_pid(name)
    began = time.monotonic()
    with report.step(f"{name} is killed and comes back as another process") as step:
        if not pid:
            raise Broken(f"the {name} server of the stage does not run")
        os.kill(pid, signal.SIGKILL)
        other = stage.until(
            lambda: stage.server_pid(name) not in (0, pid) and stage.server_pid(name), f"another {name}", 30.0
        )
        step.seen = f"pid {pid}, then {other}"
    with report.step("every actor is ready again"):
        stage.until(stage.all_ready, "all actors ready", 60.0)
        report.measures["recovery_s"] = round(time.monotonic() - began, 3)
    with report.step("openings are possible again"):
        stage.until_active(60.0)
    with report.step("venue, journal and ledger agree, nothing is lost or doubled") as step:
        stage.agreed()
        step.seen = str(nothing_lost(stage))


def breaker(stage: Stage, report: Report) -> None:
    """Equity below the policy's minimum: the breaker trips by itself, and stands as long as its cause does."""
    with report.step("the breaker trips by itself within 10 s") as step:
        step.seen = str(stage.until(lambda: _breaker(stage), "the breaker's trip", 10.0))
    with report.step("an opening is refused because of it") as step:
        approved, step.seen = stage.opening()
        if approved or "BREAKER" not in step.seen:
            raise Broken(f"expected a veto of the breaker, got {'approval' if approved else step.seen}")
    with report.step("what lowers risk passes"):
        stage.order("flatten", "drill")
    with report.step("a reset does not hold while equity is too low"):
        stage.reset("reset-circuit-breaker")
        stage.until(lambda: "BREAKER" in stage.opening()[1], "the breaker's second trip", 10.0)
    with report.step("its words are in the log"):
        log = (stage.home / "logs" / "brain.jsonl").read_text()
        if "circuit breaker" not in log.lower():
            raise Broken("the brain's log does not speak of the circuit breaker")


def _breaker(stage: Stage) -> str:
    port = stage.runtime.ports["brain_http"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        told = answer.read().decode()
    return "titan_brain_circuit_breaker_active 1" if "titan_brain_circuit_breaker_active 1.0" in told else ""


def restore(stage: Stage, report: Report) -> None:
    """Ledger and journal are destroyed after a backup; both come back, are compared with the venue, and trade again."""
    with trading(stage) as trades:
        with report.step("trading is on the books") as step:
            fills = stage.until(lambda: stage.status().counters.fills, "the first fill", 150.0)
            stage.until(lambda: trades.approved >= OPENINGS, f"{OPENINGS} openings by hand", 90.0)
            step.seen = f"{fills} fills"
        with report.step("a verified backup of the running system"):
            stage.command("backup", "drill", "--verify")
            backed_up_at = time.time()
        with report.step("trades that no backup has") as step:
            enough = trades.approved + OPENINGS
            stage.until(lambda: trades.approved >= enough, f"{OPENINGS} openings by hand", 90.0)
            step.seen = f"{OPENINGS} openings by hand"
    with report.step("the end"):
        stage.order("disarm", "drill")
        before = nothing_lost(stage)
        stage.down()
    lost_at = time.time()
    began = time.monotonic()
    with report.step("ledger and journal are destroyed") as step:
        shutil.rmtree((stage.home / "data" / "postgres").resolve())
        (stage.home / "data" / "postgres").unlink(missing_ok=True)
        journal = stage.home / "journal" / "titan_execution.db"
        for path in journal.parent.glob(f"{journal.stem}*"):
            path.unlink()
        step.seen = str(before)
    with report.step("both come back from backups") as step:
        done = stage.command("restore", "--latest")
        step.seen = f"{done['source']}; journal {done['journal']}"
        report.measures["restore_s"] = round(float(done["seconds"]), 3)
    with report.step("Titan starts HALTED"):
        stage.up()
        stage.until(lambda: stage.status().trading_state == HALTED, "HALTED", 60.0)
    with report.step(
        "the books agree with the venue, nothing that was filled is missing, the balance is what it was"
    ) as step:
        stage.agreed()
        after = nothing_lost(stage, destroyed=before.ids)
        step.seen = str(after)
        report.measures["rto_s"] = round(time.monotonic() - began, 3)
        # What the backups lacked, and the venue told again.
        report.measures["rpo_s"] = round(lost_at - backed_up_at, 3)
        report.measures["lost_fills"] = max(0, before.fills - after.fills)
        report.measures["lost_usd"] = float(abs(before.wallet - after.wallet))
        if after.fills < before.fills or after.wallet != before.wallet:
            raise Broken(f"before it was {before}")
    with report.step("a person lifts the halt"):
        stage.order("resume", "restored")
    _arm_and_agree(stage, report, before.ids)
    report.measures["trading_again_s"] = round(time.monotonic() - began, 3)


def _arm_and_agree(stage: Stage, report: Report, destroyed: frozenset[str] = frozenset()) -> None:
    with report.step("armed again, it trades"):
        stage.order("arm", "drill over")
        stage.until_active(30.0)
        stage.until(lambda: stage.opening()[0], "an approved opening", 60.0)
    with report.step("venue, journal and ledger agree, nothing is lost or doubled") as step:
        stage.agreed()
        step.seen = str(nothing_lost(stage, destroyed=destroyed))


DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        Drill("breaker", "the breaker trips by itself and holds", "weekly", breaker, {"minEquity": 150000}),
        Drill("kill-switch", "a halt stops openings and outlives a restart", "weekly", kill_switch),
        Drill("nats-outage", "the bus dies and nothing is lost", "weekly", nats_outage),
        Drill("node-loss", "a Ray node dies and its actors move", "release", node_loss, starts=True),
        Drill(
            "observability",
            "a real Prometheus sees every metric, health wakes nobody, and every alert fires for its cause",
            "release",
            observability(WATCH_MINUTES),
            standby=True,
            disk_mb=DISK_MB,
            # Three servers more share the machine: what is to be seen is a condition, not a market too fast for it.
            speed=10,
        ),
        Drill("postgres-outage", "the ledger dies and trading goes on", "weekly", postgres_outage),
        Drill("redis-outage", "the cache dies and trading goes on", "release", redis_outage),
        Drill("rotate-database", "the ledger's passwords change while it trades", "monthly", rotate_database),
        Drill("rotate-hmac", "the signing key changes and nothing is lost or forged", "monthly", rotate_hmac),
        Drill("restore", "ledger and journal are destroyed and come back", "monthly", restore),
    )
}
