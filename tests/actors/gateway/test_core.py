"""The read model: the last word of every part, with its age, and nothing invented."""

from __future__ import annotations

from actors.gateway.core import LedgerCounters, ReadModel, events_total
from protos import brain_pb2, control_pb2, market_pb2, system_pb2, trading_pb2
from titan.clock import Now

NOW = Now(market_ms=60_000, wall_ms=10_000)
FRAME = control_pb2.GetStatusResponse(profile="paper", feed="synthetic:1", speed=60)


def test_before_anybody_spoke_nothing_is_claimed() -> None:
    status = ReadModel().status(NOW, FRAME)
    assert status.feed == "synthetic:1"
    assert status.trading_state == trading_pb2.TRADING_STATE_UNSPECIFIED
    assert status.router_state_age_s == -1
    assert not status.HasField("equity")
    assert not status.HasField("truth")
    assert list(status.actors) == []


def test_the_routers_word_is_shown_with_its_age() -> None:
    model = ReadModel()
    word = trading_pb2.RouterState(
        trading_state=trading_pb2.TRADING_STATE_ACTIVE,
        reason="armed",
        policy_hash="abc",
        equity=trading_pb2.Equity(equity="100"),
        positions=[trading_pb2.Position(symbol="BTC/USDT:USDT", quantity="1")],
        affinity={"loop": "1"},
    )
    model.apply("s", word, NOW)
    status = model.status(Now(0, NOW.wall_ms + 2500), FRAME)
    assert status.trading_state == trading_pb2.TRADING_STATE_ACTIVE
    assert status.router_state_age_s == 2.5
    assert status.equity.equity == "100"
    assert status.positions[0].symbol == "BTC/USDT:USDT"
    assert dict(status.router_affinity) == {"loop": "1"}


def test_ages_of_actors_and_streams_grow_while_nobody_speaks() -> None:
    model = ReadModel()
    snapshot = system_pb2.ActorsSnapshot(
        actors=[system_pb2.ActorStatus(name="brain", heartbeat_age_s=0.5)], ts_ms=NOW.wall_ms
    )
    venue = market_pb2.VenueStatus(
        venue="bybit", streams=[market_pb2.StreamAge(symbol="BTC/USDT:USDT", kind="trades", age_ms=100)]
    )
    model.apply("s", snapshot, NOW)
    model.apply("s", venue, NOW)
    status = model.status(Now(0, NOW.wall_ms + 4000), FRAME)
    assert status.actors[0].heartbeat_age_s == 4.5
    assert status.streams[0].age_s == 4.1


def test_servers_are_shown_with_an_age_that_grows() -> None:
    model = ReadModel()
    rows = [
        system_pb2.ServerStatus(name="nats", answer_age_s=0.5),
        system_pb2.ServerStatus(name="ray", answer_age_s=-1.0),
    ]
    model.apply("s", system_pb2.ActorsSnapshot(servers=rows, ts_ms=1_000), Now(1_000, 1_000))
    status = model.status(Now(3_000, 3_000), control_pb2.GetStatusResponse())
    assert [(row.name, row.answer_age_s) for row in status.servers] == [("nats", 2.5), ("ray", -1.0)]


def test_an_actor_that_was_never_heard_gets_no_age() -> None:
    model = ReadModel()
    unheard = system_pb2.ActorStatus(name="brain", heartbeat_age_s=-1)
    model.apply("s", system_pb2.ActorsSnapshot(actors=[unheard], ts_ms=NOW.wall_ms), NOW)
    assert model.status(Now(0, NOW.wall_ms + 400), FRAME).actors[0].heartbeat_age_s == -1


def test_counters_are_the_ledgers() -> None:
    model = ReadModel()
    model.counters = LedgerCounters({"APPROVED": 3, "DISARMED": 2}, 3, 7, 1, "1.5", "-2", 1)
    counters = model.status(NOW, FRAME).counters
    assert (counters.signals, counters.approved, dict(counters.rejected)) == (5, 3, {"DISARMED": 2})
    assert (counters.orders, counters.fills, counters.round_trips) == (3, 7, 1)
    assert (counters.fees_usd, counters.pnl_usd) == ("1.5", "-2")


def test_events_in_goes_on_counting_when_market_data_restarts() -> None:
    model = ReadModel()
    for total in (10, 50, 5, 20):
        model.apply_events_in(total)
    assert model.events_in == 70


def test_the_market_events_of_an_exposition_are_summed_over_labels() -> None:
    text = (
        "# TYPE titan_market_events counter\n"
        'titan_market_events_total{kind="trades"} 5.0\n'
        'titan_market_events_total{kind="ticker"} 2.0\n'
        "# TYPE other gauge\nother 9\n"
    )
    assert events_total(text) == 7


def test_two_policy_hashes_are_both_shown() -> None:
    model = ReadModel()
    model.apply("s", trading_pb2.RouterState(policy_hash="one"), NOW)
    model.apply("s", brain_pb2.Budget(policy_hash="two"), NOW)
    status = model.status(NOW, FRAME)
    assert (status.policy_hash, status.brain_policy_hash) == ("one", "two")


def test_what_matters_to_people_is_kept_in_order() -> None:
    model = ReadModel()
    fill, alert = trading_pb2.Fill(fill_id="1"), system_pb2.Alert(code="X")
    model.apply("f", fill, NOW)
    model.apply("a", alert, NOW)
    model.apply("t", trading_pb2.Truth(truth_id="t"), NOW)
    model.apply("o", trading_pb2.OrderEvent(), NOW)
    assert [subject for subject, _ in model.recent] == ["f", "a", "t"]
    assert model.status(NOW, FRAME).truth.truth_id == "t"


def test_a_change_of_state_shows_before_the_routers_next_word() -> None:
    model = ReadModel()
    model.apply("s", trading_pb2.RouterState(trading_state=trading_pb2.TRADING_STATE_HALTED, journal_seq=5), NOW)
    old = trading_pb2.TradingStateChanged(current=trading_pb2.TRADING_STATE_ACTIVE, journal_seq=4)
    new = trading_pb2.TradingStateChanged(current=trading_pb2.TRADING_STATE_DISARMED, reason="resumed", journal_seq=6)
    model.apply("t", old, NOW)
    assert model.status(NOW, FRAME).trading_state == trading_pb2.TRADING_STATE_HALTED
    model.apply("t", new, NOW)
    status = model.status(NOW, FRAME)
    assert (status.trading_state, status.trading_reason) == (trading_pb2.TRADING_STATE_DISARMED, "resumed")


def test_a_router_that_leads_no_more_is_not_heard() -> None:
    model = ReadModel()
    halted, active = trading_pb2.TRADING_STATE_HALTED, trading_pb2.TRADING_STATE_ACTIVE
    model.apply("s", trading_pb2.RouterState(trading_state=halted, journal_seq=5, term=2), NOW)
    model.apply("s", trading_pb2.RouterState(trading_state=active, journal_seq=9, term=1), NOW)
    model.apply("t", trading_pb2.TradingStateChanged(current=active, journal_seq=9, term=1), NOW)
    assert model.status(NOW, FRAME).trading_state == halted


def budget(state: brain_pb2.BudgetState.ValueType, reason: str = "", policy_hash: str = "ours") -> brain_pb2.Budget:
    return brain_pb2.Budget(
        phase=trading_pb2.PHASE_SCAVENGER,
        state=state,
        reason=reason,
        policy_hash=policy_hash,
        expires_at_ms=NOW.wall_ms + 1000,
    )


def test_the_brains_policy_is_known_without_any_decision() -> None:
    model = ReadModel()
    model.apply("s", budget(brain_pb2.BUDGET_STATE_CLOSE_ONLY, "policy hash mismatch", "theirs"), NOW)
    status = model.status(NOW, FRAME)
    assert (status.brain_policy_hash, status.openings_held) == ("theirs", "policy hash mismatch")


def test_nothing_is_held_while_a_phase_may_open() -> None:
    model = ReadModel()
    model.apply("s", budget(brain_pb2.BUDGET_STATE_THROTTLED, "rejects 12% > 10%"), NOW)
    assert model.status(NOW, FRAME).openings_held == ""


def test_a_brain_that_fell_silent_holds_openings() -> None:
    model = ReadModel()
    model.apply("s", budget(brain_pb2.BUDGET_STATE_ACTIVE), NOW)
    status = model.status(Now(0, NOW.wall_ms + 1001), FRAME)
    assert status.openings_held == "the brain is silent, its last budgets have ended"
