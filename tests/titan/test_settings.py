"""Settings: what is known is read, what is not is an error with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from titan.errors import ConfigError, ExitCode
from titan.settings import known_names, load_settings, read_env_file, setting_docs

NONE = Path("/nonexistent/.env")


def test_defaults_are_the_paper_profile() -> None:
    settings = load_settings({}, NONE)
    assert settings.profile == "paper"
    assert settings.feed == "auto"
    assert settings.router_cpu == "auto"


def test_an_unknown_name_is_an_error_with_the_nearest_known_one() -> None:
    with pytest.raises(
        ConfigError, match="unknown setting TITAN_SPEEED; the nearest known one is TITAN_SPEED"
    ) as caught:
        load_settings({"TITAN_SPEEED": "2"}, NONE)
    assert caught.value.exit_code is ExitCode.BAD_CONFIG


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TITAN_SPEED", "-1", "outside 0..1000"),
        ("TITAN_SPEED", "fast", "TITAN_SPEED='fast'"),
        ("TITAN_ROUTER_CPU", "first", "neither auto, off nor a core number"),
        ("TITAN_PROFILE", "demo", "TITAN_PROFILE='demo'"),
    ],
)
def test_a_bad_value_is_named_with_what_is_wrong(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_settings({name: value}, NONE)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# comment\nTITAN_SPEED=5\nexport TITAN_FEED='synthetic:3'\n")
    settings = load_settings({"TITAN_SPEED": "7"}, path)
    assert settings.speed == 7
    assert settings.feed == "synthetic:3"


def test_a_secret_may_come_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "hmac"
    secret.write_text("very-secret\n")
    settings = load_settings({"HMAC_SECRET_FILE": str(secret)}, NONE)
    assert settings.hmac_secret.get_secret_value() == "very-secret"
    assert "very-secret" not in repr(settings)


def test_a_secret_file_that_can_not_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match="HMAC_SECRET_FILE names /nonexistent/x"):
        load_settings({"HMAC_SECRET_FILE": "/nonexistent/x"}, NONE)


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("TITAN_SPEED=1\nnonsense here\n")
    with pytest.raises(ConfigError, match="line 2: expected NAME=VALUE"):
        read_env_file(path)


def test_every_setting_is_documented_once() -> None:
    docs = setting_docs()
    assert [row.name for row in docs] == known_names()
    assert all(row.text for row in docs)
    assert len(set(known_names())) == len(docs)
