"""The command by itself: durations, plans, lines, errors and their exit codes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli import doctor
from ops.cli.output import age_text, money, seconds_text
from ops.cli.plan import Flags, make_plan, parse_duration
from ops.cli.summary import summary_of
from ops.cli.up import fill_order, line_of
from ops.cli.verbs import app
from ops.cli.view import status_dict, trading_state
from protos import control_pb2 as pb
from protos import system_pb2, trading_pb2
from supervisors.state import Stage, StateFile
from titan.access import SERVICES
from titan.errors import ConfigError, Rejected
from titan.runtime import DEFAULT_PORTS, VenueAddress
from titan.settings import Settings, load_settings
from titan.testing import runtime_for_tests

NONE = Path("/nonexistent/.env")


def settings(**values: str) -> Settings:
    return load_settings({"TITAN_PORTS": "auto", **values}, NONE)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("120s", 120), ("5m", 300), ("1.5h", 5400), ("1d", 86_400)])
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "5 weeks"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        parse_duration(text)


def test_the_address_of_the_traces_is_in_the_plan(tmp_path: Path) -> None:
    url = "http://127.0.0.1:4318/v1/traces"
    assert make_plan(settings(TITAN_TRACES_URL=url), Flags(tmp_path, feed="synthetic:7")).traces_url == url


def test_a_plan_names_the_feeds_symbols_and_keeps_its_secrets_between_starts(tmp_path: Path) -> None:
    first = make_plan(settings(), Flags(tmp_path, feed="synthetic:7"))
    again = make_plan(settings(), Flags(tmp_path, feed="synthetic:7"))
    assert first.symbols == ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
    assert first.speed == 60
    assert first.auto_arm
    assert first.hmac_key == again.hmac_key
    assert first.traces_url == ""
    assert len({first.api_tokens.observer, first.api_tokens.operator, first.api_tokens.risk_owner}) == 3
    assert set(first.ports) == set(DEFAULT_PORTS)
    assert stat.S_IMODE(first.save().stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"feed": "replay:/nonexistent"}, "/nonexistent"),
        ({"feed": "synthetic:abc"}, "abc"),
        ({"feed": "synthetic:1", "speed": -1.0}, "speed -1"),
        ({"feed": "synthetic:1", "symbols": "NOPE/USDT:USDT"}, "NOPE"),
        ({"profile": "demo"}, "unknown profile 'demo'"),
    ],
)
def test_a_plan_that_can_not_be_is_refused_with_what_was_seen(
    tmp_path: Path, flags: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_plan(settings(), Flags(tmp_path, **flags))  # type: ignore[arg-type]


def test_live_trading_needs_its_confirmation_and_then_its_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(Rejected, match="LIVE_NOT_CONFIRMED"):
        make_plan(settings(), Flags(tmp_path, profile="live"))
    confirmed = {"TITAN_LIVE_CONFIRM": "yes-trade-real-money"}
    with pytest.raises(ConfigError, match="HMAC_SECRET is empty"):
        make_plan(settings(**confirmed), Flags(tmp_path, profile="live"))
    with pytest.raises(ConfigError, match="TITAN_DB_URL and NATS_URL"):
        make_plan(settings(**confirmed, HMAC_SECRET="s"), Flags(tmp_path, profile="live"))
    addresses = {
        "TITAN_DB_URL": "postgresql://titan@db/titan",
        "NATS_URL": "nats://bus:4222",
        "TITAN_DB_PASSWORD": "p/w",
    }
    with pytest.raises(ConfigError, match="BYBIT_API_KEY"):
        make_plan(settings(**confirmed, **addresses, HMAC_SECRET="s"), Flags(tmp_path, profile="live"))
    keys = {"BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "s"}
    with pytest.raises(ConfigError, match=r"set NATS_BRAIN_PASSWORD, .*NATS_SCAVENGER_PASSWORD, or NATS_USER"):
        make_plan(settings(**confirmed, **addresses, **keys, HMAC_SECRET="s"), Flags(tmp_path, profile="live"))
    logins = {f"NATS_{name.upper()}_PASSWORD": f"secret-{name}" for name in SERVICES}
    every = settings(**confirmed, **addresses, **keys, **logins, HMAC_SECRET="s")
    plan = make_plan(every, Flags(tmp_path, profile="live"))
    assert (tmp_path / "run" / "secrets" / "nats_brain").read_text() == "secret-brain\n"
    assert not plan.auto_arm
    assert plan.external is not None
    assert plan.external.postgres_dsn == "postgresql://titan:p%2Fw@db/titan"


def test_a_second_key_needs_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HMAC_KEY_ID_NEXT"):
        make_plan(settings(HMAC_SECRET_NEXT="x"), Flags(tmp_path, feed="synthetic:1"))
    with pytest.raises(ConfigError, match="two live keys need two names"):
        make_plan(settings(HMAC_SECRET_NEXT="x", HMAC_KEY_ID_NEXT="default"), Flags(tmp_path, feed="synthetic:1"))


def event(kind: str, **body: object) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(type=f"titan.v1.{kind}", json=json.dumps(body), ts_ms=3_600_000)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            event("Decision", approved=True, side="SIDE_BUY", symbol="X", authorized_size_usd="5", trap_type="T"),
            "approved",
        ),
        (event("Decision", code="DISARMED", side="SIDE_SELL", symbol="X"), "vetoed DISARMED"),
        (event("Fill", side="SIDE_BUY", quantity="1", symbol="X", price="2", role="ORDER_ROLE_STOP"), "(stop)"),
        (event("Reject", code="SLIPPAGE", detail="too far"), "SLIPPAGE: too far"),
        (event("TradingStateChanged", current="TRADING_STATE_HALTED", reason="drill"), "HALTED: drill"),
        (event("ActorRestarted", name="brain", reason="killed", recovery_s=0.5), "brain: killed (back after 0.50 s)"),
        (event("Alert", severity="WARNING", code="C", message="m"), "WARNING C: m"),
    ],
)
def test_every_event_has_its_line(told: pb.WatchEventsResponse, words: str) -> None:
    assert line_of(told).startswith("01:00:00 ")
    assert words in line_of(told)


def test_only_a_fill_belongs_to_an_order() -> None:
    assert fill_order(event("Fill", client_order_id="tt1")) == "tt1"
    assert fill_order(event("Decision")) == ""


def a_status() -> pb.GetStatusResponse:
    return pb.GetStatusResponse(
        feed="synthetic:1",
        trading_state=trading_pb2.TRADING_STATE_ACTIVE,
        actors=[system_pb2.ActorStatus(name="brain", state=system_pb2.ACTOR_STATE_READY, pid=7, restarts=2, cpus=[0])],
        counters=pb.Counters(fills=3, fees_usd="1.5"),
        positions=[trading_pb2.Position(symbol="X", quantity="1"), trading_pb2.Position(symbol="Y", quantity="0")],
    )


def test_the_status_object_has_the_keys_scripts_rely_on() -> None:
    shown = status_dict(a_status())
    assert {"profile", "feed", "trading_state", "policy_hash", "equity_usd", "actors", "streams", "backlog"} <= set(
        shown
    )
    assert shown["trading_state"] == "ACTIVE"
    actors = shown["actors"]
    assert isinstance(actors, list)
    assert {"name", "pid", "node", "state", "restarts", "intensity_left", "heartbeat_age_s", "cpus"} <= set(actors[0])
    assert trading_state(pb.GetStatusResponse()) == "UNKNOWN"


def test_a_summary_without_a_truth_is_never_clean() -> None:
    summary = summary_of(a_status(), None, 1.0, "duration")
    truth = summary["truth"]
    assert isinstance(truth, dict)
    assert truth["complete"] is False
    assert summary["restarts"] == {"brain": 2}
    assert summary["positions"] == [{"symbol": "X", "quantity": "1", "stop_price": ""}]


def test_ages_and_money_are_written_for_people() -> None:
    assert age_text(0) == "never"
    assert age_text(1000, 1500) == "500 ms"
    assert [seconds_text(each) for each in (0.5, 5, 600, 10_000)] == ["500 ms", "5.0 s", "10 min", "2.8 h"]
    assert money("1234.5") == "1,234.50"
    assert money("") == "-"


def test_init_writes_a_private_file_that_loads(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    done = CliRunner().invoke(app, ["init", "--yes", "--file", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_settings({}, path).profile == "paper"
    again = CliRunner().invoke(app, ["init", "--yes", "--file", str(path)])
    assert isinstance(again.exception, ConfigError)


def test_policy_hash_is_the_documented_one() -> None:
    done = CliRunner().invoke(app, ["policy", "hash", "--json"])
    assert json.loads(done.output)["hash"] == "7ff820b56b12d89d64dcb78a261a8062087cde3bc3d47e03e11037a4de354a7d"


def test_doctor_reports_each_check_as_a_row(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json", "--home", str(tmp_path)])
    rows = json.loads(done.output.strip().splitlines()[-1])["checks"]
    assert {"python", "settings", "policy", "disk", "ray", "titan"} <= {row["name"] for row in rows}
    assert all(row["verdict"] in ("ok", "warn", "fail", "skip") for row in rows)
    assert all(row["fix"] for row in rows if row["verdict"] == "fail")


def test_doctor_skips_what_needs_a_running_titan_after_a_run_has_ended(tmp_path: Path) -> None:
    runtime_for_tests(tmp_path, nats_url="", venues=(VenueAddress(name="bybit", rest_url="http://127.0.0.1:9"),))
    rows = {check.name: check for check in doctor.checks(tmp_path)}
    assert {rows[name].verdict for name in ("venue", "titan")} == {"skip"}
    assert not any("held by the running Titan" in check.seen for check in rows.values())


def test_doctor_asks_the_run_of_a_living_guardian(tmp_path: Path) -> None:
    runtime_for_tests(tmp_path, nats_url="", venues=(VenueAddress(name="bybit", rest_url="http://127.0.0.1:9"),))
    StateFile(tmp_path / "run").say(Stage.UP, "up")
    rows = {check.name: check for check in doctor.checks(tmp_path)}
    assert {rows[name].verdict for name in ("venue", "titan")} == {"fail"}


@pytest.mark.parametrize("said", [True, False])
def test_the_fast_lane_of_the_plan_is_as_it_was_said(tmp_path: Path, said: bool) -> None:
    plan = make_plan(settings(TITAN_FAST_LANE=str(said).lower()), Flags(tmp_path, feed="synthetic:1"))
    assert plan.fast_lane is said
