"""The root's work without Ray: adoption, silence, memory, news."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from protos import system_pb2 as pb
from protos import trading_pb2
from supervisors.appetite import MB, Limits
from supervisors.child import ChildHistory, SupervisorHistory
from supervisors.events import Effect, Escalate, RecordRestart, RestartKind
from supervisors.host_order import HostReport
from supervisors.report import Reporter
from supervisors.spec import Escalation
from supervisors.store import Memory, RootLock, Store
from supervisors.supervision import AdoptedLife, Supervision
from supervisors.tree import ActorSpec, Group, actors_of, tree_of
from tests.supervisors.test_runner import Invented, InventedLife
from titan import subjects
from titan.effects import RaiseAlert
from titan.errors import Fatal
from titan.halt import read_halt
from titan.logs import get_logger
from titan.testing import runtime_for_tests

GROUPS = (
    Group("money", Escalation.HALT, 1, 60, (ActorSpec("a", "x:A", silence_ms=200), ActorSpec("b", "x:B"))),
    Group("phases", Escalation.QUARANTINE, 1, 60, (ActorSpec("c", "x:C"),)),
)


class FoundLife(InventedLife):
    """A life that a root finds."""

    def __init__(self, child: str, incarnation: int, world: Invented, *, ready: bool) -> None:
        super().__init__(child, 50, world)
        self.report = HostReport(child, 50, incarnation, ready, "home", "node")


class World(Invented):
    """Invented lives, some of them there before the root."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, FoundLife] = {}
        self.told: list[Effect] = []
        self.remembered: list[bytes] = []

    async def adopt(self, child: str) -> AdoptedLife | None:
        return self.found.get(child)

    async def bury(self, child: str, pid: int) -> None:
        self.log.append(f"bury {child} {pid}")

    def effects(self, effects: list[Effect]) -> None:
        self.told += effects

    def memory(self, raw: bytes) -> None:
        Memory.decode(raw)
        self.remembered.append(raw)


def supervision(
    world: World, run_dir: Path, session: str = "s1", bucket: Callable[[], Awaitable[bytes | None]] | None = None
) -> Supervision:
    log = get_logger("root")
    return Supervision(tree_of(GROUPS), actors_of(GROUPS), world, Store(run_dir), world, log, session, Limits(), bucket)


def beat(name: str, incarnation: int, progress: int, mb: int = 0, *, busy: bool = False) -> pb.Heartbeat:
    return pb.Heartbeat(service=name, incarnation=incarnation, progress=progress, resident_bytes=mb * MB, busy=busy)


async def test_up_returns_when_all_are_ready_and_down_when_none_lives(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    outcome = await core.up(20)
    assert (outcome.ready, outcome.problems) == (True, {})
    assert [status.state for status in core.status()] == [pb.ACTOR_STATE_READY] * 3
    assert await core.down(20)
    assert [status.state for status in core.status()] == [pb.ACTOR_STATE_STOPPED] * 3
    assert not Store(tmp_path).load().up


async def test_a_misconfigured_actor_ends_the_wait_at_once_with_its_reason(tmp_path: Path) -> None:
    world = World()

    async def refuse(child: str) -> None:
        if child == "b":
            raise RuntimeError("ConfigError: no such policy")

    world.on_ready = refuse
    core = supervision(world, tmp_path)
    outcome = await core.up(20)
    assert not outcome.ready
    assert outcome.problems["b"] == "ConfigError: no such policy"
    await core.down(20)


async def test_a_silent_actor_is_killed_and_started_again(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    await core.up(20)
    for progress in range(3):
        core.beat(beat("a", 1, progress))
    async with asyncio.timeout(20):
        while "launch a 2" not in world.log:
            await asyncio.sleep(0.01)
    assert "kill a" in world.log
    assert core.status()[0].last_exit.startswith("silent for ")
    await core.down(20)


async def test_living_actors_are_adopted_and_missing_ones_started_and_counted(tmp_path: Path) -> None:
    first = supervision(World(), tmp_path)
    await first.up(20)
    first.close()
    world = World()
    world.found = {name: FoundLife(name, 1, world, ready=True) for name in ("a", "c")}
    core = supervision(world, tmp_path)
    assert core.resumes
    outcome = await core.up(20)
    assert outcome.ready
    assert world.log == ["bury b 101", "launch b 2"]
    assert [(status.name, status.restarts) for status in core.status()] == [("a", 0), ("b", 1), ("c", 0)]
    assert [record.reason for record in core.restarts] == ["died while its supervisor was away"]
    core.beat(beat("a", 1, 1))
    await core.down(20)


async def test_another_ray_session_begins_with_nobody_alive_and_nobody_missed(tmp_path: Path) -> None:
    first = supervision(World(), tmp_path, "s1")
    await first.up(20)
    first.close()
    core = supervision(World(), tmp_path, "s2")
    assert not core.resumes
    await core.up(20)
    assert [status.restarts for status in core.status()] == [0, 0, 0]
    assert [status.incarnation for status in core.status()] == [2, 2, 2]
    await core.down(20)


def test_a_new_run_counts_its_restarts_from_zero_and_keeps_who_was_put_aside() -> None:
    past = SupervisorHistory(
        {"a": ChildHistory(9, 8, 2, 3, last_exit="boom", down_since_ms=7), "b": ChildHistory(4, 5, quarantined=True)},
        (("a", 100),),
        escalated=True,
    )
    fresh = past.of_a_new_run()
    assert fresh == SupervisorHistory({"a": ChildHistory(9), "b": ChildHistory(4, quarantined=True)})


async def test_another_session_does_not_inherit_the_counts(tmp_path: Path) -> None:
    past = Memory("s1", True, {"money": SupervisorHistory({"a": ChildHistory(9, 8, last_exit="boom")})})
    Store(tmp_path).write(past.encode())
    core = supervision(World(), tmp_path, "s2")
    await core.up(20)
    first = core.status()[0]
    assert (first.name, first.incarnation, first.restarts) == ("a", 10, 0)
    await core.down(20)


async def test_a_full_disk_does_not_end_supervision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    core = supervision(world, tmp_path)

    def full(_: Store, __: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "write", full)
        assert (await core.up(20)).ready
    assert not Store(tmp_path).load().up
    assert Memory.decode(world.remembered[-1]).up, "the bucket still gets it"
    assert await core.down(20)
    assert Store(tmp_path).load().session == "s1"


async def test_down_kills_what_needs_longer_than_it_has(tmp_path: Path) -> None:
    world = World()

    async def ignore(_: InventedLife) -> None:
        return None

    core = supervision(world, tmp_path)
    await core.up(20)
    world.on_stop = ignore
    assert not await core.down(0.05)
    assert {"kill a", "kill b", "kill c"} <= set(world.log)
    assert [status.pid for status in core.status()] == [0, 0, 0]


async def test_a_restart_is_refused_for_strangers_and_while_down(tmp_path: Path) -> None:
    core = supervision(World(), tmp_path)
    with pytest.raises(ValueError, match="there is no actor 'zz'; there are: a, b, c"):
        core.restart("zz", "test")
    assert core.restart("a", "test") == "the tree is down: start it with `titan up`"
    await core.up(20)
    assert core.restart("a", "test") == ""
    async with asyncio.timeout(20):
        while core.status()[0].graceful_restarts != 1 or core.status()[0].state != pb.ACTOR_STATE_READY:
            await asyncio.sleep(0.005)
    await core.down(20)


async def test_a_defect_in_the_news_breaks_supervision_instead_of_hiding(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    await core.up(20)
    world.effects = None  # type: ignore[assignment,method-assign]
    world.lives["a"].end(normal=False, reason="boom")
    with pytest.raises(TypeError):
        async with asyncio.timeout(20):
            await core.failed()
    core.close()


def test_a_memory_survives_its_encoding() -> None:
    child = ChildHistory(3, 2, 1, 1, held=True, last_exit="boom", down_kind=RestartKind.GRACEFUL)
    memory = Memory("s", up=True, tree={"money": SupervisorHistory({"a": child}, (("a", 5),), escalated=True)})
    assert Memory.decode(memory.encode()) == memory


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"tree": 3, "session": "", "up": true}'])
def test_a_memory_that_makes_no_sense_costs_the_counters_only(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(ValueError):
        Memory.decode(raw)
    (tmp_path / "supervision.json").write_bytes(raw)
    assert Store(tmp_path).load() == Memory()


def test_a_memory_is_written_only_when_it_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.number(Memory("s"))
    assert first is not None
    store.write(first.encode())
    assert store.number(Memory("s")) is None
    second = store.number(Memory("s", up=True))
    assert second is not None
    assert second.seq == first.seq + 1


def test_numbers_go_on_where_the_last_supervisor_ended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(Memory("s", seq=41).encode())
    again = Store(tmp_path)
    again.load()
    following = again.number(Memory("t"))
    assert following is not None
    assert following.seq == 42


def test_of_two_roots_the_younger_withdraws(tmp_path: Path) -> None:
    elder = RootLock(tmp_path)
    with pytest.raises(Fatal, match=r"another root supervisor of .* lives: this one, the younger, withdraws"):
        RootLock(tmp_path, patience_s=0.05)
    elder.release()
    RootLock(tmp_path, patience_s=0.05).release()


def reporter(tmp_path: Path) -> Reporter:
    runtime = runtime_for_tests(tmp_path, nats_url="nats://127.0.0.1:1")
    return Reporter(runtime, get_logger("root"), list, _refuse, lambda _beat: None)


async def _refuse(_name: str, _reason: str) -> pb.RestartActorReply:
    return pb.RestartActorReply(accepted=False)


def test_an_escalation_of_money_asks_for_halt(tmp_path: Path) -> None:
    mouth = reporter(tmp_path)
    mouth.effects(
        [Escalate("money", "router", Escalation.HALT, "too many"), Escalate("p", "x", Escalation.QUARANTINE, "")]
    )
    [(subject, message)] = mouth.waiting()
    assert subject == subjects.operator("halt")
    assert isinstance(message, trading_pb2.OperatorCommand)
    assert (message.action, message.reason) == ("halt", "supervisor: router: too many")
    assert read_halt(tmp_path) == "supervisor: router: too many"


def test_restarts_and_alerts_wait_for_the_bus_in_order(tmp_path: Path) -> None:
    mouth = reporter(tmp_path)
    mouth.effects(
        [RaiseAlert("CODE", "WARNING", "text"), RecordRestart("money", "a", RestartKind.CRASH, "boom", 700, 2)]
    )
    [(first, alert), (second, restarted)] = mouth.waiting()
    assert (first, second) == (subjects.ALERT, subjects.ACTOR_RESTARTED)
    assert isinstance(alert, pb.Alert)
    assert isinstance(restarted, pb.ActorRestarted)
    assert (restarted.recovery_s, restarted.intensity_left, restarted.graceful) == (0.7, 2, False)
    assert b'titan_actor_restarts_total{actor="a",reason="crash"} 1.0' in mouth.metrics.exposition()


async def test_without_a_bus_supervision_goes_on(tmp_path: Path) -> None:
    mouth = reporter(tmp_path)
    task = asyncio.create_task(mouth.run())
    world = World()
    core = supervision(world, tmp_path)
    outcome = await core.up(20)
    assert outcome.ready
    await core.down(20)
    task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_child_that_eats_too_much_is_recycled_once_nothing_is_under_way(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    await core.up(20)
    for progress in range(1, 10):
        core.beat(beat("a", 1, progress, 600, busy=True))
        await asyncio.sleep(0.05)
    assert "ask a" not in world.log, "an order is in flight"
    core.beat(beat("a", 1, 10, 600))
    await until(lambda: core.status()[0].recycles == 1 and core.status()[0].state == pb.ACTOR_STATE_READY)
    assert world.log[-3:] == ["ask a", "gone a", "launch a 2"]
    assert (core.status()[0].restarts, core.status()[0].graceful_restarts) == (0, 0)
    record = core.restarts[-1]
    assert (record.child, record.kind) == ("a", RestartKind.MEMORY)
    assert record.reason == "memory: 600 MB resident, recycled from 500 MB on"
    assert [alert.code for alert in world.told if isinstance(alert, RaiseAlert)] == ["ACTOR_MEMORY_HIGH"]
    await core.down(20)


async def test_the_silence_of_a_child_that_says_why_is_recorded_with_its_word(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    await core.up(20)
    core.beat(pb.Heartbeat(service="a", incarnation=1, progress=1, stalled="x has not moved for 0.3 s"))
    await until(lambda: "launch a 2" in world.log)
    assert core.status()[0].last_exit.endswith(": x has not moved for 0.3 s")
    await core.down(20)


async def test_a_restart_is_answered_when_the_child_is_ready_again(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    await core.up(20)
    reply = await core.restart_and_wait("a", "test", 20)
    assert (reply.accepted, reply.code) == (True, "DONE")
    assert reply.pid == world.lives["a"].pid == 102
    assert reply.detail.startswith("a was drained, stopped and started: Ready again after ")
    assert core.status()[0].graceful_restarts == 1
    await core.down(20)


async def test_a_restart_that_fails_says_why(tmp_path: Path) -> None:
    world = World()
    core = supervision(world, tmp_path)
    unknown = await core.restart_and_wait("zz", "test", 20)
    down = await core.restart_and_wait("a", "test", 20)
    assert (unknown.code, down.code) == ("NOT_FOUND", "NOT_RUNNING")
    await core.up(20)

    async def refuse(child: str) -> None:
        raise RuntimeError(f"{child} has lost its policy")

    world.on_ready = refuse
    reply = await core.restart_and_wait("c", "test", 20)
    assert (reply.accepted, reply.code) == (False, "NOT_READY")
    assert "c is quarantined" in reply.detail
    assert reply.detail.endswith("c has lost its policy")
    late = await core.restart_and_wait("a", "test", 0.05)
    assert late.code == "NOT_READY"
    await core.down(20)


async def test_a_newer_memory_in_the_bucket_is_taken_up(tmp_path: Path) -> None:
    first = supervision(World(), tmp_path)
    await first.up(20)
    first.close()
    file = Store(tmp_path).load()
    counted = {"money": SupervisorHistory({"a": ChildHistory(7, restarts=3)}, (("a", 1),))}
    newer = Memory("s1", up=True, tree=counted, seq=file.seq + 1).encode()
    older = Memory("s1", up=False, tree={}, seq=file.seq - 1).encode()

    def bucket(raw: bytes | None) -> Callable[[], Awaitable[bytes | None]]:
        async def fetch() -> bytes | None:
            return raw

        return fetch

    world = World()
    world.found = {"a": FoundLife("a", 7, world, ready=True)}
    core = supervision(world, tmp_path, bucket=bucket(newer))
    assert await core.recall()
    await core.up(20)
    assert (core.status()[0].restarts, core.status()[0].incarnation) == (3, 7)
    core.close()
    for raw in (older, b"nonsense", None):
        again = supervision(World(), tmp_path, bucket=bucket(raw))
        assert await again.recall(), "the file's own word stands"
        again.close()


async def test_without_its_file_a_root_finds_its_memory_in_the_bucket(tmp_path: Path) -> None:
    world = World()
    first = supervision(world, tmp_path)
    await first.up(20)
    first.close()
    (tmp_path / "supervision.json").unlink()

    async def fetch() -> bytes | None:
        return world.remembered[-1]

    second = World()
    second.found = {name: FoundLife(name, 1, second, ready=True) for name in ("a", "b", "c")}
    core = supervision(second, tmp_path, bucket=fetch)
    assert await core.recall()
    assert (await core.up(20)).ready
    assert second.log == [], "nobody was started"
    core.close()
