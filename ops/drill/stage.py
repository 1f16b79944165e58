"""A Titan on paper with a home, ports and servers of its own, on which a drill may break things.

Guarantees: nothing of the operator's home is touched; every process of the stage is ended and its home removed. Never: a live
venue.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from ops.chaos.venue import VenueAdmin
from ops.cli.client import connect
from ops.cli.plan import ROOT
from protos import control_pb2 as pb
from protos import system_pb2, trading_pb2
from titan.errors import ExitCode, NotRunning, Rejected, TimedOut, TitanError, Transient
from titan.files import private_dir
from titan.runtime import Runtime
from titan.servers.identity import ServerRecord
from titan.servers.unprivileged import server_user

START_TIMEOUT_S = 200.0
SPEED = 60
"""Market seconds per second."""
POLL_S = 0.1
SYMBOL = "BTC/USDT:USDT"
STOP_SHARE = 0.05
"""How far from the price the stop of an opening by hand stands."""
FLATTEN_TIMEOUT_S = 40.0
ACTIVE = trading_pb2.TRADING_STATE_ACTIVE
PASSING = (NotRunning, TimedOut, Transient, Rejected)
T = TypeVar("T")


class Broken(TitanError):
    """A command of the stage failed."""


class Stage:
    """One Titan to rehearse on."""

    def __init__(self, home: Path, settings: dict[str, str], speed: int = SPEED) -> None:
        self.home = home
        self._settings = settings
        self._speed = speed

    # Driving it.

    def command(self, *arguments: str, timeout_s: float = 120.0) -> dict[str, Any]:
        """Runs one command to its end; its JSON answer. Raises Broken with its sentence."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "ops.cli.app", *arguments, "--json"],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TimedOut(f"titan {' '.join(arguments)} did not end within {timeout_s:.0f} s") from None
        lines = done.stdout.strip().splitlines()
        if done.returncode != ExitCode.OK:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise Broken(f"titan {' '.join(arguments)} ended with {done.returncode}: {words[-1] if words else ''}")
        found: dict[str, Any] = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        return found

    def environment(self) -> dict[str, str]:
        """What every process of the stage is started with."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TITAN_", "RAY_"))}
        own = {
            "TITAN_HOME": str(self.home),
            "TITAN_PORTS": "auto",
            "TITAN_DASHBOARD": "false",
            "TITAN_ROUTER_CPU": "off",
        }
        return {**kept, **own, **self._settings}

    def up(self) -> None:
        """Starts it on a seeded market."""
        # `up --detach` has no JSON of its own.
        self.command("up", "--detach", "--feed", "synthetic:42", "--speed", str(self._speed), timeout_s=START_TIMEOUT_S)

    def down(self, *, keep_servers: bool = False) -> None:
        """Ends it in order; the servers and the venue may stay."""
        self.command("down", *(["--keep-servers"] if keep_servers else []), timeout_s=120.0)

    def use(self, settings: dict[str, str]) -> None:
        """Other settings from the next start on."""
        self._settings = {**self._settings, **settings}

    def order(self, verb: str, reason: str) -> trading_pb2.OperatorReceipt:
        """Gives an operator's order. Raises Rejected, NotRunning, TimedOut."""
        with connect(self.home) as client:
            stub = client.stub
            match verb:
                case "halt":
                    return client.call(stub.Halt, pb.HaltRequest(reason=reason)).receipt
                case "resume":
                    return client.call(stub.Resume, pb.ResumeRequest(reason=reason)).receipt
                case "arm":
                    return client.call(stub.Arm, pb.ArmRequest(reason=reason)).receipt
                case "disarm":
                    return client.call(stub.Disarm, pb.DisarmRequest(reason=reason)).receipt
                case "flatten":
                    return client.call(stub.FlattenAll, pb.FlattenAllRequest(reason=reason), FLATTEN_TIMEOUT_S).receipt
                case _:
                    raise Broken(f"no order {verb!r}")

    def reset(self, what: str) -> None:
        """Has the brain take back what it put up (`reset-circuit-breaker`, `mode/normal`), as the risk owner. Raises Broken, OSError."""
        runtime = self.runtime
        request = urllib.request.Request(
            f"http://127.0.0.1:{runtime.ports['brain_http']}/admin/system/{what}",
            data=b'{"reason": "drill"}',
            headers={"Authorization": f"Bearer {runtime.api_tokens.risk_owner}", "Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            if answer.status != 200:
                raise Broken(f"{what} was answered with {answer.status}")

    def restart_actor(self, name: str) -> None:
        """Drains, stops and starts one actor."""
        with connect(self.home) as client:
            client.call(client.stub.RestartActor, pb.RestartActorRequest(name=name, reason="drill"), 60.0)

    # Looking at it.

    def status(self) -> pb.GetStatusResponse:
        """What the gateway knows. Raises NotRunning, TimedOut."""
        with connect(self.home) as client:
            return client.status()

    def log(self, name: str) -> Path:
        """Where a process of the drill itself may write."""
        return private_dir(self.home / "logs") / f"{name}.log"

    @property
    def runtime(self) -> Runtime:
        """The recorded run."""
        return Runtime.load(self.home)

    def until(self, condition: Callable[[], T | None], what: str, within_s: float) -> T:
        """The first truthy value; absences and refusals on the way are waited out. Raises TimedOut naming what never came."""
        deadline = time.monotonic() + within_s
        last = ""
        while True:
            try:
                found = condition()
                if found:
                    return found
            except (*PASSING, OSError) as error:
                last = f" ({error})"
            if time.monotonic() > deadline:
                raise TimedOut(f"{what} did not come within {within_s:.0f} s{last}")
            time.sleep(POLL_S)

    def until_active(self, within_s: float = 120.0) -> None:
        """Waits until it trades."""
        self.until(lambda: self.status().trading_state == ACTIVE, "trading state ACTIVE", within_s)

    def opening(
        self, size_usd: int = 200, *, sell: bool = False, limit: float = 0.0, stop_share: float = STOP_SHARE
    ) -> tuple[bool, str]:
        """Asks for an opening by hand, at a limit where one is given: whether it was approved, and the code."""
        stop = (limit or self.price()) * (1 + stop_share if sell else 1 - stop_share)
        with connect(self.home) as client:
            request = pb.SubmitManualIntentRequest(
                symbol=SYMBOL,
                side=trading_pb2.SIDE_SELL if sell else trading_pb2.SIDE_BUY,
                action=trading_pb2.SIGNAL_ACTION_OPEN,
                size_usd=str(size_usd),
                stop_price=f"{stop:.0f}",
                order_type=trading_pb2.ORDER_TYPE_LIMIT if limit else trading_pb2.ORDER_TYPE_MARKET,
                limit_price=f"{limit:.0f}" if limit else "",
                reason="drill",
            )
            decision = client.call(client.stub.SubmitManualIntent, request).decision
        return decision.approved, decision.code

    def cancel_limits(self) -> int:
        """Cancels every limit order that rests; how many."""
        with connect(self.home) as client:
            orders = client.call(client.stub.ListOrders, pb.ListOrdersRequest(limit=100, open_only=True)).orders
            resting = [order for order in orders if order.order_type == trading_pb2.ORDER_TYPE_LIMIT]
            for order in resting:
                # It may be gone by now.
                with suppress(*PASSING):
                    request = pb.CancelOrderRequest(client_order_id=order.client_order_id, reason="drill")
                    client.call(client.stub.CancelOrder, request)
        return len(resting)

    def all_ready(self) -> bool:
        """Whether every actor works."""
        actors = self.status().actors
        return bool(actors) and all(actor.state == system_pb2.ACTOR_STATE_READY for actor in actors)

    def price(self) -> float:
        """The venue's last price of the stage's symbol. Raises OSError while the venue is away."""
        venue = self.runtime.venue.rest_url
        name = SYMBOL.partition(":")[0].replace("/", "")
        with urllib.request.urlopen(f"{venue}/v5/market/tickers?category=linear&symbol={name}", timeout=10) as answer:
            return float(json.loads(answer.read())["result"]["list"][0]["lastPrice"])

    def agreed(self) -> int:
        """Has venue, journal and ledger compared; how many fills agree. Raises Broken for a difference."""
        truth = self.until(self._complete_truth, "a complete comparison of the books", 90.0)
        if truth.differences:
            raise Broken(f"{truth.differences} differences between venue, journal and ledger")
        return truth.fills_compared

    def _complete_truth(self) -> trading_pb2.Truth | None:
        with connect(self.home) as client:
            truth = client.call(client.stub.Reconcile, pb.ReconcileRequest(), 70.0).truth
        # What was on its way while the comparison ran is settled by the next one.
        return truth if truth.complete and not truth.differences else None

    def actor_pid(self, name: str) -> int:
        """The process id of an actor. Raises Broken when there is none."""
        for actor in self.status().actors:
            if actor.name == name and actor.pid:
                return actor.pid
        raise Broken(f"there is no {name}")

    @property
    def venue(self) -> VenueAdmin:
        """The admin port of the paper venue."""
        return VenueAdmin(self.runtime.venue.admin_url, self.runtime.symbols)

    def server_pid(self, name: str) -> int:
        """The process id of a server; 0 while it does not run."""
        record = ServerRecord.read(self.home / "run" / f"{name}.pid.json")
        return record.server.pid if record is not None and record.server.lives() else 0


@contextmanager
def stage(settings: dict[str, str] | None = None, *, speed: int = SPEED, disk_mb: int = 0) -> Iterator[Stage]:
    """A stage for the length of a block; not started yet. With `disk_mb` its home is a disk of that size, where rights allow."""
    home = Path(tempfile.mkdtemp(prefix="titan-drill-"))
    home.chmod(0o711)
    mounted = bool(disk_mb) and _own_disk(home, disk_mb)
    made = Stage(home, settings or {}, speed)
    try:
        yield made
    finally:
        with suppress(TitanError, subprocess.TimeoutExpired):
            made.down()
        _end_family(home)
        for link in (home / "data").glob("*") if (home / "data").exists() else ():
            if link.is_symlink() and server_user().uid is not None:
                shutil.rmtree(link.resolve(), ignore_errors=True)
        if mounted:
            subprocess.run(["umount", "-l", str(home)], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def _own_disk(home: Path, size_mb: int) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0711", "none", str(home)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _end_family(home: Path) -> None:
    """Kills what still works for the stage's home: its name is in no other process."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            mine = str(home) in words or process.environ().get("TITAN_HOME") == str(home)
            if mine and process.pid != os.getpid():
                process.kill()
