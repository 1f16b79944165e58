"""The requirement rows: all there, each proven by something that exists or waiting for a named part."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.build.lint import CHECKS
from ops.requirements import Row, RowError, broken, load

COUNTS = {"S0": 35, "S1": 26, "S2": 53, "S3": 21, "S4": 20}


def test_every_row_is_there_once() -> None:
    assert [row.id for row in load()] == [f"{part}-{n:02}" for part, last in COUNTS.items() for n in range(1, last + 1)]


def test_every_proof_exists() -> None:
    assert broken(load(), CHECKS) == []


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_a_proof_wins_over_a_wait_and_two_files_add_up(tmp_path: Path) -> None:
    first = 'S0-01 = { proof = ["file:a"] }'
    write(
        tmp_path,
        rows='S0-01 = "It is."',
        a=first,
        b='S0-01 = { proof = ["file:b"] }',
        waiting='S0-01 = { waits = "x" }',
    )
    assert load(tmp_path) == (Row("S0-01", "It is.", ("file:a", "file:b")),)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "S0-01"),
        ("S0-01 = {}", "must be a row"),
        ('S9-01 = { waits = "x" }', "S9-01 must be a row"),
        ('S0-01 = { prof = ["file:a"] }', "must be a row"),
    ],
)
def test_a_row_that_says_nothing_or_is_unknown_is_an_error(tmp_path: Path, said: str, why: str) -> None:
    write(tmp_path, rows='S0-01 = "It is."', some=said)
    with pytest.raises(RowError, match=why):
        load(tmp_path)


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        ("test:t.py::test_b", "no such test"),
        ("test:u.py::test_a", "does not exist"),
        ("lint:nothing", "no such check"),
        ("doc:d.md#never said", "does not say so"),
        ("promise:d.md", "the kind is one of"),
    ],
)
def test_a_proof_that_points_at_nothing_is_named(tmp_path: Path, proof: str, why: str) -> None:
    (tmp_path / "t.py").write_text("def test_a() -> None: ...\n")
    (tmp_path / "d.md").write_text("it is said\n")
    good = Row("S0-01", "", ("test:t.py::test_a", "lint:ruff", "doc:d.md#is said", "file:d.md"))
    assert broken([good], {"ruff"}, tmp_path) == []
    (sentence,) = broken([Row("S0-02", "", (proof,))], {"ruff"}, tmp_path)
    assert sentence.startswith("S0-02")
    assert why in sentence
