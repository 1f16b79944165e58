"""The soak's own logic: whom it kills and spares, what it counts as left behind, when it is clean."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from ops.chaos.census import Census, Person, take
from ops.chaos.soak import COUNT_EVERY_S, HALVES, Soak, feed_of, kills, victim
from ops.cli.verbs import app
from protos import trading_pb2 as pb
from supervisors.server_life import SERVERS
from supervisors.tree import GROUPS
from titan.errors import ConfigError


def soak(seconds: float = 3600.0) -> Soak:
    return Soak(cast("Any", SimpleNamespace(memory=SimpleNamespace(rows=[]))), seconds)


def census(
    at_s: float, *people: Person, zombies: tuple[str, ...] = (), workers: dict[int, str] | None = None
) -> Census:
    return Census(at_s, people, zombies, workers or {}, 3.0)


def test_everybody_who_is_one_process_is_killed_and_spared_in_one_half() -> None:
    killed = [victim(fault) for fault in kills(standby=True)]
    actors = {actor.name for group in GROUPS for actor in group.actors}
    assert sorted(killed) == sorted({*actors, "router_standby", "root", *SERVERS})
    assert sorted({name for half in HALVES for name in half}) == sorted(killed)
    assert "router_standby" not in {victim(fault) for fault in kills(standby=False)}


def test_half_of_the_time_spares_half_of_the_victims() -> None:
    soaked = soak(300.0)
    for index, half in enumerate(HALVES):
        soaked.began_s = time.monotonic() - 150 * index - 75
        assert {victim(fault) for fault in kills(standby=True) if soaked.spared(fault)} == half


def test_only_what_stays_is_left_behind() -> None:
    soaked = soak()
    for at, zombies, workers in (
        (0, ("a (1)",), {7: "brain"}),
        (1, ("b (2)",), {7: "router"}),
        (2, ("b (2)",), {8: "router"}),
        (3, (), {8: "router", 9: "RootSupervisor"}),
    ):
        soaked.enter(census(at, zombies=zombies, workers=workers), {1: "brain"})
    assert list(soaked.zombies) == ["zombie b (2)"]
    assert list(soaked.orphans) == ["worker router (8)"]


def test_one_spare_is_no_orphan_and_an_actor_that_was_one_has_its_own_name() -> None:
    soaked = soak()
    for at in (1000, 1001):
        people = (Person("actor: Spare", 7, 0.0, 200, 30), Person("actor: Spare", 8, 0.0, 200, 30))
        soaked.enter(census(at, *people, workers={7: "Spare", 8: "Spare", 9: "Spare"}), {7: "brain"})
    assert list(soaked.memory) == ["actor: brain"]
    assert list(soaked.orphans) == ["worker Spare (8)"]


def test_while_no_root_answers_nobody_is_an_orphan() -> None:
    soaked = soak()
    for at in range(3):
        soaked.enter(census(at, workers={7: "brain"}), {})
    assert soaked.orphans == {}


def test_a_young_process_is_not_counted_yet() -> None:
    soaked = soak()
    soaked.enter(census(1000.0, Person("nats", 5, 990.0, 20.0, 9), Person("redis", 6, 10.0, 4.0, 9)), {})
    assert list(soaked.memory) == ["redis"]


def test_a_process_that_grows_makes_the_soak_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    soaked = soak()
    soaked.truth = pb.Truth(complete=True)
    begin = time.monotonic()
    steps = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: begin + COUNT_EVERY_S * next(steps))
    soaked.began_s = begin
    for n in range(90):
        leaking = Person("actor: brain", 5, 0.0, 200 + 0.1 * n, 30)
        steady = Person("actor: router", 6, 0.0, 200, 30)
        soaked.enter(census(1e6 + 10.0 * n, leaking, steady), {})
    assert [(row.role, row.verdict) for row in soaked.growth() if row.unit == "MB"] == [
        ("actor: brain", "grows"),
        ("actor: router", "flat"),
    ]
    assert not soaked.clean
    shown = cast("dict[str, Any]", soaked.as_json())
    assert shown["growing"] == ["actor: brain, MB"]
    assert shown["truth"] == {"orders_compared": 0, "fills_compared": 0, "differences": 0, "complete": True}


def test_books_that_differ_make_the_soak_fail() -> None:
    def clean(truth: pb.Truth | None) -> bool:
        soaked = soak()
        soaked.truth = truth
        return soaked.clean

    assert clean(pb.Truth(complete=True))
    assert not clean(None)
    assert not clean(pb.Truth())
    assert not clean(pb.Truth(complete=True, differences=1))


def test_a_census_counts_a_process_and_its_herd(tmp_path: Path) -> None:
    import os

    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "j.db").write_bytes(b"x" * 2_000_000)
    found = take(tmp_path, os.getpid())
    me = next(person for person in found.people if person.pid == os.getpid())
    assert me.held_mb > 10
    assert me.descriptors > 2
    assert found.journal_mb == pytest.approx(2.0)


def test_the_largest_recording_is_replayed(tmp_path: Path) -> None:
    assert feed_of(None) == feed_of(tmp_path) == "synthetic:42"
    for name, size in (("trades_a.parquet", 1), ("trades_b.parquet", 9), ("book_c.parquet", 99)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert feed_of(tmp_path) == f"replay:{tmp_path / 'trades_b.parquet'}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--recordings", "/nowhere"], "--recordings /nowhere: there is no such folder"),
        (["--report", "/nowhere/a.json"], "the folder /nowhere does not exist"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_starts(arguments: list[str], says: str) -> None:
    refused = CliRunner().invoke(app, ["soak", *arguments])
    assert isinstance(refused.exception, ConfigError)
    assert says in str(refused.exception)
