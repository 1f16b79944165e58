"""How each fault of a plan is done to a world, and how all of them end.

Guarantees: after `mend` nothing goes wrong any more: what is to come is only what was on its way. Never: a draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.router.lease import LEASE_MS, LONGEST_SEND_MS
from simulation.bus import Wire, forged, tampered
from simulation.machine_faults import MACHINE
from simulation.plan import CALLS, Act, Fault, Moment
from simulation.venue import SYMBOLS
from titan import subjects

if TYPE_CHECKING:
    from simulation.world import World

LANES = ("submit", "submit", "cancel", "cancel", "find", "read")
SUBMITS = frozenset({Fault.LATE, Fault.DUPLICATE_ACK, Fault.REFUSED_LATER, Fault.VEILED})
FRAME_FAULTS = frozenset({Fault.FRAME_LOST, Fault.FRAME_TWICE, Fault.FRAME_LATE})
DELIVERY_FAULTS = frozenset({Fault.BUS_DROP, Fault.BUS_TWICE})


def apply(world: World, act: Act) -> None:
    """Does one fault."""
    kind = act.kind
    assert isinstance(kind, Fault)
    if kind in CALLS:
        lane = _lane(act)
        times = 5 if kind in (Fault.SLOW_DOWN, Fault.UNREACHABLE) else 3
        world.venue.armed[lane].extend([kind] * (1 + act.b % times))
    elif kind in FRAME_FAULTS:
        world.venue.frame_faults.extend((kind, act.a) for _ in range(1 + act.b % 4))
    elif kind in DELIVERY_FAULTS:
        world.bus.faults.extend((kind, act.a) for _ in range(1 + act.b % 5))
    elif kind in _VENUE:
        _VENUE[kind](world, act)
    elif kind in _BUS:
        _BUS[kind](world, act)
    else:
        MACHINE[kind](world, act)


def _lane(act: Act) -> str:
    """Which requests a fault of one request hits."""
    if act.kind in SUBMITS:
        return "submit"
    if act.moment is Moment.CANCELLING:
        return "cancel"
    if act.moment is Moment.JOURNALLED:
        return "submit"
    return ("submit", "cancel")[act.a % 2] if act.kind is Fault.REFUSED else LANES[act.a % len(LANES)]


def mend(world: World) -> None:
    """Every fault ends."""
    venue, bus = world.venue, world.bus
    for lane in venue.armed.values():
        lane.clear()
    venue.frame_faults.clear()
    venue.mischief.excesses.clear()
    venue.away_until_ms = -1
    venue.lag_ms = 0
    bus.faults.clear()
    bus.slow.clear()
    bus.lost_ack = 0
    world.journal.full = False
    world.start_crashes = 0
    world.promotion_fuse = -1
    world.follow_lag_until_ms = -1
    world.lease_key.silent_until_ms = -1
    world.lease_key.lost_answers = 0
    world.supervision.wake()
    world.supervision.looping.clear()
    world.market.thin_until_ms = -1
    bus_up(world)
    rejoin(world)
    if venue.stalled:
        break_stream(world)
    # Who wakes may find that it has to die, and another begins.
    for life in list(world.supervision.lives.values()):
        life.fuse = -1
        life.wake()


# The venue and its stream.


def break_stream(world: World) -> None:
    """The private stream's connection ends; the router hears of it."""
    venue = world.venue
    venue.generation += 1
    venue.on_frames = None
    for router in world.routers:
        if router.performs:
            router.session.stream_broke()


def _maintenance(world: World, act: Act) -> None:
    world.venue.away_until_ms = world.engine.t_ms + 200 + act.a % 5_000
    break_stream(world)


def _restart(world: World, act: Act) -> None:
    world.venue.restart()
    _maintenance(world, act)


def _precision(world: World, act: Act) -> None:
    world.venue.change_filters(act.a % 2, tick_factor=10)


def _dust(world: World, act: Act) -> None:
    world.venue.change_filters(act.a % 2, minimum_factor=5)


def _lag(world: World, act: Act) -> None:
    world.venue.lag_ms = 500 + act.a % 13_000

    def ends() -> None:
        world.venue.lag_ms = 0

    world.engine.after(2_000 + act.b % 16_000, ends)


def _stall(world: World, act: Act) -> None:
    world.venue.stalled = True
    engine = world.engine

    def ends() -> None:
        if world.venue.stalled:
            break_stream(world)

    engine.after(300 + act.a % 6_000, ends)


def _storm(world: World, act: Act) -> None:
    for number in range(3 + act.a % 5):
        world.engine.after(number * (150 + act.b % 500), lambda: break_stream(world))


def _clock(world: World, act: Act) -> None:
    world.engine.skew_ms = act.a % 10_001 - 5_000


def _jump(world: World, act: Act) -> None:
    world.market.jump(SYMBOLS[act.a % 2], act.b % 121 - 60)


def _thin(world: World, act: Act) -> None:
    world.market.thin_until_ms = world.engine.t_ms + 1_000 + act.a % 6_000


def _excess(world: World, act: Act) -> None:
    assert isinstance(act.kind, Fault)
    world.venue.mischief.excesses.extend([act.kind] * (1 + act.a % 3))


_VENUE = {
    Fault.MAINTENANCE: _maintenance,
    Fault.RESTART: _restart,
    Fault.PRECISION: _precision,
    Fault.DUST: _dust,
    Fault.LAG: _lag,
    Fault.STALL: _stall,
    Fault.BREAK: lambda world, _act: break_stream(world),
    Fault.STORM: _storm,
    Fault.CLOCK: _clock,
    Fault.JUMP: _jump,
    Fault.THIN: _thin,
    Fault.OVERFILL: _excess,
    Fault.AFTER_CANCEL: _excess,
}

# The bus.


def bus_up(world: World) -> None:
    """The server is back."""
    world.bus.come_up()
    _tell_bus(world)


def _tell_bus(world: World) -> None:
    """Every router's client library notices what became of its connection."""
    for router in world.routers:
        router.deliver(router.bus_changed)


def rejoin(world: World) -> None:
    """Whoever was cut off is connected again."""
    world.bus.rejoin()
    _tell_bus(world)


def _bus_down(world: World, act: Act) -> None:
    _bus_away(world, 200 + act.a % 5_000)


def _bus_away(world: World, for_ms: int) -> None:
    world.bus.go_down()
    _tell_bus(world)
    world.engine.after(for_ms, lambda: bus_up(world))


def _bus_long(world: World, act: Act) -> None:
    _bus_away(world, LEASE_MS + 200 + act.a % 8_000)


def _bus_wiped(world: World, act: Act) -> None:
    _bus_down(world, act)
    world.bus.wipe()
    world.lease_key.wipe()


def _cut(world: World, for_ms: int) -> None:
    """The leader alone loses the bus."""
    if world.router is not None and world.router.alive:
        world.bus.cut.add(world.router)
        _tell_bus(world)
        world.engine.after(for_ms, lambda: rejoin(world))


def _split(world: World, act: Act) -> None:
    """The leader's machine loses bus and storage, and lives on; the storage comes back a moment after the bus."""
    for_ms, leader = LEASE_MS + LONGEST_SEND_MS + 500 + act.a % 6_000, world.router
    if leader is None or not leader.leads:
        return
    _cut(world, for_ms)
    world.journal.release(leader)

    def back() -> None:
        if leader.alive and not world.journal.return_to(leader, leader.term):
            leader.kill("its storage is another's now")

    world.engine.after(for_ms + act.b % 2_500, back)


def _lease_lost(world: World, act: Act) -> None:
    key = world.lease_key
    match act.a % 4:
        case 0:
            key.delete()
        case 1:
            key.restore()
        case 2:
            key.silent_until_ms = world.engine.t_ms + 1_000 + act.b % 9_000
        case _:
            key.lost_answers += 1 + act.b % 4


def _past(world: World, act: Act, *, intents: bool) -> Wire | None:
    found = [
        wire for wire in world.bus.past if not intents or subjects.matches(subjects.INTENT_PLACE_ALL, wire.subject)
    ]
    return found[act.b % len(found)] if found else None


def _slow(world: World, act: Act) -> None:
    wire = _past(world, act, intents=False)
    if wire is not None:
        world.bus.slow[wire.subject] = 50 + act.a % 1_500


def _again(world: World, act: Act) -> None:
    wire = _past(world, act, intents=act.a % 3 != 0)
    if wire is not None:
        world.bus.inject(Wire(wire.subject, wire.raw, wire.kind, "nobody", wire.reply))
    world.bus.lost_ack += act.a % 2


def _old(world: World, act: Act) -> None:
    wire = _past(world, act, intents=True)
    if wire is not None:
        again = Wire(wire.subject, wire.raw, wire.kind, "nobody", wire.reply)
        world.engine.after(1_000 + act.a % 9_000, lambda: world.bus.inject(again))


def _poison(world: World, act: Act) -> None:
    wire = _past(world, act, intents=act.a % 2 == 0)
    if wire is not None:
        world.bus.inject(Wire(wire.subject, bytes(act.b % 251 for _ in range(act.a % 90)), wire.kind, "nobody"))


def _tampered(world: World, act: Act) -> None:
    if act.b % 2:
        world.bus.faults.extend((Fault.BUS_TAMPERED, act.a + number * 7) for number in range(3))
        return
    wire = _past(world, act, intents=True)
    if wire is not None:
        world.bus.inject(tampered(wire, act.a))


def _forged(world: World, act: Act) -> None:
    wire = _past(world, act, intents=act.a % 2 == 0)
    if wire is not None and not subjects.matches(subjects.OPERATOR_ALL, wire.subject):
        world.bus.inject(forged(wire))


_BUS = {
    Fault.BUS_DOWN: _bus_down,
    Fault.BUS_LONG: _bus_long,
    Fault.CUT: lambda world, act: _cut(world, 500 + act.a % 12_000),
    Fault.SPLIT: _split,
    Fault.LEASE_LOST: _lease_lost,
    Fault.BUS_WIPED: _bus_wiped,
    Fault.BUS_SLOW: _slow,
    Fault.BUS_AGAIN: _again,
    Fault.BUS_OLD: _old,
    Fault.BUS_POISON: _poison,
    Fault.BUS_TAMPERED: _tampered,
    Fault.BUS_FORGED: _forged,
}
