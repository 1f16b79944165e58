"""What each container of the full profile holds is held against its limit in compose."""

from __future__ import annotations

import pytest

from ops.bench.containers import CORE, VENUE, limits_mb, megabytes, report, run, sampled
from ops.bench.result import Options


def test_sizes_are_read_as_compose_means_them() -> None:
    assert [megabytes(text) for text in ("1g", "512m", "1000k")] == [1073.741824, 536.870912, 1.024]
    with pytest.raises(ValueError, match="'much' is no size like 512m"):
        megabytes("much")


def test_every_container_of_the_production_file_has_a_limit() -> None:
    limits = limits_mb()
    assert {
        "titan-core",
        "titan-brain",
        "titan-execution",
        "titan-scavenger",
        "prometheus",
        "alertmanager",
    } <= limits.keys()
    assert all(limit > 50 for limit in limits.values())


def test_what_can_not_run_here_counts_with_its_limit_and_the_paper_venue_not_at_all() -> None:
    samples = {name: [10.0, 20.0] for name in limits_mb() if name not in ("loki", "vector")}
    made = report({**samples, VENUE: [500.0, 500.0]})
    whole = made.rows[0]
    reserved = limits_mb()["loki"] + limits_mb()["vector"]
    assert (whole.p50, whole.max) == pytest.approx((10 * len(samples) + reserved, 20 * len(samples) + reserved))
    assert whole.verdict == "met"
    assert "loki, vector" in made.notes[0]
    rows = {row.metric: row for row in made.rows}
    assert rows[VENUE].target is None
    assert report({**samples, CORE: [5_000.0]}).rows[1].verdict == "missed", "it would be killed"


def test_a_process_that_ended_holds_nothing() -> None:
    assert sampled(2**22 - 3, {"titan-brain": 2**22 - 5}, 0.0) == {"titan-brain": [0.0]}


def test_without_the_servers_it_says_so_and_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.bench.containers.find", lambda name: None if name == "traefik" else name)
    made = run(Options())
    assert made.rows == ()
    assert made.notes == ("traefik not here, nothing was measured: run ops/build/tools.py",)
