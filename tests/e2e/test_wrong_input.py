"""Wrong input gives one clear error, the right exit code, and leaves nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.running import ROOT, TITAN, environment, processes_of, titan
from tests.waiting import eventually

pytestmark = pytest.mark.e2e


def refused(home: Path, *arguments: str, code: int = 4, env: dict[str, str] | None = None) -> str:
    """Runs a command that must fail with one error sentence and leave nothing; returns the sentence."""
    done = titan(home, *arguments, env=env)
    assert done.returncode == code, done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not processes_of(home)
    return lines[0]


def test_an_unknown_setting_names_the_nearest_known_one(home: Path) -> None:
    sentence = refused(home, "up", env={"TITAN_ROUTER_CPUU": "1"})
    assert "unknown setting TITAN_ROUTER_CPUU; the nearest known one is TITAN_ROUTER_CPU" in sentence


def test_a_feed_that_is_not_there_is_named(home: Path) -> None:
    assert "/nonexistent/trades.parquet" in refused(home, "up", "--feed", "replay:/nonexistent/trades.parquet")


def test_an_unknown_feed_lists_the_known_kinds(home: Path) -> None:
    assert "synthetic" in refused(home, "up", "--feed", "magic:8")


def test_bad_columns_are_named_with_the_needed_ones(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"when": [1], "what": [2.0]}), path)
    sentence = refused(home, "up", "--feed", f"replay:{path}")
    assert "when" in sentence
    assert "ts_ms" in sentence


@pytest.mark.parametrize("duration", ["soon", "-5s", "0"])
def test_a_duration_that_is_none_is_named(home: Path, duration: str) -> None:
    assert duration in refused(home, "up", f"--for={duration}")


def test_a_taken_port_is_named_with_its_holder(home: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        # Any documented port will do; the gateway's is asked for by a port file of the home.
        port = 50051
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen()
            except OSError:
                pass  # somebody else holds it already, which serves as well
            sentence = refused(home, "up", "--feed", "synthetic:1", env={"TITAN_PORTS": "default"})
    assert "port " in sentence
    assert "held by" in sentence


def test_live_mode_needs_its_confirmation(home: Path) -> None:
    assert "TITAN_LIVE_CONFIRM" in refused(home, "up", "--profile", "live", code=6)


def test_commands_say_that_nothing_runs(home: Path) -> None:
    for verb in (("status",), ("down",), ("positions",), ("disarm", "x")):
        assert "titan up" in refused(home, *verb, code=3) or verb == ("down",)


def test_an_unknown_verb_and_option_are_bad_arguments(home: Path) -> None:
    assert titan(home, "explode").returncode == 4
    assert titan(home, "status", "--nonsense").returncode == 4


@pytest.mark.timeout(120)
@pytest.mark.parametrize("after_s", [0.0, 1.0, 4.0, 8.0])
def test_ctrl_c_during_start_leaves_nothing(home: Path, after_s: float) -> None:
    process = subprocess.Popen(
        [*TITAN, "up", "--feed", "synthetic:1"],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Before its own imports Python has not come to Titan yet, and ends in its own way.
    maps = Path(f"/proc/{process.pid}/maps")
    eventually(lambda: process.poll() is not None or "pydantic_core" in maps.read_text(), "Titan's imports", 60)
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began >= after_s or process.poll() is not None, "the moment of Ctrl-C")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 1, out + err
    assert err.startswith("error: interrupted")
    assert len(err.splitlines()) == 1
    eventually(lambda: not processes_of(home), "every process is gone", 20)


def test_a_halt_recorded_before_a_start_starts_nothing(home: Path) -> None:
    done = titan(home, "up", "--halt", "--json")
    assert done.returncode == 0
    assert (home / "HARD_HALT").exists()
    assert not processes_of(home)
    (home / "HARD_HALT").unlink()
