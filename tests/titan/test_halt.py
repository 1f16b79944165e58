"""The hard halt on disk: it stands until somebody takes it away, also when its record is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from titan.halt import clear_halt, halt_path, read_halt, write_halt


def test_a_halt_stands_until_it_is_cleared(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert read_halt(home) is None
    write_halt(home, "odd fills")
    assert read_halt(home) == "odd fills"
    assert clear_halt(home)
    assert read_halt(home) is None
    assert not clear_halt(home)


@pytest.mark.parametrize("record", [b"", b"{", b"[1]", b"{}", b"\xff\xfe\x00"])
def test_a_record_that_can_not_be_read_is_a_halt(tmp_path: Path, record: bytes) -> None:
    halt_path(tmp_path).write_bytes(record)
    assert read_halt(tmp_path) == "unreadable halt record"
