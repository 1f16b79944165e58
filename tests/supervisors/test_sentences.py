"""Every sentence about supervision has its test, and the page says what the tables of the code say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from supervisors import appetite, backoff, guardian, ray_stack, remedy, server_watch
from supervisors.guardian import guardian_tree
from supervisors.server_life import SERVERS, SILENCE_MS
from supervisors.spec import Backoff, ChildSpec, Intensity
from supervisors.tree import GROUPS_WITH_STANDBY, SHUTDOWN_MS, STABLE_MS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reliability.md"

SENTENCES: dict[str, tuple[str, ...]] = {
    "`one_for_one` restarts the fallen child alone.": (
        "test_machine_restarts.test_one_for_one_restarts_the_fallen_child_alone",
    ),
    "`one_for_all` stops the others right to left and starts all in order.": (
        "test_machine_restarts.test_one_for_all_stops_the_others_from_right_to_left_and_starts_all_in_order",
    ),
    "`rest_for_one` does so with those started after the fallen one.": (
        "test_machine_restarts.test_rest_for_one_stops_the_children_started_after_the_fallen_one",
    ),
    "A permanent child always comes back.": ("test_machine_restarts.test_a_permanent_child_always_comes_back",),
    "A transient child comes back after an abnormal exit only.": (
        "test_machine_restarts.test_a_transient_child_comes_back_after_an_abnormal_exit",
        "test_machine_restarts.test_a_transient_child_stays_down_after_a_normal_exit",
    ),
    "A temporary child never comes back.": ("test_machine_restarts.test_a_temporary_child_never_comes_back",),
    "Children start left to right, each Ready before the next begins.": (
        "test_machine_start_and_stop.test_children_start_from_left_to_right",
        "test_machine_start_and_stop.test_the_next_child_starts_only_when_the_one_before_is_ready",
        "test_ray_tree.test_each_actor_is_ready_before_the_next_begins",
    ),
    "They stop right to left, each gone before the next is asked.": (
        "test_machine_start_and_stop.test_children_stop_from_right_to_left",
        "test_machine_start_and_stop.test_the_next_child_is_stopped_only_when_the_one_before_is_gone",
        "test_ray_tree.test_the_tree_stops_from_right_to_left_and_starts_again",
    ),
    "A child that does not stop within its shutdown timeout is killed.": (
        "test_machine_start_and_stop.test_a_child_that_does_not_stop_in_time_is_killed",
        "test_runner.test_a_child_that_does_not_stop_in_time_is_killed",
    ),
    "More than `max_restarts` within `period` stops all children in order and escalates.": (
        "test_machine_limits.test_as_many_restarts_as_allowed_do_not_escalate",
        "test_machine_limits.test_more_restarts_than_allowed_stop_all_children_in_order_and_escalate",
        "test_machine_properties.test_it_gives_up_exactly_when_a_window_holds_more_restarts_than_allowed",
    ),
    "HALT asks for HALT once and keeps trying with backoff.": (
        "test_machine_limits.test_halt_escalates_once_and_keeps_trying_with_backoff",
        "test_supervision.test_an_escalation_of_money_asks_for_halt",
    ),
    "QUARANTINE takes the looping child alone out; the others go on.": (
        "test_machine_limits.test_quarantine_takes_the_looping_child_alone_out",
        "test_ray_tree.test_a_crash_loop_is_quarantined_while_the_others_live",
    ),
    "DEGRADE says so and keeps trying.": ("test_machine_limits.test_degrade_warns_and_keeps_trying",),
    "The first restart is immediate.": ("test_machine_limits.test_the_first_restart_is_immediate",),
    "From the second within the period on it waits, longer each time, with a jitter that a seed repeats.": (
        "test_machine_limits.test_from_the_second_restart_within_the_period_on_it_waits",
        "test_machine_limits.test_the_waits_grow_and_stay_below_thirty_seconds",
        "test_specs.test_a_delay_lies_between_floor_and_cap_and_is_repeatable",
    ),
    "The wait starts anew after a stable period.": (
        "test_machine_limits.test_the_backoff_starts_anew_after_a_stable_period",
        "test_machine_limits.test_a_child_that_dies_just_before_it_is_stable_keeps_its_backoff",
    ),
    "A death is noticed within 50 ms on the same node.": ("test_small_parts.test_a_death_is_noticed_within_50_ms",),
    "A child is alive only while its progress rises; a beat alone proves nothing.": (
        "test_liveness.test_a_beat_without_progress_is_no_sign_of_life",
        "test_ray_tree.test_a_consumer_that_stopped_consuming_is_found_although_its_loop_runs",
    ),
    "One that is silent for longer than it may is killed and counted as a crash.": (
        "test_machine_life.test_a_silent_child_is_killed_and_counted_as_a_crash",
        "test_ray_tree.test_a_loop_that_hangs_is_found_and_replaced",
    ),
    "A process that was stopped by a signal counts as silent, and never wakes beside its successor.": (
        "test_ray_tree.test_a_stopped_process_is_silent_and_replaced",
        "test_ray_tree.test_a_process_that_was_stopped_never_wakes_beside_its_successor",
    ),
    "A child that exits during its own start counts.": (
        "test_machine_limits.test_a_child_that_exits_during_its_own_start_counts",
    ),
    "A supervisor that is killed in the middle of a restart finishes that restart when it comes back.": (
        "test_machine_memory.test_a_restart_in_its_middle_is_finished_and_recorded_by_the_supervisor_that_comes_back",
        "test_ray_tree.test_an_actor_killed_together_with_the_root_is_started_and_counted",
    ),
    "Counts, windows, attempts and waits outlive the supervisor; a healthy child is never restarted.": (
        "test_machine_memory.test_counts_and_window_survive_the_supervisor",
        "test_machine_memory.test_a_backoff_outlives_the_supervisor",
        "test_machine_memory.test_the_number_of_attempts_outlives_the_supervisor",
        "test_ray_tree.test_a_killed_root_comes_back_and_restarts_nobody",
    ),
    "The newer of file and bucket is believed; of two roots the younger withdraws.": (
        "test_supervision.test_a_newer_memory_in_the_bucket_is_taken_up",
        "test_supervision.test_without_its_file_a_root_finds_its_memory_in_the_bucket",
        "test_supervision.test_of_two_roots_the_younger_withdraws",
    ),
    "Every restart is an event with its reason, its duration and the intensity left.": (
        "test_machine_memory.test_a_recycling_in_its_middle_stays_one_when_the_supervisor_comes_back",
        "test_supervision.test_restarts_and_alerts_wait_for_the_bus_in_order",
        "test_ray_tree.test_the_bus_hears_of_actors_and_restarts_and_can_ask_for_both",
    ),
    "A planned restart, by hand or for memory, is counted apart and costs no intensity.": (
        "test_machine_life.test_a_graceful_restart_uses_no_intensity",
        "test_machine_restarts.test_a_recycling_drains_stops_and_starts_and_is_counted_by_itself",
        "test_ray_tree.test_an_actor_that_eats_too_much_is_recycled_once_nothing_is_in_flight",
    ),
}


def names_of(module: str) -> set[str]:
    tree = ast.parse((HERE / f"{module}.py").read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def rows() -> list[str]:
    """The tables of the page, as the code has them."""
    found = []
    for group in GROUPS_WITH_STANDBY:
        for actor in group.actors:
            limits = f"more than {group.max_restarts} in {group.period_s} s"
            found.append(
                f"| {group.name} | `{actor.name}` | {actor.silence_ms / 1000:g} s | {actor.start_timeout_ms / 1000:g} s "
                f"| {limits} | {group.escalation.value} |"
            )
    spec = guardian_tree(paper=True)
    for child in spec.walk():
        if isinstance(child, ChildSpec):
            silent = f"{SILENCE_MS[child.name] / 1000:g} s" if child.name in SERVERS else "see below"
            found.append(
                f"| `{child.name}` | {silent} | {(child.start_timeout_ms or 0) / 1000:g} s "
                f"| {(child.shutdown_timeout_ms or 0) / 1000:g} s |"
            )
    often = f"more than {spec.intensity.max_restarts} in {spec.intensity.period_ms / 1000:g} s"
    default, patience, limits_ = Backoff(), remedy.Patience(), appetite.Limits()
    found += [
        f"| shutdown of an actor, then it is killed | {SHUTDOWN_MS / 1000:g} s |",
        f"| Ready for so long is stable | {STABLE_MS / 1000:g} s |",
        f"| wait before a restart, from the second on | {default.floor_ms / 1000:g} to {default.cap_ms / 1000:g} s |",
        f"| restarts of the guardian's own children | {often} |",
        f"| a server is asked every | {server_watch.ASK_EVERY_S:g} s |",
        f"| a complaint lasts so long before a restart | {patience.lasting_ms / 1000:g} s |",
        f"| and the next restart for one waits | {patience.again_ms / 1000:g} s |",
        f"| a root that does not answer is killed after | {ray_stack.ROOT_HANGS_S:g} s |",
        f"| and Ray is started again without one after | {ray_stack.ROOT_AWAY_S:g} s |",
        f"| an unhealthy node is started again after | {ray_stack.NODE_UNHEALTHY_S:g} s |",
        f"| an actor is recycled again after, at the earliest | {limits_.again_ms / 1000:g} s |",
        f"| descriptors are warned of from | {limits_.descriptors:.0%} of the limit |",
        f"| descriptors a start needs | {guardian.NEEDED_DESCRIPTORS} |",
    ]
    return found


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_sentence_has_its_test(sentence: str) -> None:
    missing = []
    for proof in SENTENCES[sentence]:
        module, _, name = proof.partition(".")
        if name not in names_of(module):
            missing.append(proof)
    assert missing == []


def test_the_page_has_every_sentence_and_no_other() -> None:
    text = PAGE.read_text()
    section = text.split("## What a supervisor does", 1)[1].split("\n## ", 1)[0]
    said = [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]
    assert said == list(SENTENCES)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert [row for row in rows() if row not in text] == []
    assert backoff.delay_ms(Backoff(), "any", 0) == 0
    assert Intensity() == Intensity(1, 5_000)
