"""Memory and descriptors: who is warned of, who is recycled, and when not."""

from __future__ import annotations

from supervisors.appetite import FRESH_MS, MB, Appetite, Limits, Usage

LIMITS = Limits(warn_bytes=400 * MB, recycle_bytes=500 * MB, descriptors=0.8, again_ms=600_000)


def eats(mb: int, *, busy: bool = False) -> Usage:
    return Usage(mb * MB, busy=busy)


def codes(appetite: Appetite, usage: Usage, now_ms: int, incarnation: int = 1) -> list[str]:
    return [alert.code for alert in appetite.seen("a", incarnation, usage, now_ms)]


def test_below_the_limits_nobody_hears_of_it() -> None:
    appetite = Appetite(LIMITS)
    assert codes(appetite, eats(399), 0) == []
    assert appetite.due({"a"}, 0) is None


def test_a_warning_is_given_once_and_again_only_after_it_was_calm() -> None:
    appetite = Appetite(LIMITS)
    said = [codes(appetite, eats(mb), now) for now, mb in enumerate((400, 450, 390, 410, 300, 400))]
    assert said == [["ACTOR_MEMORY_HIGH"], [], [], [], [], ["ACTOR_MEMORY_HIGH"]]


def test_from_the_upper_limit_on_a_ready_child_is_due_with_its_reason() -> None:
    appetite = Appetite(LIMITS)
    appetite.seen("a", 1, eats(500), 0)
    assert appetite.due(set(), 0) is None, "it is not Ready"
    due = appetite.due({"a"}, 0)
    assert due is not None
    assert (due.child, due.reason) == ("a", "memory: 500 MB resident, recycled from 500 MB on")


def test_nobody_is_recycled_with_an_order_in_flight() -> None:
    appetite = Appetite(LIMITS)
    appetite.seen("a", 1, eats(900, busy=True), 0)
    assert appetite.due({"a"}, 0) is None
    appetite.seen("a", 1, eats(900), 250)
    assert appetite.due({"a"}, 250) is not None


def test_an_old_word_about_orders_is_not_believed() -> None:
    appetite = Appetite(LIMITS)
    appetite.seen("a", 1, eats(900), 0)
    assert appetite.due({"a"}, FRESH_MS + 1) is None


def test_the_hungriest_goes_first() -> None:
    appetite = Appetite(LIMITS)
    for child, mb in (("a", 600), ("b", 800), ("c", 700)):
        appetite.seen(child, 1, eats(mb), 0)
    assert [due.child for _ in range(3) if (due := appetite.due({"a", "b", "c"}, 0))] == ["b", "c", "a"]


def test_what_a_restart_does_not_mend_is_a_persons() -> None:
    appetite = Appetite(LIMITS)
    appetite.seen("a", 1, eats(600), 0)
    assert appetite.due({"a"}, 0) is not None
    appetite.forget("a")
    assert codes(appetite, eats(600), 5_000, incarnation=2) == ["ACTOR_MEMORY_HIGH", "ACTOR_MEMORY_STUCK"]
    assert codes(appetite, eats(600), 6_000, incarnation=2) == []
    assert appetite.due({"a"}, 6_000) is None
    appetite.seen("a", 2, eats(600), 600_000)
    assert appetite.due({"a"}, 600_000) is not None


def test_news_of_an_older_life_changes_nothing() -> None:
    appetite = Appetite(LIMITS)
    appetite.seen("a", 2, eats(100), 0)
    assert codes(appetite, eats(900), 1, incarnation=1) == []
    assert appetite.usage("a") == eats(100)


def test_zero_recycles_never() -> None:
    appetite = Appetite(Limits(recycle_bytes=0))
    appetite.seen("a", 1, eats(9_000), 0)
    assert appetite.due({"a"}, 0) is None


def test_descriptors_are_warned_of_at_four_fifths_of_the_processs_own_limit() -> None:
    appetite = Appetite(LIMITS)
    assert codes(appetite, Usage(MB, 819, 1_024), 0) == ["ACTOR_DESCRIPTORS_HIGH"]
    assert codes(appetite, Usage(MB), 1) == [], "a beat without a count leaves the last one standing"
    assert appetite.usage("a").descriptors == 819
    assert appetite.due({"a"}, 1) is None, "descriptors are warned of only"


def test_a_process_without_a_limit_has_none_to_reach() -> None:
    assert codes(Appetite(LIMITS), Usage(MB, 50_000, 0), 0) == []
