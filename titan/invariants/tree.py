"""I10: a child that crashes in a loop is given up in time, and takes nobody with it.

Guarantees: pure. Never: the supervisors' own bookkeeping; only what was seen from outside counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from titan.invariants.facts import Invariant, Violation, World
from titan.invariants.story import Story


def loops_stay_alone(world: World, _story: Story) -> Iterator[Violation]:
    """I10: intensity is kept, and the neighbours of a looping child stand."""
    yield from _intensity(world)
    looping = {child.name for child in world.children if child.looping}
    if not looping:
        return
    for child in world.children:
        if not child.looping and not child.ready:
            yield Violation(
                Invariant.LOOPS_STAY_ALONE,
                f"dragged:{child.name}",
                f"{child.name} of {child.supervisor} is not ready while {', '.join(sorted(looping))} crashes in a loop",
            )


def _intensity(world: World) -> Iterator[Violation]:
    by_supervisor: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for restart in world.restarts:
        by_supervisor[restart.supervisor].append((restart.at_ms, restart.child))
    for limit in world.limits:
        given_up = sorted(each.at_ms for each in world.escalations if each.supervisor == limit.supervisor)
        made = sorted(by_supervisor[limit.supervisor])
        times = [at_ms for at_ms, _ in made]
        for index in range(limit.max_restarts, len(made)):
            first, last = made[index - limit.max_restarts], made[index]
            within = last[0] - first[0] < limit.period_ms
            if within and not any(_stands(at, times, first[0], last[0], limit.period_ms) for at in given_up):
                yield Violation(
                    Invariant.LOOPS_STAY_ALONE,
                    f"intensity:{limit.supervisor}:{first[0]}",
                    f"{limit.supervisor} restarted {limit.max_restarts + 1} times within {limit.period_ms / 1000:g} s "
                    "and did not escalate",
                    {"children": ", ".join(name for _, name in made[index - limit.max_restarts : index + 1])},
                )
                break


def _stands(given_up_ms: int, restarts: Sequence[int], first_ms: int, last_ms: int, period_ms: int) -> bool:
    """Whether a supervisor that gave up then has said so for the restarts from first to last.

    It says so once, and keeps trying: until its children have been quiet for a period, what follows belongs to the same word.
    """
    if first_ms <= given_up_ms <= last_ms:
        return True
    since = [given_up_ms, *(at_ms for at_ms in restarts if given_up_ms < at_ms <= first_ms)]
    return given_up_ms < first_ms and all(after - before < period_ms for before, after in pairwise([*since, first_ms]))
