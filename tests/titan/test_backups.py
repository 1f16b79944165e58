"""The ages of backups as the running Titan learns of them."""

from __future__ import annotations

import math
from pathlib import Path

from titan.backups import Status, read_status, status_path, write_status


def test_ages_are_of_the_recorded_moments(tmp_path: Path) -> None:
    write_status(tmp_path, Status(journal_ms=1_000, dump_ms=500))
    ages = read_status(tmp_path).ages_s(61_000)
    assert (ages["journal"], ages["dump"]) == (60.0, 60.5)
    assert math.isinf(ages["base"])


def test_what_nobody_recorded_or_can_read_is_never(tmp_path: Path) -> None:
    assert all(math.isinf(age) for age in read_status(tmp_path).ages_s(1).values())
    write_status(tmp_path, Status(journal_ms=1))
    status_path(tmp_path).write_text("{")
    assert read_status(tmp_path) == Status()
