"""One run as the command sees it: spawn the guardian, wait until trading, end it cleanly.

Guarantees: the guardian lives in its own session, so that Ctrl-C reaches only the command, which then ends the run in
order; a start that fails shows the guardian's own sentence and exit code. Never: a process left behind by a start that
was interrupted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from ops.cli.client import Client, connect
from ops.cli.plan import ROOT
from protos import control_pb2 as pb
from protos import trading_pb2
from supervisors.launch import LaunchPlan
from supervisors.state import GuardianState, Stage, read_state
from titan.errors import ExitCode, TimedOut, TitanError

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.1
RECONCILE_TIMEOUT_S = 70.0


class StartFailed(TitanError):
    """The guardian could not start; carries its sentence and its exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = ExitCode(exit_code) if exit_code in list(ExitCode) else ExitCode.FAILED


class Session:
    """A guardian process that this command started."""

    def __init__(self, plan: LaunchPlan) -> None:
        self.plan = plan
        self.home: Path = plan.home
        plan.save()
        log = plan.home / "logs" / "guardian.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = log.open("ab")
        self._log_start = log.stat().st_size
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisors.guardian", "--home", str(plan.home)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            cwd=ROOT,
            env={**os.environ, "TITAN_HOME": str(plan.home)},
        )
        self.started = time.monotonic()

    def state(self) -> GuardianState | None:
        """The guardian's own word, when it is this guardian's."""
        found = read_state(self.home)
        return found if found is not None and found.pid == self.process.pid else None

    def wait_until_up(self, on_step: Callable[[str], None]) -> None:
        """Returns when everything is Ready. Raises StartFailed or TimedOut; the guardian is gone then."""
        while True:
            state = self.state()
            if self.process.poll() is not None:
                raise self.start_failure()
            if state is not None:
                on_step(state.step)
                if state.state == Stage.UP:
                    return
            if time.monotonic() - self.started > START_TIMEOUT_S:
                step = "starting" if state is None else state.step
                self.stop()
                raise TimedOut(f"not up within {START_TIMEOUT_S:.0f} s (last step: {step}); see titan logs guardian")
            time.sleep(POLL_S)

    def start_failure(self) -> StartFailed:
        """Why the guardian ended before it was up."""
        found = read_state(self.home)
        sentence = "" if found is None or found.pid != self.process.pid else found.error
        if not sentence:
            with (self.home / "logs" / "guardian.log").open("rb") as stream:
                stream.seek(self._log_start)
                lines = [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
            sentence = lines[-1] if lines else "it said nothing"
        return StartFailed(sentence, self.process.returncode or ExitCode.FAILED)

    @property
    def alive(self) -> bool:
        """Whether the guardian still runs."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Ends everything in order and waits for it; a second call finds nothing to do. Returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise TimedOut(f"the guardian did not stop within {STOP_TIMEOUT_S:.0f} s and was killed") from None
        self._log.close()
        return self.process.returncode


def wait_for_gateway(client: Client, timeout_s: float = 10.0) -> pb.GetStatusResponse:
    """The first status that knows the router. Raises what the last attempt raised."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            status = client.status(2.0)
            if status.trading_state or time.monotonic() > deadline:
                return status
        except TitanError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def settle(home: Path) -> tuple[pb.GetStatusResponse | None, trading_pb2.Truth | None]:
    """Disarms, lets what is under way end, compares the books; returns the last status and the truth.

    What does not answer is None; a stop goes on all the same, because protection stands at the venue.
    """
    status: pb.GetStatusResponse | None = None
    truth: trading_pb2.Truth | None = None
    try:
        with connect(home) as client:
            try:
                client.call(client.stub.Disarm, pb.DisarmRequest(reason="end of run"))
            except TitanError:
                status = client.status()
            for _ in range(3):
                truth = client.call(client.stub.Reconcile, pb.ReconcileRequest(), RECONCILE_TIMEOUT_S).truth
                if truth.complete and truth.differences == 0:
                    break
            _wait_for_counters(client, truth)
            status = client.status()
    except (TitanError, grpc.RpcError):
        return status, truth
    return status, truth


def _wait_for_counters(client: Client, truth: trading_pb2.Truth | None) -> None:
    """The gateway reads totals once a second; waits until they have caught up with the fills just compared."""
    wanted = 0 if truth is None else truth.fills_compared
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        status = client.status()
        if status.counters.fills >= wanted and not any(status.backlog.values()):
            return
        time.sleep(POLL_S)
