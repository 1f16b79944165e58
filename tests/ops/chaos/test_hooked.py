"""The hooks exist only where they are armed, and each order is obeyed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.gateway.actor import Gateway
from ops.chaos import hooked
from ops.chaos.hooked import ARMED, BLOCK, FOLDER, GROUPS, RAISE, START, ChaosError, order
from supervisors.tree import GROUPS as PLAIN
from titan.actor import load_actor


def test_the_table_of_a_campaign_differs_in_its_classes_only() -> None:
    assert [[actor.name for actor in group.actors] for group in GROUPS] == [
        [actor.name for actor in group.actors] for group in PLAIN
    ]
    assert all(actor.path == f"ops.chaos.hooked:{actor.name}" for group in GROUPS for actor in group.actors)


def test_without_the_variable_the_plain_actor_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ARMED, raising=False)
    assert load_actor("ops.chaos.hooked:gateway") is Gateway


def test_with_it_a_subclass_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ARMED, "1")
    armed = load_actor("ops.chaos.hooked:gateway")
    assert armed is not Gateway
    assert issubclass(armed, Gateway)
    assert (armed.__name__, armed.name) == ("Gateway", "gateway")


def test_an_unknown_actor_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="ghost"):
        hooked.ghost  # noqa: B018 -- the look-up is what is tested


class _Runtime:
    def __init__(self, home: Path) -> None:
        self.home = home


def armed(monkeypatch: pytest.MonkeyPatch, home: Path) -> Any:
    (home / "run").mkdir()
    started: list[str] = []

    class Plain:
        name = "toy"

        def __init__(self) -> None:
            self.runtime = _Runtime(home)
            self.started = started

        def advance(self) -> None:
            return None

        def spawn(self, work: Any, _name: str) -> None:
            work.close()

        async def on_start(self) -> None:
            started.append("started")

    build: Any = hooked._hooked
    return build(Plain)()


async def test_starts_fail_as_often_as_ordered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    actor = armed(monkeypatch, tmp_path)
    order(tmp_path, "toy", START, 2)
    for _ in range(2):
        with pytest.raises(ChaosError):
            await actor.on_start()
    await actor.on_start()
    assert actor.started == ["started"]


async def test_an_exception_is_raised_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    actor = armed(monkeypatch, tmp_path)
    path = order(tmp_path, "toy", RAISE)
    with pytest.raises(ChaosError):
        await actor._obey()
    assert not path.exists()


async def test_a_loop_is_blocked_for_as_long_as_ordered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    actor = armed(monkeypatch, tmp_path)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        order(tmp_path, "toy", RAISE)

    monkeypatch.setattr("ops.chaos.hooked.time.sleep", sleep)
    assert order(tmp_path, "toy", BLOCK, 10).parent == tmp_path / "run" / FOLDER
    with pytest.raises(ChaosError):
        await actor._obey()
    assert slept == [10.0]
