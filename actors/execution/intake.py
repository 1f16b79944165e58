"""The durable consumers: which events the books take from the bus, and how each becomes news.

Guarantees: the filters are disjoint, so no event comes twice by two ways; an event is acknowledged only after its rows
are committed. Never: an event that is not in the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from actors.execution import news
from actors.execution.scribe import Scribe
from protos import brain_pb2, system_pb2
from protos import trading_pb2 as pb
from titan import subjects
from titan.bus import Bus, Received
from titan.errors import Transient
from titan.logs import Log
from titan.phrases import lines_of

EVENTS = "TITAN_EVT"
# Held back for less than the stream's patience of 30 s, so that a database that is away pauses the consumers instead of
# sending the same messages round and round.
HOLD_S = 20.0
RETRY_S = 0.5

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Feed:
    """One durable: its filter, its message type, and the translation of a message and its envelope id."""

    durable: str
    subject: str
    kind: type[Message]
    translate: Callable[[Any, str], news.News]


FEEDS = (
    Feed("EXECUTION_ORDERS", subjects.ORDER_EVENT, pb.OrderEvent, lambda message, _: news.order_news(message)),
    Feed("EXECUTION_FILLS", subjects.FILL_ALL, pb.Fill, lambda message, _: news.fill_news(message)),
    Feed("EXECUTION_REJECTS", subjects.REJECT, pb.Reject, news.reject_news),
    Feed("EXECUTION_TRADING_STATE", subjects.TRADING_STATE, pb.TradingStateChanged, news.trading_state_news),
    Feed("EXECUTION_DECISIONS", subjects.DECISION, brain_pb2.Decision, lambda message, _: news.decision_news(message)),
    Feed("EXECUTION_ALERTS", subjects.ALERT, system_pb2.Alert, news.alert_news),
    Feed("EXECUTION_RESTARTS", subjects.ACTOR_RESTARTED, system_pb2.ActorRestarted, news.restart_news),
    Feed("EXECUTION_OPERATORS", subjects.OPERATOR_ACTED, pb.OperatorActed, news.operator_news),
)


async def consume_all(bus: Bus, scribe: Scribe, advance: Callable[[], None], log: Log) -> None:
    """Starts every consumer; each runs until the bus closes."""
    for feed in FEEDS:
        await bus.consume(
            EVENTS, feed.durable, feed.subject, feed.kind, _handler(feed, scribe, advance, log), concurrent=True
        )


def _handler(feed: Feed, scribe: Scribe, advance: Callable[[], None], log: Log) -> Callable[[Received[Message]], Any]:
    async def handle(received: Received[Message]) -> None:
        told = (feed.translate(received.message, received.envelope.id),)
        patience_s = HOLD_S
        while True:
            try:
                await scribe.book(told)
                break
            except Transient as error:
                wait_s = error.retry_after_s or RETRY_S
                patience_s -= wait_s
                if patience_s < 0:
                    raise
                await asyncio.sleep(wait_s)
        for line in lines_of(received.message):
            log.warning(line.phrase.value, **line.fields)
        advance()

    return handle
