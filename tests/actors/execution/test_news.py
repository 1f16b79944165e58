"""What the books are told, and the rows that it makes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.execution.news import (
    News,
    OrderNews,
    alert_news,
    decision_news,
    fill_news,
    operator_news,
    order_news,
    plan,
    reject_news,
    restart_news,
    trading_state_news,
)
from protos import brain_pb2, system_pb2
from protos import trading_pb2 as pb
from tests.actors.execution.builders import fill, order
from titan.codec import fill_to_pb, order_to_pb
from titan.model import OrderState

STATES = list(OrderState)
events = st.builds(
    lambda name, state, term, seq: order(name, state, term=term, seq=seq, ts_ms=seq),
    st.sampled_from("abc"),
    st.sampled_from(STATES),
    st.integers(1, 3),
    st.integers(1, 30),
)


@given(st.lists(events, max_size=30, unique_by=lambda each: (each.term, each.seq)), st.randoms(use_true_random=False))
def test_the_same_news_in_any_order_and_twice_make_the_same_rows(news: list[OrderNews], chance: object) -> None:
    heard = news * 2
    chance.shuffle(heard)  # type: ignore[attr-defined]
    batch = plan(heard)
    assert batch == plan(news)
    for kept in batch.orders:
        own = [each for each in news if each.key == kept.key]
        assert kept == max(own, key=lambda each: (each.term, each.seq))
        assert batch.first_seen_ms[kept.key] == min(each.ts_ms for each in own)
    assert len(batch.order_events) == len(news)


def test_fills_come_in_journal_order_once() -> None:
    news: list[News] = [fill(3), fill(1), fill(3), fill(2)]
    assert [each.journal_seq for each in plan(news).fills] == [1, 2, 3]
    assert plan(news).rows == 3


def test_an_order_event_and_a_fill_come_back_from_the_wire_as_they_went() -> None:
    sent = order("a", OrderState.PARTIALLY_FILLED, filled="1", seq=9, term=2)
    assert order_news(order_to_pb(sent.order, journal_seq=9, term=2, ts_ms=5000)).order.filled == 1
    assert fill_news(fill_to_pb(fill(4, fee="0.1", pnl="-2"))) == fill(4, fee="0.1", pnl="-2")


def test_a_decision_keeps_sizes_exact_and_names_plain() -> None:
    told = decision_news(
        brain_pb2.Decision(
            decision_id="d1",
            signal_id="s1",
            phase=pb.PHASE_SCAVENGER,
            side=pb.SIDE_SELL,
            action=pb.SIGNAL_ACTION_OPEN,
            approved=True,
            code="APPROVED",
            requested_size_usd="1000.10",
            authorized_size_usd="999.99",
        )
    )
    assert [told.phase, told.side, told.action] == ["SCAVENGER", "SELL", "OPEN"]
    assert [told.requested_size_usd, told.authorized_size_usd] == [Decimal("1000.10"), Decimal("999.99")]


def test_a_decision_without_an_id_or_with_an_unreadable_size_is_refused() -> None:
    with pytest.raises(ValueError, match="decision_id is empty"):
        decision_news(brain_pb2.Decision())
    with pytest.raises(ValueError, match="not a decimal number"):
        decision_news(brain_pb2.Decision(decision_id="d", requested_size_usd="much"))


def test_a_change_of_trading_state_says_who_and_why() -> None:
    changed = pb.TradingStateChanged(
        previous=pb.TRADING_STATE_ACTIVE,
        current=pb.TRADING_STATE_HALTED,
        reason="loss",
        operator_id="anna",
        ts_ms=4,
        journal_seq=12,
    )
    act = trading_state_news(changed, "e1")
    assert [act.event_id, act.kind, act.actor, act.summary] == [
        "e1",
        "TRADING_STATE",
        "anna",
        "ACTIVE -> HALTED: loss",
    ]
    assert act.detail["journal_seq"] == "12"
    with pytest.raises(ValueError, match="trading state"):
        trading_state_news(pb.TradingStateChanged(), "e2")


def test_refusals_alerts_and_restarts_are_kept_under_their_envelope() -> None:
    refused = reject_news(pb.Reject(intent_id="i", code="DISARMED", detail="not armed", ts_ms=3), "e1")
    assert [refused.reject_id, refused.intent_id, refused.code] == ["e1", "i", "DISARMED"]
    alert = alert_news(system_pb2.Alert(code="X", severity="INFO", source="brain", labels={"a": "b"}), "e2")
    assert [alert.event_id, alert.code, dict(alert.labels)] == ["e2", "X", {"a": "b"}]
    back = restart_news(system_pb2.ActorRestarted(name="brain", reason="killed", recovery_s=0.5), "e3")
    assert [back.event_id, back.actor, back.summary] == ["e3", "brain", "brain is back after 0.500 s: killed"]


def test_an_operators_command_is_kept_with_what_became_of_it() -> None:
    receipt = pb.OperatorReceipt(command_id="c", accepted=False, code="HALT_STANDS", detail="resume first")
    acted = pb.OperatorActed(verb="arm", reason="go", operator_id="grpc:operator", ts_ms=5, receipt=receipt)
    kept = operator_news(acted, "e4")
    assert (kept.kind, kept.actor, kept.summary) == (
        "OPERATOR_COMMAND",
        "grpc:operator",
        "arm (go): refused HALT_STANDS",
    )
    assert kept.detail["command_id"] == "c"
    acted.receipt.accepted = True
    assert operator_news(acted, "e5").summary == "arm (go): done"
