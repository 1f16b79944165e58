"""memory-full: what the containers of the full profile hold while Titan trades: its head, a Ray node for each role, the servers,
the edge and the watch. PSS: a page that several processes share is split among them.

Guarantees: every process stands where compose puts it; a container that can't run here counts with its whole limit in the sum and
is named. Never: the paper venue in the sum (production has none). Source: /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil
import yaml

from ops.bench.machine import ROOT
from ops.bench.memory import EVERY_S, MB, label
from ops.bench.result import Options, Report, Row, Target, row
from ops.build.edge import started
from ops.build.tools import find
from ops.drill.nodes import Nodes
from ops.drill.stage import stage
from ops.drill.watch import NEEDED, watching
from supervisors.processes import pss_bytes
from supervisors.state import read_state
from supervisors.tree import NODE_ROLES

PROMISED_MB = 8 * 1024**3 / MB
CORE, VENUE = "titan-core", "paper venue"
SERVERS = {"nats": "titan-nats", "postgres": "titan-postgres", "redis": "redis", VENUE: VENUE}
"""Container by what `memory` calls a process of the guardian's family; the others are the core's."""
BESIDE = {"prometheus": "prometheus", "prometheus-alertmanager-moved": "alertmanager", "prometheus-alertmanager": "alertmanager",
          "traefik": "traefik"}  # fmt: skip
"""Container by the program of a process that the bench itself has started."""
JOIN_WITHIN_S = 120.0
SETTLE_WITHIN_S = 60.0
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def limits_mb() -> dict[str, float]:
    """The memory limit of every container of the production file, in megabytes."""
    services = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
    return {name: megabytes(str(service["mem_limit"])) for name, service in services.items() if "mem_limit" in service}


def megabytes(text: str) -> float:
    """Compose's words for a size. Raises ValueError."""
    found = re.fullmatch(r"(\d+)([kmg])", text)
    if found is None:
        raise ValueError(f"{text!r} is no size like 512m")
    return int(found[1]) * UNITS[found[2]] / MB


def run(options: Options) -> Report:
    """A whole Titan of its own with a node for each role, sampled once a second while it trades."""
    absent = [name for name in (*NEEDED, "traefik") if find(name) is None]
    if absent:
        return Report(
            "memory-full", (), (f"{', '.join(absent)} not here, nothing was measured: run ops/build/tools.py",)
        )
    with stage({"TITAN_NODES": ",".join(NODE_ROLES), "TITAN_ROUTER_STANDBY": "true"}) as made:
        nodes = Nodes(made)
        try:
            for role in NODE_ROLES:
                nodes.start(role, role)
            made.up()
            made.until(lambda: all(nodes.joined(role) for role in NODE_ROLES), "every node", JOIN_WITHIN_S)
            made.until_active()
            gateway = f"http://127.0.0.1:{made.runtime.ports['gateway_http']}"
            with watching(made.runtime, standby=True, patient=True) as watch, started(ROOT, gateway):
                made.until(watch.all_up, "every listener", SETTLE_WITHIN_S)
                guardian = read_state(made.home)
                assert guardian is not None
                heads = {f"titan-{role}": pid for role, pid in nodes.pids().items()}
                return report(sampled(guardian.pid, heads, options.seconds))
        finally:
            nodes.end()


def sampled(guardian: int, nodes: Mapping[str, int], seconds: float) -> dict[str, list[float]]:
    """Megabytes of every container at every second."""
    found: dict[str, list[float]] = defaultdict(list)
    deadline = time.monotonic() + seconds
    while not found or time.monotonic() < deadline:
        held: dict[str, float] = defaultdict(float)
        for process in family(guardian):
            with suppress(psutil.Error):
                held[SERVERS.get(label(process.cmdline()), CORE)] += pss_bytes(process.pid) / MB
        for container, head in nodes.items():
            held[container] += sum(pss_bytes(process.pid) for process in family(head)) / MB
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                container = BESIDE.get(process.name()) or BESIDE.get(
                    (process.cmdline() or ["/"])[0].rpartition("/")[2], ""
                )
                if container:
                    held[container] += pss_bytes(process.pid) / MB
        for container, megabytes_held in held.items():
            found[container].append(megabytes_held)
        time.sleep(EVERY_S)
    return dict(found)


def family(pid: int) -> Iterable[psutil.Process]:
    """A process and everything below it."""
    with suppress(psutil.Error):
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    return []


def report(samples: Mapping[str, list[float]]) -> Report:
    """A row for every container, held against its limit, and one for the promise."""
    limits = limits_mb()
    absent = sorted(limits.keys() - samples.keys())
    reserved = sum(limits[name] for name in absent)
    parts = [values for name, values in samples.items() if name != VENUE]
    whole = [sum(moment) + reserved for moment in zip(*parts, strict=False)]
    rows: list[Row] = [row("full profile, PSS", "MB", whole, Target(p99=round(PROMISED_MB)))]
    for name, values in sorted(samples.items(), key=lambda item: -max(item[1])):
        rows.append(row(name, "MB", values, Target(p99=round(limits[name])) if name in limits else None))
    note = (
        f"The sum counts {', '.join(absent)}, which did not run here, with their limits: {reserved:,.0f} MB."
        if absent
        else ""
    )
    return Report("memory-full", tuple(rows), (note,) if note else ())
