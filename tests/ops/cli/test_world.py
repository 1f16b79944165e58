"""Which account a start trades."""

from __future__ import annotations

from pathlib import Path

import pytest

import ops.cli.up
from ops.cli.world import KEPT_ARCHIVES, mark_ended, prepare, read_world
from supervisors.launch import LaunchPlan
from supervisors.state import GuardianState, Stage
from titan.clock import ANCHOR_FILE
from titan.errors import ConfigError
from titan.runtime import ApiTokens, HmacKey
from titan.servers.identity import own_id


def plan(home: Path, feed: str = "synthetic:1") -> LaunchPlan:
    return LaunchPlan(
        home=home,
        feed=feed,
        speed=60,
        ports={},
        hmac_key=HmacKey(key_id="k", secret="s"),
        api_tokens=ApiTokens(),
        policy_path=home / "policy.json",
    )


def leave_state(home: Path) -> None:
    for name in ("journal", "data/paper", "run"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "journal" / "titan_execution.db").write_text("rows")
    (home / "data" / "paper" / "ledger.db").write_text("ledger")
    (home / "run" / ANCHOR_FILE).write_text("{}")


def test_a_first_start_has_nothing_to_say(tmp_path: Path) -> None:
    assert prepare(plan(tmp_path), resume=False) == ""
    world = read_world(tmp_path)
    assert world is not None
    assert not world.ended


def test_a_synthetic_market_begins_anew_and_keeps_the_last_account_aside(tmp_path: Path) -> None:
    prepare(plan(tmp_path), resume=False)
    leave_state(tmp_path)
    mark_ended(tmp_path)
    assert "new paper account" in prepare(plan(tmp_path), resume=False)
    assert not (tmp_path / "journal").exists()
    assert not (tmp_path / "run" / ANCHOR_FILE).exists()
    archived = next((tmp_path / "archive").iterdir())
    assert (archived / "data" / "paper" / "ledger.db").read_text() == "ledger"


@pytest.mark.parametrize("keep_servers", [True, False])
def test_an_account_whose_servers_were_kept_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_servers: bool
) -> None:
    prepare(plan(tmp_path), resume=False)
    leave_state(tmp_path)
    monkeypatch.setattr(ops.cli.up, "read_state", lambda _: GuardianState(own_id(), Stage.UP))
    monkeypatch.setattr(ops.cli.up, "stop", lambda *_, keep_servers: None)
    ops.cli.up.down(keep_servers=keep_servers, home=tmp_path)
    sentence = prepare(plan(tmp_path), resume=False)
    assert ("going on" in sentence) == keep_servers
    assert (tmp_path / "journal" / "titan_execution.db").exists() == keep_servers


def test_a_killed_run_goes_on_with_its_account(tmp_path: Path) -> None:
    prepare(plan(tmp_path), resume=False)
    leave_state(tmp_path)
    assert "did not end in order" in prepare(plan(tmp_path), resume=False)
    assert (tmp_path / "journal" / "titan_execution.db").exists()


def test_resume_goes_on_with_an_account_that_ended(tmp_path: Path) -> None:
    prepare(plan(tmp_path), resume=False)
    leave_state(tmp_path)
    mark_ended(tmp_path)
    assert prepare(plan(tmp_path), resume=True) == "going on with the last account"
    assert (tmp_path / "journal" / "titan_execution.db").exists()


def test_a_live_feed_always_goes_on(tmp_path: Path) -> None:
    prepare(plan(tmp_path, "live"), resume=False)
    leave_state(tmp_path)
    mark_ended(tmp_path)
    assert "going on" in prepare(plan(tmp_path, "live"), resume=False)


def test_another_feed_is_refused_while_a_killed_run_may_hold_positions(tmp_path: Path) -> None:
    prepare(plan(tmp_path), resume=False)
    with pytest.raises(ConfigError, match="start it again with --feed synthetic:1"):
        prepare(plan(tmp_path, "synthetic:2"), resume=False)


@pytest.mark.parametrize("ended", [True, False])
def test_resume_of_what_is_not_there_is_refused(tmp_path: Path, ended: bool) -> None:
    if ended:
        prepare(plan(tmp_path), resume=False)
        mark_ended(tmp_path)
    with pytest.raises(ConfigError, match="--resume"):
        prepare(plan(tmp_path, "synthetic:9"), resume=True)


def test_a_linked_data_directory_moves_with_its_content(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "PG_VERSION").write_text("18")
    prepare(plan(home), resume=False)
    (home / "data").mkdir()
    (home / "data" / "postgres").symlink_to(elsewhere)
    mark_ended(home)
    prepare(plan(home), resume=False)
    assert not elsewhere.exists()
    archived = next((home / "archive").iterdir())
    assert (archived / "data" / "postgres" / "PG_VERSION").read_text() == "18"


def test_only_the_newest_archives_are_kept(tmp_path: Path) -> None:
    for _ in range(KEPT_ARCHIVES + 3):
        prepare(plan(tmp_path), resume=False)
        leave_state(tmp_path)
        mark_ended(tmp_path)
    assert len(list((tmp_path / "archive").iterdir())) == KEPT_ARCHIVES
