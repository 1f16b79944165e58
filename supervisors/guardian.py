"""The guardian: a small plain process that owns the servers and Ray, from one command to a clean end.

    python -m supervisors.guardian --home DIR        reads <home>/run/launch.json, written by `titan up`

Guarantees: one a home; servers, then Ray, then actors come up in order and go down in reverse, at any moment of their life;
nothing that it started outlives it; a start that fails ends with one sentence and an exit code in `<home>/run/guardian.json`.
What dies later is started again by the same supervision machine that runs the actors. Never: the import of Ray.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from supervisors.control import GUARDIAN_SOCKET, Answer, ControlServer, Fields
from supervisors.cores import CorePlan, keep_off, plan_cores
from supervisors.events import Command, Effect, Event, Exited, StartChild, SupervisorReady, Tick, Verb
from supervisors.launch import LaunchPlan
from supervisors.ledger import LedgerKeeper
from supervisors.nested import TreeMachine
from supervisors.processes import Reaper, adopt_orphans, kill_all, raise_descriptor_limit
from supervisors.pulse import check_socket_path
from supervisors.ray_node import RayNode, family_of
from supervisors.ray_stack import RayStack
from supervisors.runner import Life, Runner
from supervisors.server_life import POSTGRES, SERVERS, ServerLauncher
from supervisors.server_watch import ServerWatch
from supervisors.spec import ChildSpec, Escalation, Intensity, SupervisorSpec
from supervisors.state import GuardianState, Lock, Stage, StateFile, read_state, stop
from supervisors.tree import STANDBY_GROUPS, TITAN_GROUPS, load_groups, needed_of
from titan.errors import ConfigError, ExitCode, TitanError
from titan.files import private_dir
from titan.ledger_access import with_login
from titan.logs import Log, configure
from titan.runtime import Runtime
from titan.servers import Layout
from titan.servers.identity import ProcessId

__all__ = ["GuardianState", "main", "read_state", "stop"]

RAY = "ray"
LOCK_PATIENCE_S = 30.0
REAP_EVERY_S = 1.0
LEFTOVER_WITHIN_S = 5.0
NEEDED_DESCRIPTORS = 1_024
SERVER_START_MS = 90_000
SERVER_STOP_MS = 15_000
RAY_START_MS = 240_000
RAY_STOP_MS = 60_000


def guardian_tree(*, paper: bool) -> SupervisorSpec:
    """The guardian's own tree: the servers of the paper profile, then Ray."""
    limits = Intensity(5, 60_000)
    servers = tuple(
        ChildSpec(name, start_timeout_ms=SERVER_START_MS, shutdown_timeout_ms=SERVER_STOP_MS) for name in SERVERS
    )
    ray = ChildSpec(RAY, start_timeout_ms=RAY_START_MS, shutdown_timeout_ms=RAY_STOP_MS)
    group = SupervisorSpec("servers", servers if paper else (), intensity=limits, escalation=Escalation.DEGRADE)
    return SupervisorSpec("guardian", (group, ray), intensity=limits, escalation=Escalation.DEGRADE)


class Guardian:
    """One run of Titan on this machine. Create it in a running loop."""

    def __init__(self, plan: LaunchPlan, cores: CorePlan, state: StateFile, log: Log, groups: str) -> None:
        self._plan = plan
        self._groups = groups
        self._cores = cores
        self._state = state
        self._log = log
        self._servers = ServerLauncher(plan)
        self._ledger = LedgerKeeper(Layout.of(plan.home), log)
        self._errors: dict[str, TitanError] = {}
        self._stack: RayStack | None = None
        self._was_up = False
        self._settled = asyncio.Event()
        self._failure: tuple[str, str] | None = None
        self._asked = asyncio.Event()
        self._keep_servers = False
        self._watch = ServerWatch(lambda: self.runner, log)
        self._control = ControlServer(plan.home / "run" / GUARDIAN_SOCKET, self._answer)
        self.runner = Runner(TreeMachine(guardian_tree(paper=plan.profile == "paper")), self, self)

    # What the runner asks of it.

    async def launch(self, child: str, incarnation: int) -> Life:
        """Starts a server, or Ray with the runtime that the servers' addresses make."""
        self._say(f"starting {child}")
        try:
            if child != RAY:
                started = await self._servers.launch(child)
                if child == POSTGRES:
                    self._ledger.tell(self._servers.addresses.postgres_dsn)
                return started
            if self._plan.external is not None:
                self._ledger.tell(self._plan.external.postgres_dsn)
            node = RayNode(
                self._plan.home,
                dashboard=self._plan.dashboard,
                dashboard_port=self._plan.dashboard_port,
                groups=self._groups,
                nodes=self._plan.nodes,
            )
            self._runtime(node.dashboard_url).save()
            self._state.know(
                dashboard_url=node.dashboard_url, router_cpu=-1 if self._cores.router is None else self._cores.router
            )
            await node.start()
            self._stack = RayStack(node, self._say, needed_of(load_groups(self._groups)))
        except TitanError as error:
            self._errors[child] = error
            raise
        self._say("starting the actors")
        return self._stack

    def heard(self, event: Event, effects: list[Effect]) -> None:
        """Follows the tree: when it is up, what failed, what comes back."""
        self._watch.heard(event, effects)
        if isinstance(event, Tick) and not effects:
            return
        self._log.info("event", seen=repr(event), decided=[repr(effect) for effect in effects])
        if isinstance(event, Exited) and not self._asked.is_set():
            if not self._was_up and self._failure is None:
                self._failure = (event.child, event.reason)
                self._settled.set()
            elif self._was_up:
                self._state.say(Stage.RECOVERING, f"{event.child}: {event.reason}")
        for effect in effects:
            if isinstance(effect, SupervisorReady) and effect.supervisor == "guardian":
                self._was_up = True
                self._settled.set()
        if self._was_up and not self._asked.is_set() and not any(isinstance(effect, StartChild) for effect in effects):
            self._say_up_when_ready()

    # Its life.

    def ask_to_stop(self, *, keep_servers: bool = False) -> None:
        """A signal came; a second one makes everything that still stops die at once."""
        if self._asked.is_set() and self._state.last.state != Stage.SERVERS:
            self.runner.hurry()
        self._keep_servers = keep_servers
        self._asked.set()
        self._settled.set()

    async def run(self) -> ExitCode:
        """Starts everything, stays until it is asked to stop, stops everything; the exit code."""
        self._state.say(Stage.STARTING, "looking for leftovers of an earlier run")
        await asyncio.to_thread(kill_all, family_of(self._plan.home), LEFTOVER_WITHIN_S)
        await self._control.start()
        self.runner.post(Command(Verb.START))
        watch = asyncio.get_running_loop().create_task(self._watch.run(), name="server-watch")
        reaper = asyncio.get_running_loop().create_task(self._reap(), name="reaper")
        ledger = asyncio.get_running_loop().create_task(self._ledger.run(), name="ledger")
        broken = asyncio.get_running_loop().create_task(self.runner.failed(), name="supervision")
        for essential in (broken, watch, ledger):
            # A guardian that no longer supervises must not look as if it did.
            essential.add_done_callback(lambda task: None if task.cancelled() else self.ask_to_stop())
        await self._settled.wait()
        if self._failure is not None and not self._asked.is_set():
            return await self._fail(*self._failure)
        await self._asked.wait()
        if self._keep_servers and self._was_up:
            await self._down_to_servers()
        await self._stop()
        self._control.close()
        watch.cancel()
        reaper.cancel()
        ledger.cancel()
        broken.cancel()
        self._state.say(Stage.STOPPED, "stopped")
        return ExitCode.OK

    async def _answer(self, verb: str, _: Fields) -> Answer:
        if verb != "servers":
            raise ValueError(f"unknown verb {verb!r}: servers")
        return {"servers": self._watch.rows()}

    async def _fail(self, child: str, reason: str) -> ExitCode:
        stack_error = self._stack.error if self._stack is not None else None
        error = self._errors.get(child) or (stack_error if child == RAY else None)
        sentence = str(error) if error is not None else f"{child} did not start: {reason}"
        code = error.exit_code if error is not None else ExitCode.FAILED
        self._log.error("start failed", child=child, reason=sentence)
        self._asked.set()
        self._state.say(Stage.STOPPING, "stopping what was started", error=sentence, exit_code=code)
        await self._stop()
        self._state.say(Stage.FAILED, "failed", error=sentence, exit_code=code)
        print(sentence, file=sys.stderr)
        return code

    async def _down_to_servers(self) -> None:
        self._state.say(Stage.STOPPING, "stopping the actors")
        self.runner.post(Command(Verb.STOP, RAY, "down"))
        while self.runner.life(RAY) is not None:
            await asyncio.sleep(0.05)
        self._asked.clear()
        self._state.say(Stage.SERVERS, "servers kept; `titan up` starts the rest, `titan down` ends them")
        await self._asked.wait()

    async def _stop(self) -> None:
        if self._state.last.state != Stage.STOPPING:
            self._state.say(Stage.STOPPING, "stopping")
        await self.runner.stop("down")
        await self.runner.close()

    async def _reap(self) -> None:
        reaper = Reaper()
        while True:
            await asyncio.sleep(REAP_EVERY_S)
            reaper.reap()

    def _say(self, step: str) -> None:
        stage = Stage.STOPPING if self._asked.is_set() else Stage.RECOVERING if self._was_up else Stage.STARTING
        self._state.say(stage, step)

    def _say_up_when_ready(self) -> None:
        down = [view.name for view in self.runner.views() if view.status != "ready"]
        if not down and self._state.last.state != Stage.UP:
            degraded = self._stack.degraded if self._stack is not None else {}
            self._state.say(Stage.UP, "up", error="; ".join(f"{name}: {why}" for name, why in degraded.items()))

    def _runtime(self, dashboard_url: str) -> Runtime:
        plan, to, external = self._plan, self._servers.addresses, self._plan.external
        paper_ports = {name: port for name, port in to.ports.items() if name.startswith("paper")}
        return Runtime(
            home=plan.home,
            profile=plan.profile,
            feed=plan.feed,
            speed=plan.speed,
            symbols=plan.symbols or Runtime.model_fields["symbols"].default,
            venues=(to.venue,) if to.venue is not None else plan.venues,
            nats_url=external.nats_url if external else to.nats_url,
            nats_tls=plan.nats_tls,
            nats_user=external.nats_user if external else "",
            nats_password=external.nats_password if external else "",
            # Without the owner's login: each service has its own.
            postgres_dsn=with_login(external.postgres_dsn if external else to.postgres_dsn, ""),
            redis_url=external.redis_url if external else to.redis_url,
            ports={**plan.ports, **paper_ports},
            hmac_key=plan.hmac_key,
            hmac_key_next=plan.hmac_key_next,
            policy_path=plan.policy_path,
            routing=plan.routing,
            router_cpu=self._cores.setting,
            execution_mode=plan.execution_mode,
            auto_arm=plan.auto_arm,
            dashboard=plan.dashboard,
            dashboard_url=dashboard_url,
            api_tokens=plan.api_tokens,
            started_ms=time.time_ns() // 1_000_000,
            log_level=plan.log_level,
            traces_url=plan.traces_url,
            bind=plan.bind,
            fast_lane=plan.fast_lane,
            external_orders=plan.external_orders,
            memory_warn_mb=plan.memory_warn_mb,
            memory_recycle_mb=plan.memory_recycle_mb,
            spares=plan.spares,
        )


def end_family() -> list[int]:
    """Kills whatever is still below this process; the pids that would not die."""
    mine = [ProcessId.of(child.pid) for child in psutil.Process().children(recursive=True)]
    left = kill_all((child for child in mine if child is not None), LEFTOVER_WITHIN_S)
    Reaper(0.0).reap()
    return [process.pid for process in left]


async def guard(plan: LaunchPlan, cores: CorePlan, state: StateFile, log: Log, groups: str) -> ExitCode:
    """One run, with its signals."""
    guardian = Guardian(plan, cores, state, log, groups)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, guardian.ask_to_stop)
    loop.add_signal_handler(signal.SIGUSR1, lambda: guardian.ask_to_stop(keep_servers=True))
    return await guardian.run()


def start(home: Path, groups: str = TITAN_GROUPS) -> ExitCode:
    """Takes the home, then guards it. Raises TitanError for what can't even be begun."""
    run_dir = private_dir(home / "run")
    lock = Lock(run_dir)
    lock.take(home, LOCK_PATIENCE_S)
    state = StateFile(run_dir)
    state.say(Stage.STARTING, "reading the plan")
    try:
        plan = LaunchPlan.load(home)
        if plan.router_standby and groups == TITAN_GROUPS:
            groups = STANDBY_GROUPS
        check_socket_path(run_dir / "heartbeat.sock")
        descriptors = raise_descriptor_limit()
        if descriptors < NEEDED_DESCRIPTORS:
            raise ConfigError(
                f"a process may open {descriptors} files here, Ray and the servers need {NEEDED_DESCRIPTORS}: "
                f"raise the hard limit (ulimit -Hn), then start again"
            )
        cores = plan_cores(plan.router_cpu, frozenset(os.sched_getaffinity(0)))
        log = configure("guardian", home / "logs", plan.log_level)
        log.info("guardian", pid=os.getpid(), router_cpu=cores.setting, others=sorted(cores.others))
        keep_off(cores)
        adopt_orphans()
        code = asyncio.run(guard(plan, cores, state, log, groups))
    except TitanError as error:
        state.say(Stage.FAILED, "failed", error=str(error), exit_code=error.exit_code)
        raise
    finally:
        left = end_family()
        if left:
            print(f"processes that do not end: {left}", file=sys.stderr)
    return code


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="supervisors.guardian", description="Owns the servers and Ray of one home.")
    parser.add_argument("--home", type=Path, required=True, help="the TITAN_HOME with run/launch.json in it")
    parser.add_argument("--groups", default=TITAN_GROUPS, help="the actors to supervise, as package.module:NAME")
    given = parser.parse_args(arguments)
    home: Path = given.home.expanduser().absolute()
    try:
        return int(start(home, given.groups))
    except KeyboardInterrupt:
        return int(ExitCode.FAILED)
    except TitanError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
