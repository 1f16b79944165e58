"""The journal of a world: the same in memory and in a real file, torn by a power loss, and never silently damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.campaign import policy
from simulation.filing import FileJournal
from simulation.journal import DiskFull, JournalHeld, MemoryJournal
from simulation.plan import Fault, make_plan
from simulation.world import World
from titan.journal import Row


def row(seq: int) -> Row:
    return Row(seq, "order", f'{{"n":{seq}}}'.encode(), seq)


@pytest.fixture
def journal() -> MemoryJournal:
    made = MemoryJournal(lambda _row: None)
    made.open("me")
    return made


def test_an_append_is_lost_whole_or_not_at_all(journal: MemoryJournal) -> None:
    journal.append("me", [row(1)])
    journal.sync()
    journal.append("me", [row(2), row(3)])
    journal.append("me", [row(4), row(5)])
    assert journal.lose_power(keep=3) == 2
    assert journal.last_seq == 3
    assert journal.lose_power(keep=0) == 2
    assert (journal.last_seq, journal.verify()) == (1, "")


def test_what_is_synced_survives_a_power_loss(journal: MemoryJournal) -> None:
    journal.append("me", [row(1), row(2)])
    journal.sync()
    assert journal.lose_power(keep=0) == 0


def test_a_flipped_bit_is_found_and_stops_the_next_open(journal: MemoryJournal) -> None:
    journal.append("me", [row(1), row(2)])
    journal.flip_bit(0)
    assert "row 1 (order) does not match its hash" in journal.verify()
    journal.release("me")
    with pytest.raises(ValueError, match="row 1"):
        journal.open("you")


def test_one_process_holds_it_and_every_open_is_a_later_term(journal: MemoryJournal) -> None:
    with pytest.raises(JournalHeld):
        journal.open("you")
    journal.release("me")
    assert journal.open("you") == 2
    with pytest.raises(JournalHeld):
        journal.append("me", [row(1)])


def test_a_full_disk_takes_nothing(journal: MemoryJournal) -> None:
    journal.full = True
    with pytest.raises(DiskFull):
        journal.append("me", [row(1)])
    assert journal.last_seq == 0


def one_disk(seed: int) -> bool:
    """Whether the world keeps its journal on one disk, and the disk what it was given."""
    plan = make_plan(seed, 200)
    return not plan.apart and not any(act.kind is Fault.POWER for act in plan.acts)


@pytest.mark.parametrize("seed", [seed for seed in range(12) if one_disk(seed)][:3])
def test_a_world_on_a_real_journal_file_is_the_world_in_memory(seed: int, tmp_path: Path) -> None:
    plan = make_plan(seed, 200)
    world = World(plan, policy())
    world.journal = FileJournal(tmp_path / "journal.db", world.checks.row)
    in_memory, in_file = World(plan, policy()).run(), world.run()
    world.journal.release(world.router)
    assert in_file == in_memory
