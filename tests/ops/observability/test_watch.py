"""A real Prometheus with the deployment's rules over listeners that tell of trouble: the right alerts fire and reach a person."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.build.tools import find
from ops.drill.stage import Broken
from ops.drill.watch import NEEDED, Watch, loudest, watching
from ops.observability.render import PORT_NAMES
from tests.doors import Door, serving
from tests.waiting import eventually
from titan.metrics import METRICS, Metrics
from titan.runtime import Runtime
from titan.testing import free_ports, runtime_for_tests

ABSENT = [name for name in NEEDED if find(name) is None]
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"{' and '.join(ABSENT)} not here: ops/build/tools.py")
STANDBY = "titan-router-standby"


class Listener(ThreadingHTTPServer):
    """Shows the metrics of a pretended Titan; every scrape finds its counters and latencies further on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.metrics = Metrics()
        self.troubled = False

    def page(self) -> bytes:
        """What a scrape gets."""
        metrics, bad = self.metrics, self.troubled
        metrics.gauge("titan_brain_circuit_breaker_active").set(bad)
        metrics.gauge("titan_health_status").labels("database").set(not bad)
        metrics.gauge("titan_disk_free_percent").set(5 if bad else 50)
        metrics.gauge("titan_stream_age_seconds").labels("bybit", "BTC/USDT:USDT", "ticker").set(60 if bad else 1)
        metrics.gauge("titan_order_fill_rate").set(0.6 if bad else 0.95)
        metrics.gauge("titan_drawdown_percent").set(9 if bad else 1)
        metrics.zero("titan_dlq_total", ("BAD_SIGNATURE",))
        metrics.histogram("titan_order_latency_seconds").observe(2 if bad else 0.01)
        signals = metrics.histogram("titan_brain_signal_processing_latency_ms").labels("manual", "true")
        signals.observe(900 if bad else 2)
        if bad:
            metrics.counter("titan_dlq_total").labels("BAD_SIGNATURE").inc()
        return metrics.exposition()


class _Answer(Door):
    server: Listener

    def respond(self) -> None:
        self.answer(self.server.page(), Content_Type="text/plain; version=0.0.4")


@pytest.fixture
def listener() -> Iterator[Listener]:
    with serving(Listener()) as server:
        yield server


def run_of(home: Path, listener: Listener, dead: str = "") -> Runtime:
    """A run all of whose listeners are the one that is there; nobody listens for the job `dead`."""
    (nobody,) = free_ports(1)
    ports = {name: nobody if job == dead else int(listener.server_address[1]) for job, name in PORT_NAMES.items()}
    return runtime_for_tests(home, nats_url="", ports=ports)


def fire(watch: Watch, *alerts: str) -> None:
    try:
        eventually(lambda: watch.firing() >= set(alerts), f"{', '.join(alerts)} fire", 40)
    except AssertionError as error:
        raise AssertionError(f"{error}; lacking {set(alerts) - watch.firing()}") from error


@pytest.mark.timeout(150)
def test_trouble_fires_its_alerts_which_reach_the_receiver_of_their_level(tmp_path: Path, listener: Listener) -> None:
    with watching(run_of(tmp_path, listener, "titan-brain"), standby=False, patient=False, interval="1s") as watch:
        assert STANDBY not in watch.targets
        fire(watch, "SystemDown", "ServiceDown", "Watchdog")
        assert not watch.firing() & {"CircuitBreakerTriggered", "DatabaseFailure", "LowDiskSpace", "CriticalDrawdown"}
        listener.troubled = True
        fire(
            watch, "CircuitBreakerTriggered", "DatabaseFailure", "LowDiskSpace", "CriticalDiskSpace", "MarketDataStale",
            "LowOrderFillRate", "CriticalOrderFillRate", "HighDrawdown", "CriticalDrawdown", "HighOrderLatency",
            "CriticalOrderLatency", "HighSignalLatency", "UnsignedCommandSeen", "DeadLetters",
        )  # fmt: skip
        assert watch.ill() == set()
        told = loudest(frozenset(watch.firing()))
        assert {"CriticalDrawdown", "UnsignedCommandSeen", "Watchdog"} <= told
        assert not told & {"HighDrawdown", "DeadLetters"}, "a louder alert of the same subject speaks for them"
        try:
            eventually(lambda: all(watch.told(name) for name in told), "every alert is at its receivers", 40)
        except AssertionError as error:
            raise AssertionError(f"{error}; told {watch.delivered}") from error
        assert watch.misrouted() == {}
        shown = {line.split()[2] for line in listener.page().decode().splitlines() if line.startswith("# TYPE ")}
        assert watch.lacking() == {spec.name for spec in METRICS} - shown


def test_an_alert_at_a_receiver_it_does_not_concern_is_found() -> None:
    watch = Watch(9, {})
    watch.delivered = {"LowDiskSpace": {"channel"}, "KillSwitchActive": {"pager"}}
    assert watch.misrouted() == {}
    assert not watch.told("KillSwitchActive"), "the channel has not heard of it"
    watch.delivered["LowDiskSpace"].add("pager")
    assert watch.misrouted() == {"LowDiskSpace": ["pager"]}


def test_without_prometheus_it_says_what_to_do(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.drill.watch.find", lambda _: None)
    runtime = run_of(tmp_path, listener)
    with pytest.raises(Broken, match=r"run ops/build/tools\.py"), watching(runtime, standby=False, patient=True):
        pass
