"""Logs are JSON lines that name their actor and what they belong to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from titan.logs import configure, correlate, get_logger


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_json_with_its_actor_level_time_and_correlation(tmp_path: Path) -> None:
    log = configure("brain", tmp_path / "logs")
    correlate("signal-1")
    log.info("decided", code="OK")
    correlate("")
    log.warning("alone")
    first, second = lines_of(tmp_path / "logs" / "brain.jsonl")
    assert {key: first[key] for key in ("actor", "event", "level", "code", "correlation_id")} == {
        "actor": "brain",
        "event": "decided",
        "level": "info",
        "code": "OK",
        "correlation_id": "signal-1",
    }
    assert first["ts"]
    assert "correlation_id" not in second


def test_a_level_below_the_asked_one_is_not_kept_and_a_failure_keeps_its_trace(tmp_path: Path) -> None:
    configure("router", tmp_path, "WARNING")
    log = get_logger("router")
    log.info("quiet")
    try:
        raise ValueError("seen")
    except ValueError:
        log.exception("loud")
    (line,) = lines_of(tmp_path / "router.jsonl")
    assert line["event"] == "loud"
    assert "ValueError: seen" in str(line["exception"])
