"""What will happen to a world beside its own life: signals, operators, markets and faults, as a list made from the seed.

Guarantees: a plan is a value; a shorter list of acts is a plan too, which is what makes a failing one smaller. Each seed
turns only some kinds on (swarm testing: kinds that always come together hide what each can do alone). Never: a draw at run
time that decides whether a fault happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What goes wrong."""

    TIMEOUT_BEFORE = "venue_timeout_before_accept"
    TIMEOUT_AFTER = "venue_timeout_after_accept"
    LATE = "venue_not_found_then_found"
    BROKEN_BEFORE = "venue_5xx_before"
    BROKEN_AFTER = "venue_5xx_after"
    SLOW_DOWN = "venue_429"
    REFUSED = "venue_reject"
    UNREACHABLE = "venue_unreachable"
    DUPLICATE_ACK = "venue_duplicate_ack"
    MAINTENANCE = "venue_maintenance"
    RESTART = "venue_restart"
    PRECISION = "venue_precision_change"
    DUST = "venue_minimum_raised"
    LAG = "venue_queries_lag"
    FRAME_LOST = "stream_frame_lost"
    FRAME_TWICE = "stream_frame_twice"
    FRAME_LATE = "stream_frame_late"
    STALL = "stream_stall"
    BREAK = "stream_break"
    STORM = "stream_reconnect_storm"
    CLOCK = "clock_step"
    JUMP = "market_jump"
    THIN = "market_thin"
    BUS_DOWN = "bus_down"
    BUS_WIPED = "bus_data_gone"
    BUS_DROP = "bus_drop"
    BUS_TWICE = "bus_duplicate"
    BUS_SLOW = "bus_slow_subject"
    BUS_AGAIN = "bus_redelivery"
    BUS_OLD = "bus_redelivery_past_window"
    BUS_POISON = "bus_poison"
    BUS_TAMPERED = "bus_tampered"
    BUS_FORGED = "bus_same_nonce_other_bytes"
    ROUTER_KILL = "router_killed"
    ROUTER_FUSE = "router_killed_between_effects"
    ROUTER_PAUSE = "router_stopped_and_woken"
    ROUTER_LOOP = "router_crashes_in_start"
    BRAIN_KILL = "brain_killed"
    BRAIN_PAUSE = "brain_stopped_and_woken"
    LEDGER_KILL = "execution_killed"
    PHASE_LOOP = "phase_crashes_in_a_loop"
    POWER = "power_loss"
    DISK_FULL = "disk_full"
    ZOMBIE = "leader_stopped_past_its_lease"
    PROMOTION_KILL = "router_killed_in_promotion"
    LEASE_LOST = "lease_lost"
    BUS_LONG = "bus_down_longer_than_the_lease"
    CUT = "leader_cut_from_bus"
    ROOT_PAUSE = "supervisor_stopped_and_woken"
    STANDBY_KILL = "standby_killed"
    FOLLOW_LAG = "follower_lags"
    SPLIT = "split_brain"
    REFUSED_LATER = "venue_rejects_after_ack"
    VEILED = "venue_not_found_for_long"
    OVERFILL = "venue_overfill"
    AFTER_CANCEL = "venue_fill_after_cancel"


class Deed(StrEnum):
    """What people and phases do."""

    SIGNAL = "signal"
    ARM = "arm"
    DISARM = "disarm"
    REDUCE = "reduce"
    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    AMEND = "amend_order"
    CANCEL = "cancel_order"


class Moment(StrEnum):
    """Where in an order's life an act waits to strike; AT_TIME strikes at once."""

    AT_TIME = ""
    ARRIVED = "before_journal"
    JOURNALLED = "journalled_not_sent"
    SENT = "sent_no_ack"
    ACKED = "acked"
    PART = "partly_filled"
    CANCELLING = "cancel_in_flight"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens `at_ms` of monotonic time, or at the first `moment` after it. `a` and `b` are its numbers."""

    at_ms: int
    kind: Fault | Deed
    a: int = 0
    b: int = 0
    moment: Moment = Moment.AT_TIME

    def __str__(self) -> str:
        when = f" at {self.moment.value}" if self.moment else ""
        return f"{self.at_ms:>6} ms  {self.kind.value}({self.a}, {self.b}){when}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole world in advance. `full` runs the real brain and ledger too; without it intents come from a script.

    `standby` has a second router, which follows the first; `apart` has it on another machine. `rare` takes the cores'
    rare branches often. `stiff` has a venue that changes no order in place: a change is a cancel and a new order.
    """

    seed: int
    steps: int
    speed: float
    full: bool
    live: bool
    acts: tuple[Act, ...]
    ms: int
    standby: bool = False
    apart: bool = False
    rare: bool = False
    stiff: bool = False

    def faults(self) -> list[Act]:
        """The acts that are faults."""
        return [act for act in self.acts if isinstance(act.kind, Fault)]


MS_A_STEP = 90
GIVEN_UP_MS = 11_000
RESTS = 1 << 16
"""A signal whose first number is not below this proposes an order that rests."""
UP, DOWN = 75, 45
"""What a jump by 1.5 % takes for its second number."""
MOMENTS = tuple(Moment)
STRIKING = frozenset(
    {Fault.ROUTER_KILL, Fault.ROUTER_FUSE, Fault.ROUTER_PAUSE, Fault.POWER, Fault.STALL, Fault.BREAK, Fault.MAINTENANCE}
    | {
        Fault.DISK_FULL,
        Fault.BUS_DOWN,
        Fault.RESTART,
        Fault.BRAIN_KILL,
        Fault.PROMOTION_KILL,
        Fault.CUT,
        Fault.BUS_LONG,
    }
)
CALLS = frozenset(
    {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.LATE, Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER, Fault.SLOW_DOWN}
    | {Fault.REFUSED, Fault.UNREACHABLE, Fault.DUPLICATE_ACK, Fault.REFUSED_LATER, Fault.VEILED}
)
"""Faults of one request: these can wait for an order to leave, or for a cancel."""
HEAVY = frozenset(
    {Fault.POWER, Fault.ROUTER_LOOP, Fault.PHASE_LOOP, Fault.BUS_WIPED, Fault.RESTART, Fault.STORM, Fault.BUS_LONG}
    | {Fault.SPLIT, Fault.ZOMBIE}
)
ONLY_FULL = frozenset({Fault.BRAIN_KILL, Fault.BRAIN_PAUSE, Fault.LEDGER_KILL})
ONLY_STANDBY = frozenset({Fault.STANDBY_KILL, Fault.FOLLOW_LAG})
ONLY_APART = frozenset({Fault.SPLIT})
ONLY_SOME = ONLY_FULL | ONLY_STANDBY | ONLY_APART


def make_plan(seed: int, steps: int) -> Plan:
    """The plan of a seed; `steps` is about how many events happen before the faults end."""
    chance = Random(seed * 2_654_435_761 + 97)
    ms = steps * MS_A_STEP
    full = chance.random() < 0.2
    standby = chance.random() < 0.5
    apart = standby and chance.random() < 0.4
    left_out = _left_out(full=full, standby=standby, apart=apart)
    acts = _signals(chance, ms, full)
    acts += _operators(chance, ms)
    acts += _order_commands(chance, ms)
    acts += _faults(chance, ms, left_out)
    acts.sort(key=lambda act: act.at_ms)
    speed, live = chance.choice((1.0, 1.0, 20.0)), chance.random() < 0.2
    rare, stiff = chance.random() < 0.3, chance.random() < 0.3
    return Plan(seed, steps, speed, full, live, tuple(acts), ms, standby, apart, rare, stiff)


def _left_out(*, full: bool, standby: bool, apart: bool) -> frozenset[Fault]:
    """Faults that hit nothing in a world of this kind."""
    out: frozenset[Fault] = frozenset()
    for has, needed in ((full, ONLY_FULL), (standby, ONLY_STANDBY), (apart, ONLY_APART)):
        out |= frozenset() if has else needed
    return out


def _signals(chance: Random, ms: int, full: bool) -> list[Act]:
    pace = chance.choice((400, 800, 1_500))
    acts: list[Act] = []
    at_ms = 1_500
    while at_ms < ms:
        acts.append(Act(at_ms, Deed.SIGNAL, chance.randrange(1 << 16), chance.randrange(1 << 16)))
        at_ms += int(chance.expovariate(1 / pace)) + (300 if full else 20)
    return acts


def _operators(chance: Random, ms: int) -> list[Act]:
    if chance.random() < 0.35:
        return []
    verbs = [Deed.ARM, Deed.DISARM, Deed.REDUCE, Deed.HALT, Deed.RESUME, Deed.FLATTEN]
    chosen = chance.sample(verbs, chance.randint(1, len(verbs)))
    acts = []
    for _ in range(chance.randint(1, 9)):
        at_ms = chance.randrange(1_000, ms)
        acts.append(Act(at_ms, chance.choice(chosen), at_ms % 7, moment=_moment(chance, 0.5)))
    return acts


def _order_commands(chance: Random, ms: int) -> list[Act]:
    """People who change or cancel one order."""
    if chance.random() < 0.6:
        return []
    verbs = (Deed.AMEND, Deed.AMEND, Deed.CANCEL)
    return [
        Act(chance.randrange(2_000, ms), chance.choice(verbs), chance.randrange(1 << 16), chance.randrange(1 << 16))
        for _ in range(chance.randint(2, 10))
    ]


def _moment(chance: Random, odds: float) -> Moment:
    return chance.choice(MOMENTS) if chance.random() < odds else Moment.AT_TIME


def _faults(chance: Random, ms: int, left_out: frozenset[Fault]) -> list[Act]:
    kinds = [kind for kind in Fault if kind not in left_out]
    chosen = chance.sample(kinds, chance.randint(0, 9))
    # Some worlds alone have a ledger, or two routers, or two machines: their faults would be rare among all.
    chosen += [kind for kind in kinds if kind in ONLY_SOME and kind not in chosen and chance.random() < 0.2]
    acts: list[Act] = []
    for kind in chosen:
        times = 1 if kind in HEAVY else chance.randint(1, 4)
        for _ in range(times):
            moment = _moment(chance, 0.7) if kind in STRIKING else Moment.AT_TIME
            if kind in CALLS:
                moment = chance.choice((Moment.AT_TIME, Moment.JOURNALLED, Moment.CANCELLING))
            at_ms = chance.randrange(500, ms)
            acts.append(Act(at_ms, kind, chance.randrange(1 << 16), chance.randrange(1 << 16), moment))
        if kind is Fault.VEILED:
            acts += _given_up(chance, ms)
    return acts


def _given_up(chance: Random, ms: int) -> list[Act]:
    """An order that is hidden for longer than a router looks for it, and a market that comes to it before it is shown."""
    latest = ms - GIVEN_UP_MS - 4_500
    if latest <= 1_500:
        return []
    at_ms = chance.randrange(1_500, latest)
    hidden = Act(at_ms, Fault.VEILED, 0, 2, Moment.JOURNALLED)
    orders = [
        Act(at_ms + after_ms, Deed.SIGNAL, RESTS + chance.randrange(1 << 16), chance.randrange(1 << 16))
        for after_ms in (10, 200, 400)
    ]
    moves_ms = at_ms + GIVEN_UP_MS + chance.randrange(2_000)
    moves = [
        Act(moves_ms + after_ms, Fault.JUMP, symbol, permille)
        for symbol in (0, 1)
        for after_ms, permille in ((0, UP), (700, DOWN), (1_400, DOWN), (2_100, UP))
    ]
    return [hidden, *orders, *moves]
