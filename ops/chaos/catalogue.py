"""Every fault of a campaign, in one table: number, axis, name, what it does, its injection, its target.

Guarantees: numbers are unique and stay; targets are the design's (docs/reliability.md). Never: behaviour.
"""

from __future__ import annotations

import signal

from ops.chaos import buses, operators, storages
from ops.chaos.fault import Axis, ChaosFault, Inject
from ops.chaos.processes import (
    BLOCK_S,
    STOP_S,
    blocked,
    fails_to_start,
    frozen,
    raised,
    ray_killed,
    root_struck,
    server_frozen,
    server_struck,
    signalled,
)
from ops.chaos.venues import Switch, switched
from supervisors.tree import GROUPS_WITH_STANDBY, ROUTER_STANDBY

IMPORTS_CCXT = frozenset({"router", "router_standby", "execution", "market_data"})
ORDER = ("router", "execution", "brain", "market_data", "scavenger", "gateway")
SERVERS = ("nats", "postgres", "redis", "paper_venue")
LONG_STOP_S = 30.0
SERVER_TARGET_S = 2.0
ROOT_TARGET_S = 3.0
RAY_TARGET_S = 20.0
ACTOR_WITHIN_S = 120.0
WHOLE_WITHIN_S = 180.0


def _actors() -> list[ChaosFault]:
    found: list[ChaosFault] = []
    specs = {actor.name: (group, actor) for group in GROUPS_WITH_STANDBY for actor in group.actors}
    names = [name for name in ORDER if name in specs] + sorted(set(specs) - set(ORDER))
    for index, name in enumerate(names):
        group, spec = specs[name]
        start_s = 2.5 if name in IMPORTS_CCXT else 1.5
        hang_s = spec.silence_ms / 1000 + start_s
        rows: tuple[tuple[str, str, Inject, float | None, int, bool], ...] = (
            ("kill", "SIGKILL", signalled(name, signal.SIGKILL), start_s, 1, False),
            ("term", "SIGTERM", signalled(name, signal.SIGTERM), start_s, 1, False),
            ("stop", f"SIGSTOP for {STOP_S:g} s, then SIGCONT", frozen(name), hang_s, 1, False),
            ("raise", "an exception in a handler", raised(name), start_s, 1, False),
            ("crash-loop", "SIGKILL, then exceptions in start", fails_to_start(name), None, 3, False),
            ("block", f"its event loop blocked for {BLOCK_S:g} s", blocked(name), hang_s, 1, False),
            ("stop-long", f"SIGSTOP for {LONG_STOP_S:g} s", frozen(name, LONG_STOP_S), hang_s, 1, True),
        )
        for kind, (word, does, inject, target, restarts, long) in enumerate(rows):
            number = 100 + 10 * index + kind
            text = f"{name}: {does}"
            fault = ChaosFault(
                number, Axis.PROCESS, f"{name}-{word}", text, inject, target, ACTOR_WITHIN_S, group.name, restarts, long
            )
            found.append(fault)
    return found


def _servers() -> list[ChaosFault]:
    found: list[ChaosFault] = []
    for index, name in enumerate(SERVERS):
        for kind, (word, does, inject) in enumerate(
            (
                ("kill", "SIGKILL", server_struck(name, signal.SIGKILL)),
                ("restart", "SIGTERM", server_struck(name, signal.SIGTERM)),
                ("stop", f"SIGSTOP for {STOP_S:g} s, then SIGCONT", server_frozen(name)),
            )
        ):
            number = 20 + 5 * index + kind
            found.append(
                ChaosFault(
                    number, Axis.SERVER, f"{name}-{word}", f"{name}: {does}", inject, SERVER_TARGET_S, group="servers"
                )
            )
    return found


def _switches(number: int, axis: Axis, name: str, does: str, *switches: Switch, seconds: float = 3.0) -> ChaosFault:
    return ChaosFault(number, axis, name, does, switched(*switches, seconds=seconds))


_BOTH = {"on": ["orders", "fills"]}

FAULTS: tuple[ChaosFault, ...] = (
    ChaosFault(1, Axis.RAY, "root-kill", "the root supervisor: SIGKILL", root_struck(), ROOT_TARGET_S),
    ChaosFault(
        2, Axis.RAY, "root-stop", "the root supervisor: SIGSTOP for 5 s", root_struck(seconds=STOP_S), ROOT_TARGET_S
    ),
    ChaosFault(3, Axis.RAY, "raylet-kill", "Ray's raylet: SIGKILL", ray_killed("raylet"), RAY_TARGET_S, WHOLE_WITHIN_S),
    ChaosFault(
        4, Axis.RAY, "head-kill", "Ray's head (GCS): SIGKILL", ray_killed("gcs_server"), RAY_TARGET_S, WHOLE_WITHIN_S
    ),
    ChaosFault(
        5, Axis.RAY, "agent-kill", "Ray's agent: SIGKILL", ray_killed("ray::DashboardAgent"), None, WHOLE_WITHIN_S
    ),
    *_servers(),
    *_actors(),
    _switches(
        200,
        Axis.VENUE,
        "slow",
        "orders are handled late",
        ("delay", {"on": "place", "count": 3, "seconds": 6, "delay_ms": 800}),
    ),
    _switches(
        201,
        Axis.VENUE,
        "drop",
        "no answer before accept",
        ("drop", {"on": "place", "count": 2, "seconds": 6, "delay_ms": 100}),
    ),
    _switches(
        202,
        Axis.VENUE,
        "timeout-after-accept",
        "accepted, answer lost",
        ("lost_answer", {"on": "place", "count": 2, "seconds": 6}),
    ),
    _switches(
        203,
        Axis.VENUE,
        "5xx-orders",
        "orders answered with 502",
        ("server_error", {"on": "place", "count": 2, "seconds": 6, "status": 502}),
    ),
    _switches(
        204,
        Axis.VENUE,
        "5xx-half",
        "half of all requests answered with 503",
        ("server_error", {"seconds": 4, "chance": 0.5}),
        seconds=4,
    ),
    _switches(
        205,
        Axis.VENUE,
        "429",
        "every request answered with 429, Retry-After 1",
        ("rate_limit", {"seconds": 3, "retry_after_s": 1}),
    ),
    _switches(206, Axis.VENUE, "reject", "orders refused", ("reject", {"on": "place", "count": 2, "seconds": 6})),
    _switches(
        207,
        Axis.VENUE,
        "not-found-then-found",
        "accepted, answer lost, then three look-ups find nothing",
        ("lost_answer", {"on": "place", "count": 1, "seconds": 8}),
        ("not_found", {"count": 3, "seconds": 8}),
        ("missing", {"on": ["orders", "fills"], "seconds": 4}),
    ),
    _switches(
        208,
        Axis.VENUE,
        "skew-ahead",
        "the venue's clock 5 s ahead",
        ("clock_skew", {"seconds": 5, "skew_ms": 5_000}),
        seconds=5,
    ),
    _switches(
        209,
        Axis.VENUE,
        "skew-behind",
        "the venue's clock 5 s behind",
        ("clock_skew", {"seconds": 5, "skew_ms": -5_000}),
        seconds=5,
    ),
    _switches(210, Axis.VENUE, "maintenance", "everything refused for 4 s", ("maintenance", {"seconds": 4}), seconds=4),
    _switches(
        211,
        Axis.VENUE,
        "read-timeouts",
        "reads never answered",
        ("drop", {"on": ["read", "lookup"], "seconds": 4, "chance": 0.7}),
        seconds=4,
    ),
    _switches(
        212,
        Axis.VENUE,
        "timeout-and-5xx",
        "answers lost while look-ups fail",
        ("lost_answer", {"on": "place", "count": 2, "seconds": 6}),
        ("server_error", {"on": "lookup", "count": 4, "seconds": 6}),
    ),
    _switches(
        220,
        Axis.STREAM,
        "duplicate-fills",
        "fill frames come twice",
        ("duplicate", {"on": "fills", "count": 6, "seconds": 6}),
    ),
    _switches(
        221,
        Axis.STREAM,
        "duplicate-acks",
        "order frames come twice",
        ("duplicate", {"on": "orders", "count": 6, "seconds": 6}),
    ),
    _switches(
        222,
        Axis.STREAM,
        "missing-fills",
        "fill frames never come",
        ("missing", {"on": "fills", "count": 3, "seconds": 6}),
    ),
    _switches(
        223,
        Axis.STREAM,
        "missing-acks",
        "order frames never come",
        ("missing", {"on": "orders", "count": 3, "seconds": 6}),
    ),
    _switches(
        224,
        Axis.STREAM,
        "reorder",
        "order and fill frames overtake each other",
        ("reorder", {**_BOTH, "seconds": 4, "chance": 0.5}),
        seconds=4,
    ),
    _switches(
        225,
        Axis.STREAM,
        "gap",
        "every third book frame never comes",
        ("missing", {"on": "book", "seconds": 4, "chance": 0.33}),
        seconds=4,
    ),
    _switches(
        226,
        Axis.STREAM,
        "stale",
        "tickers and trades two minutes old",
        ("stale", {"on": ["ticker", "trades"], "seconds": 5, "skew_ms": -120_000}),
        seconds=5,
    ),
    _switches(
        227,
        Axis.STREAM,
        "stall-private",
        "the private stream silent, its socket open",
        ("stall", {"on": "private", "seconds": 6}),
        seconds=6,
    ),
    _switches(
        228,
        Axis.STREAM,
        "stall-public",
        "the public stream silent, its socket open",
        ("stall", {"on": "public", "seconds": 6}),
        seconds=6,
    ),
    _switches(
        229,
        Axis.STREAM,
        "close-1000",
        "all streams closed with 1000",
        ("close", {"on": "private", "count": 1, "code": 1000}),
        ("close", {"on": "public", "count": 1, "code": 1000}),
    ),
    _switches(
        230,
        Axis.STREAM,
        "close-1006",
        "all streams cut without a word",
        ("close", {"on": "private", "count": 1}),
        ("close", {"on": "public", "count": 1}),
    ),
    _switches(
        231,
        Axis.STREAM,
        "storm",
        "streams cut every 0.3 s for 4 s",
        ("storm", {"seconds": 4, "delay_ms": 300}),
        seconds=4,
    ),
    ChaosFault(240, Axis.BUS, "redelivery", "the same intents again, byte by byte", buses.redelivered),
    ChaosFault(241, Axis.BUS, "poison", "messages that nobody can read or that make no sense", buses.poisoned),
    ChaosFault(
        242,
        Axis.BUS,
        "data-gone",
        "NATS killed, its data directory gone",
        buses.forgotten,
        SERVER_TARGET_S,
        group="servers",
    ),
    ChaosFault(
        250,
        Axis.STORAGE,
        "postgres-away",
        "PostgreSQL stands still for 8 s under trade",
        server_frozen("postgres", 8.0),
        SERVER_TARGET_S,
    ),
    ChaosFault(251, Axis.STORAGE, "disk-full", "the journal's disk full for 4 s under trade", storages.disk_full),
    ChaosFault(
        252,
        Axis.STORAGE,
        "torn-tail",
        "the router killed, its last three rows torn off",
        storages.torn_tail,
        group="money",
    ),
    ChaosFault(
        253,
        Axis.STORAGE,
        "flipped-bit",
        "a bit flipped in a copy of the journal: it must be found",
        storages.flipped_bit,
    ),
    ChaosFault(260, Axis.OPERATOR, "halt", "halt in the middle of an order", operators.commanded("halt")),
    ChaosFault(
        261,
        Axis.OPERATOR,
        "halt-router-kill",
        "halt while the router is dead",
        operators.commanded("halt", operators.router_dies),
        group="money",
    ),
    ChaosFault(
        262,
        Axis.OPERATOR,
        "halt-slow-venue",
        "halt while the venue answers late",
        operators.commanded("halt", operators.venue_hangs),
    ),
    ChaosFault(263, Axis.OPERATOR, "flatten", "flatten in the middle of an order", operators.commanded("flatten")),
    ChaosFault(
        264,
        Axis.OPERATOR,
        "flatten-slow-venue",
        "flatten while the venue answers late",
        operators.commanded("flatten", operators.venue_hangs),
    ),
    ChaosFault(
        265,
        Axis.OPERATOR,
        "disarm-router-kill",
        "disarm while the router is dead",
        operators.commanded("disarm", operators.router_dies),
        group="money",
    ),
    ChaosFault(266, Axis.OPERATOR, "wrong-secret", "commands signed with another secret", operators.wrong_secret),
    ChaosFault(
        267, Axis.OPERATOR, "bad-configuration", "a start with impossible settings", operators.bad_configuration
    ),
    ChaosFault(270, Axis.RESTART, "two-instances", "a second guardian and a second router", operators.second_instance),
    ChaosFault(
        271,
        Axis.RESTART,
        "warm-restart",
        "the whole ends and starts again with a position",
        operators.warm_restart,
        30.0,
        WHOLE_WITHIN_S,
    ),
    ChaosFault(
        272,
        Axis.RESTART,
        "everything-killed",
        "every process SIGKILL at once, then a start with what is left",
        operators.everything_killed,
        30.0,
        WHOLE_WITHIN_S,
    ),
)


def by_number() -> dict[int, ChaosFault]:
    """The faults by number."""
    return {fault.number: fault for fault in FAULTS}


def chosen(only: str, number: int | None, *, long: bool, standby: bool = False) -> tuple[ChaosFault, ...]:
    """One fault by number, or those of the axes and with the names in `only` (separated by commas), or all.

    Long ones only when there is time for them, and those of the second router only when there is one.
    """
    if number is not None:
        return tuple(fault for fault in FAULTS if fault.number == number)
    words = {word.strip() for word in only.split(",") if word.strip()}
    return tuple(
        fault
        for fault in FAULTS
        if fault.name in words
        or (
            (not words or fault.axis.value in words)
            and (long or not fault.long)
            and (standby or not fault.name.startswith(ROUTER_STANDBY.name))
        )
    )
