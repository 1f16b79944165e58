"""What the benches answer, with a handful of samples: shape only, never speed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ops.bench import BENCHES, Options, Report, lane, memory, recovery, signal_path
from ops.bench.children import quiet_loop
from ops.bench.memory import label
from ops.bench.tree import whole_titan
from ops.cli.bench import summary
from supervisors.tree import actors_of

TINY = Options(seconds=0.05, repeat=1)


@pytest.fixture(scope="module")
def titan() -> Iterator[Path]:
    with whole_titan() as home:
        yield home


def check(report: Report, *metrics: str) -> None:
    shown = json.loads(json.dumps(summary(report.name, [report])))
    assert {"name", "machine", "results"} <= shown.keys()
    assert shown["machine"]
    for result in shown["results"]:
        assert result["unit"]
        assert 0 <= result["p50"] <= result["max"]
        assert result["n"] >= 1
    assert [each["metric"] for each in shown["results"]][: len(metrics)] == list(metrics)


def test_every_bench_says_what_it_measures() -> None:
    assert all(each.measures for each in BENCHES.values())


def test_order_path_reports_the_whole_and_each_part() -> None:
    report = BENCHES["order-path"].run(TINY)
    check(report, "order path, whole", "all but the journal")
    parts = {row.metric: row for row in report.rows}
    assert parts["order path, whole"].n == parts["journal: row written"].n


def test_order_path_beside_reports_both_engines_or_says_what_is_missing() -> None:
    report = BENCHES["order-path-beside"].run(TINY)
    if find_spec("nautilus_trader") is None:
        assert summary(report.name, [report])["results"] == []
        assert "requirements/reference.lock" in report.notes[0]
    else:
        check(report, "order path, whole", "all but the journal", "verify and decode")
        assert report.rows[-1].metric.startswith("nautilus_trader 1.")


def test_matching_trades_and_reports_orders_a_second_and_the_cost_of_each_kind() -> None:
    report = BENCHES["matching"].run(TINY)
    check(report, "orders and cancels, with the market between them", "the same by processor time", "a resting order")
    assert report.rows[0].n >= 1
    assert "fills, 0 of" in report.notes[0]
    assert not report.notes[0].startswith("0 fills")


def test_absorb_measures_real_processes_and_each_core() -> None:
    report = BENCHES["absorb"].run(TINY)
    check(report, "across processes over the bus", "in process: phase, bytes to decision")
    assert report.rows[0].max > 0


@pytest.mark.skipif(
    not os.environ.get("BENCHES"), reason="the lane's test starts the same processes; BENCHES=all runs this one as well"
)
@pytest.mark.slow
def test_signal_to_socket_takes_signals_the_whole_way_and_ccxt_apart() -> None:
    whole, ccxt, _ = quiet_loop(signal_path.measure(TINY.seconds, fast_lane=False))
    assert len(whole) == len(ccxt) >= 1
    assert min(whole) > 0
    assert min(ccxt) > 0


def test_signal_to_socket_reports_both_ways_and_the_share_of_ccxt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(seconds: float, *, fast_lane: bool) -> tuple[list[float], list[float], int]:
        return ([2.0], [0.2], 1) if fast_lane else ([3.0, 3.1], [0.1, 0.3], 0)

    monkeypatch.setattr(signal_path, "measure", measured)
    report = BENCHES["signal-to-socket"].run(TINY)
    check(
        report,
        "signal published to the venue's socket, over the bus",
        "the same over the fast lane",
        "of it ccxt: adapter called to the socket",
    )
    by_bus, by_lane, ccxt = report.rows
    assert (by_bus.n, by_lane.p50, ccxt.n) == (2, 2.0, 3)
    assert report.notes == ("1 signals became no order",)


@pytest.mark.slow
def test_lane_tells_when_an_order_is_handed_over_while_trades_flow() -> None:
    seen = quiet_loop(lane.measure(TINY.seconds, "off"))
    assert len(seen.handed) == len(seen.ccxt) >= 1
    assert min(seen.handed) > 0
    assert min(seen.ccxt) > 0
    assert seen.flow > 0


def test_lane_reports_each_placing_of_the_routers_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: list[tuple[str, set[int]]] = []

    async def measured(_seconds: float, router_cpu: str) -> lane.Seen:
        settings.append((router_cpu, os.sched_getaffinity(0)))
        return lane.Seen([0.3], [0.1], 2, 5000.0)

    monkeypatch.setattr(lane, "measure", measured)
    cores = os.sched_getaffinity(0)
    report = BENCHES["lane"].run(TINY)
    last = max(cores)
    check(report, "signal published to the venue session, the loop not pinned", "then ccxt: to the socket")
    expected = [("off", cores), ("auto", cores), (str(last), cores - {last})]
    assert settings == expected[: len(report.rows) // 2]
    assert os.sched_getaffinity(0) == cores
    assert report.notes[0] == "the loop not pinned: 5,000 trades/s flowed, 2 signals became no order"


@pytest.mark.slow
def test_cancel_under_flood_reports_flood_and_calm() -> None:
    report = BENCHES["cancel-under-flood"].run(TINY)
    check(report, "disarm published to cancel at the socket, flood", "the same without a flood")


@pytest.mark.e2e
@pytest.mark.slow
def test_memory_has_a_row_for_every_actor_and_server_of_the_whole_system(titan: Path) -> None:
    report = memory.measure(titan, TINY.seconds)
    check(report, "whole system, PSS")
    parts = {row.metric.partition(" (")[0]: row.p50 for row in report.rows[1:]}
    assert {"guardian", "nats", "postgres", "redis", "paper venue", "actor: Router", "ray: raylet"} <= parts.keys()
    assert sum(parts.values()) == pytest.approx(report.rows[0].p50, rel=0.01)


@pytest.mark.e2e
@pytest.mark.slow
def test_recovery_has_a_row_for_every_actor_of_the_tree(titan: Path) -> None:
    report = recovery.measure(titan, TINY.repeat)
    check(report)
    names = {row.metric.partition(":")[0] for row in report.rows}
    assert names == set(actors_of()) | {"root", "all"}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["ray::Router"], "actor: Router"),
        (["ray::DashboardAgent --port 1"], "ray: DashboardAgent"),
        (["/usr/bin/python3", "-m", "titan.paper", "--feed", "synthetic:1"], "paper venue"),
        (["/usr/bin/python3", "-m", "supervisors.guardian"], "guardian"),
        (["postgres: titan titan 127.0.0.1(50328) idle"], "postgres"),
        (["/pg/bin/postgres", "-D", "data"], "postgres"),
        (["/ray/raylet", "--redis_address=none"], "ray: raylet"),
        (["/tool/unheard-of"], "other: unheard-of"),
        ([], "other"),
    ],
)
def test_a_process_is_named_by_its_command_line(command: list[str], name: str) -> None:
    assert label(command) == name


def test_an_unknown_bench_is_not_found() -> None:
    from ops.cli.bench import bench
    from ops.cli.client import NotFound

    with pytest.raises(NotFound, match="there are order-path"):
        bench("warp-speed")
