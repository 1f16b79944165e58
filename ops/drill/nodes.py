"""A Ray node is lost under trade, with every actor on it: the other node takes them, and nothing is lost or doubled.

Guarantees: nodes run as in production (`titan node ROLES`), are killed whole and without a word, and are started again as a container
engine would; those that are left end with the block. Never: a node of somebody else's Titan.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import psutil

from ops.cli.plan import ROOT
from ops.drill.proof import nothing_lost
from ops.drill.report import Report
from ops.drill.stage import Broken, Stage
from ops.drill.trades import Trades, trading
from protos import system_pb2
from supervisors.processes import pss_bytes
from supervisors.state import read_state
from supervisors.tree import GROUPS, NODE_ROLES

BACK_WITHIN_S = 180.0
END_WITHIN_S = 30.0
ORDERS = 5
ROLES = ",".join(NODE_ROLES)
NODES = ("one", "two")
HEAD = "head"
MOVABLE = tuple(actor.name for group in GROUPS for actor in group.actors if actor.role in NODE_ROLES)


def start_process(env: dict[str, str], log: IO[bytes], roles: str = ROLES) -> subprocess.Popen[bytes]:
    """A node's process, which says in `log` when it joined."""
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli.app", "node", roles],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.DEVNULL,
    )


class Nodes:
    """The node processes of a stage beside its head, by name; each may have the actors of every role unless it is told otherwise."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, roles: str = ROLES) -> None:
        """Starts a node; it joins as soon as there is a head."""
        with self._stage.log(f"node-{name}").open("wb") as log:
            self._running[name] = start_process(self._stage.environment(), log, roles)

    def pids(self) -> dict[str, int]:
        """The process of every node."""
        return {name: node.pid for name, node in self._running.items()}

    def joined(self, name: str) -> bool:
        """Whether a node that was started is part of the cluster."""
        return b'"joined": true' in self._stage.log(f"node-{name}").read_bytes()

    def where(self, pid: int) -> str:
        """The node that a process runs below."""
        for name, node in self._running.items():
            with suppress(psutil.Error):
                if pid in {child.pid for child in psutil.Process(node.pid).children(recursive=True)}:
                    return name
        return HEAD

    def memory_mb(self) -> float:
        """PSS of the guardian, of the nodes, and of everything below them, in megabytes."""
        guardian = read_state(self._stage.home)
        heads = [node.pid for node in self._running.values()] + ([guardian.pid] if guardian is not None else [])
        held = 0
        for pid in heads:
            with suppress(psutil.Error):
                head = psutil.Process(pid)
                held += sum(pss_bytes(process.pid) for process in (head, *head.children(recursive=True)))
        return round(held / 1e6, 1)

    def kill(self, name: str) -> None:
        """Kills a node and everything below it."""
        with suppress(psutil.Error):
            node = psutil.Process(self._running[name].pid)
            for process in (node, *node.children(recursive=True)):
                with suppress(psutil.Error):
                    process.kill()
        self._running[name].wait(END_WITHIN_S)

    def end(self) -> None:
        """Ends what is left, in order where it can."""
        for node in self._running.values():
            node.terminate()
        for node in self._running.values():
            try:
                node.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


@contextmanager
def beside(stage: Stage) -> Iterator[Nodes]:
    """Two nodes for the length of a block."""
    made = Nodes(stage)
    try:
        for name in NODES:
            made.start(name)
        yield made
    finally:
        made.end()


def node_loss(stage: Stage, report: Report) -> None:
    """Kills each node in turn while orders flow, so that its actors move to the other."""
    stage.use({"TITAN_NODES": ROLES})
    with beside(stage) as nodes:
        with report.step("a private Titan on paper trades on a head and two nodes") as step:
            stage.up()
            stage.until_active()
            stage.until(lambda: all(nodes.joined(name) for name in NODES), "two nodes", BACK_WITHIN_S)
            step.seen = _words(_places(stage, nodes))
            report.measures["memory_pss_mb"] = nodes.memory_mb()
        with trading(stage) as trades:
            first = _places(stage, nodes)["router"]
            for victim in (first, *(name for name in NODES if name != first)):
                _lose(stage, report, nodes, trades, victim)
        with report.step("venue, journal and ledger agree") as step:
            step.seen = f"{stage.agreed()} fills"
        with report.step("no order or fill is lost or doubled, the money adds up") as step:
            books = nothing_lost(stage)
            step.seen = f"{trades.approved} openings by hand, {books}"
        stage.down()


def _lose(stage: Stage, report: Report, nodes: Nodes, trades: Trades, victim: str) -> None:
    with report.step("orders flow, and no supervisor has restarts to forget"):
        # Two losses within a supervisor's period are more than it takes: money would HALT, as it must.
        full = {each.name: each.max_restarts for each in GROUPS}
        stage.until(lambda: all(a.intensity_left >= full[a.supervisor] for a in _movable(stage)), "it", BACK_WITHIN_S)
        _more(stage, trades)
    with report.step("the node with the router is killed, the other takes its actors") as step:
        before, places = _pids(stage), _places(stage, nodes)
        lost = {name for name, place in places.items() if place == victim}
        if victim == HEAD or "router" not in lost:
            raise Broken(f"the router should stand on node {victim}: {_words(places)}")
        began = time.monotonic()
        nodes.kill(victim)
        stage.until(lambda: _moved(stage, nodes, lost, before, victim), f"{', '.join(sorted(lost))}", BACK_WITHIN_S)
        took_s = round(time.monotonic() - began, 3)
        after = _pids(stage)
        others = sorted(name for name in before if name not in lost and before[name] != after.get(name))
        step.seen = f"{', '.join(sorted(lost))} moved after {took_s:g} s"
        if others:
            raise Broken(f"{', '.join(others)} stood elsewhere and were started anew")
        _add(report, "moved_s", took_s)
    with report.step("openings again"):
        _more(stage, trades)
        _add(report, "without_openings_s", trades.without_s(began, time.monotonic()))
    with report.step("the node is back"):
        nodes.start(victim)
        stage.until(lambda: nodes.joined(victim), f"node {victim}", BACK_WITHIN_S)


def _add(report: Report, measure: str, value: float) -> None:
    """The worst of all losses."""
    report.measures[measure] = max(value, report.measures.get(measure, 0.0))


def _more(stage: Stage, trades: Trades) -> None:
    enough = trades.approved + ORDERS
    stage.until(lambda: trades.approved >= enough, f"{ORDERS} more approvals", BACK_WITHIN_S)


def _pids(stage: Stage) -> dict[str, int]:
    return {actor.name: actor.pid for actor in stage.status().actors if actor.pid}


def _movable(stage: Stage) -> list[system_pb2.ActorStatus]:
    return [actor for actor in stage.status().actors if actor.name in MOVABLE]


def _places(stage: Stage, nodes: Nodes) -> dict[str, str]:
    """Where every actor that has a role of a node stands."""
    return {name: nodes.where(pid) for name, pid in _pids(stage).items() if name in MOVABLE}


def _moved(stage: Stage, nodes: Nodes, lost: set[str], old: dict[str, int], victim: str) -> bool:
    pids, places = _pids(stage), _places(stage, nodes)
    fresh = all(pids.get(name, old[name]) != old[name] for name in lost)
    return fresh and not {victim, HEAD} & set(places.values()) and stage.all_ready()


def _words(places: dict[str, str]) -> str:
    return "; ".join(f"{name} on {place}" for name, place in sorted(places.items()))
