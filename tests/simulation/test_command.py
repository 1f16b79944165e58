"""`titan simulate` as people and scripts use it."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from ops.cli.verbs import app


def simulate(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", "--jobs", "1", "--steps", "60", *arguments])
    return done.exit_code, done.stdout


def test_a_campaign_ends_in_one_json_object() -> None:
    code, told = simulate("--seeds", "3", "--json")
    summary = json.loads(told.splitlines()[-1])
    assert (code, summary["seeds"], summary["violations"], summary["failing_seeds"]) == (0, 3, 0, [])


def test_a_broken_build_is_an_exit_code_and_a_seed_to_replay() -> None:
    code, told = simulate("--first", "2", "--seeds", "1", "--steps", "200", "--defect", "sends-twice", "--json")
    assert (code, json.loads(told.splitlines()[-1])["failing_seeds"]) == (1, [2])


def test_one_seed_can_be_replayed() -> None:
    code, told = simulate("--seed", "11")
    assert code == 0
    assert "violations" in told


def test_an_unknown_defect_is_refused() -> None:
    assert simulate("--defect", "none")[0] != 0
