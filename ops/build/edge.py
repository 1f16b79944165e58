"""A real Traefik on loopback with the edge's own configuration: for the linter and for tests.

Guarantees: only the addresses of the entry points, of the backend and of the certificate store differ from production; it ends
with the block. Never: a certificate authority is asked for anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.build.tools import find
from titan.testing import free_ports

DOMAIN = "titan.test"
READY_WITHIN_S = 30.0
# What Traefik adds by itself.
OWN = "@internal"


@dataclass(frozen=True, slots=True)
class Edge:
    """A running one: the ports of its entry points, its own address, and what it was told to open."""

    ports: dict[str, int]
    api: str
    wanted: frozenset[str]

    def asked(self, what: str) -> list[dict[str, Any]]:
        """Its own account of routers, middlewares, services or entry points."""
        with urllib.request.urlopen(f"{self.api}/api/{what}", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found

    def problems(self) -> list[str]:
        """Every router, middleware and service that is not enabled, every entry point that is lacking."""
        routers = [each for each in self.asked("http/routers") if not each["name"].endswith(OWN)]
        problems = [] if routers else ["no router was read from the files"]
        for kind, found in (
            ("router", routers),
            ("middleware", self.asked("http/middlewares")),
            ("service", self.asked("http/services")),
        ):
            problems += [
                f"{kind} {each['name']} is {each.get('status')}: {'; '.join(each.get('error', []))}"
                for each in found
                if each.get("status") != "enabled"
            ]
        there = {each["name"] for each in self.asked("entrypoints")}
        problems += [f"entry point {name} is lacking" for name in sorted(self.wanted - there)]
        return problems


def loopback(static: dict[str, Any], ports: dict[str, int], folder: Path) -> dict[str, Any]:
    """The static configuration with its addresses moved to loopback and its own interface open there."""
    points = {
        name: {**(point or {}), "address": f"127.0.0.1:{ports[name]}"} for name, point in static["entryPoints"].items()
    }
    # A redirection names the public port of its target; here it must be the one that listens.
    resolvers = {
        name: {
            "acme": {
                **resolver["acme"],
                "storage": str(folder / "acme.json"),
                "email": "",
                "caServer": "http://127.0.0.1:9",
            }
        }
        for name, resolver in static.get("certificatesResolvers", {}).items()
    }
    return {
        **static,
        "entryPoints": {**points, "traefik": {"address": f"127.0.0.1:{ports['traefik']}"}},
        "api": {"insecure": True, "dashboard": False},
        "certificatesResolvers": resolvers,
        "providers": {"file": {"directory": str(folder / "dynamic"), "watch": False}},
    }


@contextmanager
def started(root: Path, backend: str) -> Iterator[Edge]:
    """Runs Traefik with the edge's files below `root`. Raises AssertionError with its words when it does not come up."""
    binary = find("traefik")
    assert binary is not None, "Traefik is not here; fetch it with ops/build/tools.py"
    source = root / "ops" / "traefik"
    static = yaml.safe_load((source / "traefik.yml").read_text())
    names = [*static["entryPoints"], "traefik"]
    with tempfile.TemporaryDirectory(prefix="titan-edge-") as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        (folder / "dynamic").mkdir()
        for path in (source / "dynamic").glob("*.yml"):
            (folder / "dynamic" / path.name).write_text(path.read_text().replace("http://titan-core:5173", backend))
        conf = folder / "traefik.yml"
        conf.write_text(yaml.safe_dump(loopback(static, ports, folder)))
        log = stack.enter_context((folder / "traefik.log").open("w+"))
        env = {"PATH": os.environ["PATH"], "DOMAIN_NAME": DOMAIN}
        process = subprocess.Popen([binary, f"--configFile={conf}"], stdout=log, stderr=log, env=env, cwd=folder)
        stack.callback(process.wait, 10)
        # It would wait ten seconds for its clients.
        stack.callback(process.kill)
        running = Edge(ports, f"http://127.0.0.1:{ports['traefik']}", frozenset(static["entryPoints"]))
        deadline = time.monotonic() + READY_WITHIN_S
        while not _reads(running):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Traefik did not come up: {(folder / 'traefik.log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield running


def _reads(running: Edge) -> bool:
    try:
        return any(not each["name"].endswith(OWN) for each in running.asked("http/routers"))
    except (urllib.error.URLError, OSError, ValueError):
        return False
