"""Files and folders that only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from titan.errors import ConfigError
from titan.files import private_dir, write_private
from titan.servers import Layout


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_private_file_is_its_owners_alone_even_when_it_replaces_an_open_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode_of(path)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="folder"):
        write_private(path, "text")
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_folder_is_closed_also_when_it_stood_open_before(tmp_path: Path) -> None:
    path = tmp_path / "home" / "run"
    path.mkdir(parents=True)
    path.chmod(0o755)
    assert private_dir(path) == path
    assert mode_of(path) == 0o700
    assert mode_of(private_dir(path / "deep" / "er")) == 0o700


def test_somebody_elses_folder_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    path.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match=f"{path} belongs to user id"):
        private_dir(path)


def test_others_can_not_enter_where_titan_keeps_addresses_keys_and_logs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    layout = Layout.of(tmp_path)
    assert [mode_of(path) for path in (layout.run, layout.secrets, layout.logs)] == [0o700] * 3
