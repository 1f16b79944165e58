"""A real Prometheus on loopback over a running Titan, a real Alertmanager behind it, and a door where its messages arrive.

Guarantees: rules and routes are the deployment's; only addresses differ, every receiver is a web hook of the same name, and,
where asked, nothing waits before it fires; all end with the block. Never: a port but loopback's.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ops.build.observability import FOLDER
from ops.build.tools import find
from ops.drill.stage import PASSING, Broken
from ops.observability.model import Alert, Sev, Severity
from ops.observability.render import PORT_NAMES, SUFFIXES, alertmanager, prometheus
from ops.observability.rules import ALERTS, RECORDINGS
from titan.metrics import METRICS
from titan.runtime import Runtime
from titan.testing import free_ports

READY_WITHIN_S = 30.0
END_WITHIN_S = 20.0
STANDBY = "titan-router-standby"
NEEDED = ("prometheus", "prometheus-alertmanager")
BY_NAME: dict[str, Alert] = {alert.name: alert for alert in ALERTS}


def receivers_of(alert: Alert) -> frozenset[str]:
    """Who must hear of an alert, by its level: a person is woken for what costs money or what stops trading."""
    if alert.name == "Watchdog":
        return frozenset({"watchdog"})
    if alert.sev is Sev.SEV1 or (alert.sev is Sev.SEV2 and alert.severity is Severity.CRITICAL):
        return frozenset({"pager", "channel"})
    return frozenset({"digest" if alert.severity is Severity.INFO else "channel"})


def loudest(names: frozenset[str]) -> frozenset[str]:
    """Those of some alerts that are told: a louder one of the same subject speaks for the quieter."""
    ranks = list(Severity)
    top: dict[str, int] = {}
    for name in names:
        alert = BY_NAME[name]
        top[alert.runbook] = min(ranks.index(alert.severity), top.get(alert.runbook, len(ranks)))
    return frozenset(name for name in names if ranks.index(BY_NAME[name].severity) == top[BY_NAME[name].runbook])


class Watch:
    """The running servers, and what was delivered."""

    def __init__(self, port: int, targets: Mapping[str, str]) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.targets = dict(targets)
        self.delivered: dict[str, set[str]] = {}
        """The receivers that Alertmanager told of each alert, by its name."""

    def ask(self, path: str) -> Any:
        """The `data` of an answer. Raises OSError while there is none."""
        with urllib.request.urlopen(f"{self._url}{path}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def value(self, expr: str) -> list[Any]:
        """A query's samples now."""
        return list(self.ask(f"/api/v1/query?query={urllib.parse.quote(expr)}")["result"])

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

    def told(self, name: str) -> bool:
        """Whether everybody who must hear of an alert has heard of it."""
        return self.delivered.get(name, set()) >= receivers_of(BY_NAME[name])

    def misrouted(self) -> dict[str, list[str]]:
        """Alerts that went to somebody whom they do not concern, with those receivers."""
        wrong = {name: told - receivers_of(BY_NAME[name]) for name, told in list(self.delivered.items())}
        return {name: sorted(receivers) for name, receivers in wrong.items() if receivers}


class _Receiver(BaseHTTPRequestHandler):
    """Takes what Alertmanager tells a web hook."""

    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        for alert in body["alerts"]:
            if alert["status"] == "firing":
                self.server.watch.delivered.setdefault(alert["labels"]["alertname"], set()).add(body["receiver"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    watch: Watch


@contextmanager
def watching(runtime: Runtime, *, standby: bool, patient: bool, interval: str = "5s") -> Iterator[Watch]:
    """Both servers over a run; `patient` keeps the time that each alert waits before it fires. Raises Broken."""
    programs = {name: find(name) for name in NEEDED}
    absent = [name for name, program in programs.items() if program is None]
    if absent:
        raise Broken(f"{absent[0]} is not here: run ops/build/tools.py")
    ports = runtime.ports
    targets = {job: f"127.0.0.1:{ports[name]}" for job, name in PORT_NAMES.items() if standby or job != STANDBY}
    with tempfile.TemporaryDirectory(prefix="titan-watch-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        (folder / "rules").mkdir()
        for path in (FOLDER / "prometheus" / "rules").glob("*.yml"):
            text = path.read_text()
            (folder / "rules" / path.name).write_text(text if patient else re.sub(r"\n\s+for: \S+", "", text))
        port, manager_port = free_ports(2)
        made = Watch(port, targets)
        hook = stack.enter_context(_receiving(made))
        manager, address = f"127.0.0.1:{manager_port}", f"127.0.0.1:{port}"
        (folder / "alertmanager.yml").write_text(alertmanager(hook))
        (folder / "prometheus.yml").write_text(prometheus(targets, f"{folder}/rules/*.yml", manager, interval=interval))
        # It is no member of a cluster; what fires before it was found is told again soon.
        arguments = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/told", "--log.level=warn"]
        arguments += [f"--web.listen-address={manager}", "--cluster.listen-address="]
        stack.enter_context(_running(folder, NEEDED[1], programs[NEEDED[1]], arguments, manager))
        arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--log.level=warn"]
        arguments += [f"--web.listen-address={address}", "--rules.alert.resend-delay=5s"]
        stack.enter_context(_running(folder, NEEDED[0], programs[NEEDED[0]], arguments, address))
        yield made


@contextmanager
def _receiving(watch: Watch) -> Iterator[str]:
    """The door where alerts arrive, and its address."""
    server = _Server(("127.0.0.1", 0), _Receiver)
    server.watch = watch
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _running(folder: Path, name: str, program: Path | None, arguments: list[str], address: str) -> Iterator[None]:
    """A server as long as the block lasts. Raises Broken when it does not come up."""
    assert program is not None
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([program, *arguments], stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _ready(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"{name} did not come up: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(END_WITHIN_S)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def waited(condition: Callable[[], bool], within_s: float, meanwhile: Callable[[], None], pause_s: float = 0.2) -> bool:
    """Whether something came in time, with something done between looks; an answer that fails is no answer yet."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(*PASSING, OSError):
            if condition():
                return True
        if time.monotonic() > deadline:
            return False
        meanwhile()
        time.sleep(pause_s)
