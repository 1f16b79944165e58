"""A real Prometheus on loopback over a running Titan, with the deployment's own rules, and a receiver where its alerts arrive.

Guarantees: the rules are the deployment's; only addresses differ, and, where asked, nothing waits before it fires; both end
with the block. Never: a port but loopback's.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ops.build.observability import FOLDER
from ops.build.tools import find
from ops.drill.stage import Broken
from ops.observability.render import PORT_NAMES, SUFFIXES, prometheus
from ops.observability.rules import ALERTS, RECORDINGS
from titan.metrics import METRICS
from titan.runtime import Runtime
from titan.testing import free_ports

READY_WITHIN_S = 30.0
END_WITHIN_S = 20.0
STANDBY = "titan-router-standby"
ROUTES = FOLDER / "alertmanager" / "alertmanager.yml"


class Watch:
    """The running server, and what it has sent away."""

    def __init__(self, port: int, targets: Mapping[str, str]) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.targets = dict(targets)
        self.delivered: dict[str, dict[str, str]] = {}
        """Labels of every alert that arrived at the receiver, by name."""

    def ask(self, path: str) -> Any:
        """The `data` of an answer. Raises OSError while there is none."""
        with urllib.request.urlopen(f"{self._url}{path}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def value(self, expr: str) -> list[Any]:
        """A query's samples now."""
        return list(self.ask(f"/api/v1/query?query={urllib.parse.quote(expr)}")["result"])

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def all_up(self) -> bool:
        """Whether every listener was scraped at the last turn."""
        return len(self.value("up == 1")) == len(self.targets)

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        return {row["metric"]["alertname"] for row in self.value('ALERTS{alertstate="firing"}')}

    def lacking(self) -> set[str]:
        """What the registry declares and no listener has shown."""
        known = set(self.ask("/api/v1/label/__name__/values"))
        return {
            spec.name
            for spec in METRICS
            if spec.name not in known and not any(f"{spec.name}{suffix}" in known for suffix in SUFFIXES)
        }

    def ill(self) -> set[str]:
        """Rules that are not there, or could not be evaluated."""
        rules = [rule for group in self.ask("/api/v1/rules")["groups"] for rule in group["rules"]]
        wanted = {alert.name for alert in ALERTS} | {recording.name for recording in RECORDINGS}
        return wanted - {rule["name"] for rule in rules if rule["health"] == "ok"}

    def misrouted(self) -> dict[str, str]:
        """Delivered alerts that Alertmanager's own routes would not bring to a pager though they must wake a person.

        Raises Broken without amtool, or when it refuses the routes.
        """
        tool = find("amtool")
        if tool is None:
            raise Broken("amtool is not here: run ops/build/tools.py")
        wrong = {}
        for name, labels in self.delivered.items():
            words = [
                f"{key}={value}" for key, value in labels.items() if key in ("alertname", "severity", "sev", "subject")
            ]
            command = [str(tool), "config", "routes", "test", f"--config.file={ROUTES}", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            if done.returncode != 0:
                raise Broken(f"amtool: {done.stderr.strip()}")
            urgent = labels["sev"] == "SEV-1" or (labels["sev"], labels["severity"]) == ("SEV-2", "critical")
            if urgent != ("pager" in done.stdout):
                wrong[name] = done.stdout.strip()
        return wrong


class _Receiver(BaseHTTPRequestHandler):
    """Takes alerts as Alertmanager does."""

    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        for alert in body:
            self.server.watch.delivered[alert["labels"]["alertname"]] = dict(alert["labels"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    watch: Watch


@contextmanager
def watching(runtime: Runtime, *, standby: bool, patient: bool, interval: str = "5s") -> Iterator[Watch]:
    """A Prometheus over a run; `patient` keeps the time that each alert waits before it fires. Raises Broken."""
    program = find("prometheus")
    if program is None:
        raise Broken("prometheus is not here: run ops/build/tools.py")
    ports = runtime.ports
    targets = {job: f"127.0.0.1:{ports[name]}" for job, name in PORT_NAMES.items() if standby or job != STANDBY}
    with tempfile.TemporaryDirectory(prefix="titan-watch-") as scratch:
        folder = Path(scratch)
        (folder / "rules").mkdir()
        for path in (FOLDER / "prometheus" / "rules").glob("*.yml"):
            text = path.read_text()
            (folder / "rules" / path.name).write_text(text if patient else re.sub(r"\n\s+for: \S+", "", text))
        (port,) = free_ports(1)
        made = Watch(port, targets)
        receiver = _Server(("127.0.0.1", 0), _Receiver)
        receiver.watch = made
        thread = threading.Thread(target=receiver.serve_forever, name="receiver")
        thread.start()
        address = f"127.0.0.1:{receiver.server_address[1]}"
        (folder / "prometheus.yml").write_text(prometheus(targets, f"{folder}/rules/*.yml", address, interval=interval))
        arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--log.level=warn"]
        # What fires before the receiver was found is told again soon.
        arguments.append("--rules.alert.resend-delay=5s")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, *arguments, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + READY_WITHIN_S
            while not made.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Broken(f"Prometheus did not come up: {(folder / 'log').read_text()[-500:]}")
                time.sleep(0.1)
            yield made
        finally:
            process.terminate()
            process.wait(END_WITHIN_S)
            receiver.shutdown()
            thread.join()
            receiver.server_close()
