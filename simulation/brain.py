"""The brain in a simulated process: the real core, or a script that orders what no sane brain would.

Guarantees: the script signs and publishes as the brain does, so the router can't tell them apart. Never: a decision of its
own in the shell around the real core.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from actors.brain.config import BrainConfig
from actors.brain.core import BrainCore
from actors.brain.events import (
    Announce,
    CountDuplicate,
    Effect,
    Event,
    FillSeen,
    PolicyAttested,
    RejectSeen,
    RouterReported,
    Save,
    SignalReceived,
    TickerSeen,
    TimerFired,
    TradingStateSeen,
    TruthSeen,
)
from actors.router.conditions import STOPS
from protos import market_pb2, system_pb2, trading_pb2
from simulation.bus import Delivery
from simulation.plan import RESTS
from simulation.process import Conversation, Process, Sleep
from simulation.venue import ACCOUNT, SYMBOLS, VENUE
from titan import subjects
from titan.codec import intent_to_pb
from titan.effects import Publish, RaiseAlert, SetTimer
from titan.ids import IntentId, SignalId
from titan.model import Action, Execution, Intent, OrderType, Phase, Side, Style, Target, Terms
from titan.venues import bybit_shapes as shapes

if TYPE_CHECKING:
    from simulation.world import World

BEAT_MS = 1_000
FILLS = "BRAIN_FILLS"
KEY = "brain"
RESTING = ("0.0005", "0.001", "0.002", "0.003")
PLAIN = (OrderType.MARKET, OrderType.MARKET, OrderType.MARKET, OrderType.LIMIT, OrderType.POST_ONLY, OrderType.IOC)
TYPES = (*PLAIN, *sorted(set(shapes.TIME_IN_FORCE) - set(PLAIN)))


class SimBrain(Process):
    """One incarnation of the brain; without `plan.full` only its pulse."""

    def __init__(self, world: World, incarnation: int) -> None:
        super().__init__(world.engine, "brain", incarnation, world.ended)
        self.world = world
        self.core: BrainCore | None = None

    def start(self) -> Conversation:
        """Restores, subscribes, shakes hands. Signals are subscribed last."""
        world = self.world
        yield Sleep(world.engine.chance("start").randint(50, 300))
        if world.plan.full:
            config = BrainConfig(venue=VENUE, account=ACCOUNT, speed=world.engine.speed)
            self.core = BrainCore(config, world.policy)
            self._apply(self.core.start(world.engine.now(), world.bus.kv.get(KEY)))
            self._listen()
        self._beat()
        self.ready = True
        world.process_ready(self)
        while self.core is not None and not self.core.state.router_hash:
            router = world.router
            if router is not None and router.leads and not router.paused:
                yield Sleep(4)
                self.feed(PolicyAttested(router.policy_hash().policy_hash))
                return
            yield Sleep(500)

    def _listen(self) -> None:
        bus = self.world.bus
        for subject, kind, event in (
            (subjects.ROUTER_STATE, trading_pb2.RouterState, RouterReported),
            (subjects.TRADING_STATE, trading_pb2.TradingStateChanged, TradingStateSeen),
            (subjects.TRUTH, trading_pb2.Truth, TruthSeen),
            (subjects.REJECT, trading_pb2.Reject, RejectSeen),
            (subjects.TICKER_ALL, market_pb2.Ticker, TickerSeen),
        ):
            bus.subscribe(self, subject, kind, partial(self._heard, event))
        bus.consume(self, FILLS, trading_pb2.Fill, self._on_fill)
        bus.subscribe(self, subjects.SIGNAL_SUBMIT, trading_pb2.Signal, partial(self._heard, SignalReceived))

    def _heard(self, event: type, told: Delivery) -> bool:
        try:
            self.feed(event(told.message))
        except ValueError:
            self.world.bus.dead_letters["INVALID"] = self.world.bus.dead_letters.get("INVALID", 0) + 1
        return True

    def _on_fill(self, told: Delivery) -> bool:
        assert isinstance(told.message, trading_pb2.Fill)
        self.feed(FillSeen(told.message))
        return self._save()

    def feed(self, event: Event) -> None:
        """One event of the core and its effects."""
        assert self.core is not None
        self._apply(self.core.handle(event, self.engine.now()))

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.boundary()
            match effect:
                case Publish():
                    self._publish(effect)
                case Announce(decision=decision):
                    self.world.checks.decided(decision)
                    self._send(subjects.DECISION, decision)
                case SetTimer():
                    self.after(effect.key, effect.after_ms, partial(self.feed, TimerFired(effect.key)))
                case RaiseAlert():
                    self.world.alerted(effect)
                case Save():
                    self.after("save", 0, self._keep)
                case CountDuplicate():
                    pass

    def _publish(self, effect: Publish) -> None:
        # Budgets, regime and risk state have no listener in this world.
        if subjects.matches(subjects.EVENTS_ALL, effect.subject):
            return
        if subjects.matches(subjects.OPERATOR_ALL, effect.subject):
            wire = self.world.bus.seal("brain", effect.subject, effect.message)
            self.world.operators.deliver(wire)
            return
        self._send(effect.subject, effect.message)

    def _send(self, subject: str, message: Message) -> None:
        self.world.checks.given.add(message.SerializeToString(deterministic=True))
        if subject != subjects.DECISION:
            self.world.bus.send(self.world.bus.seal("brain", subject, message))

    def _keep(self) -> None:
        self._save()

    def _save(self) -> bool:
        assert self.core is not None
        if self.world.bus.up:
            self.world.bus.kv[KEY] = self.core.snapshot()
        return self.world.bus.up

    def _beat(self) -> None:
        bus = self.world.bus
        beat = system_pb2.Heartbeat(service="brain", state=system_pb2.ACTOR_STATE_READY)
        bus.say(subjects.heartbeat("brain"), beat)
        self.after("beat", BEAT_MS, self._beat)

    def on_death(self) -> None:
        """Connections go back."""
        self.world.bus.leave(self)


class Script:
    """Who proposes: a phase in a full world, a brain gone wild in a small one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made = 0
        self._last: list[tuple[str, Message]] = []

    def act(self, a: int, b: int) -> None:
        """Proposes once; the numbers decide what."""
        chance = Random(a << 16 | b)
        self._made += 1
        if self._world.plan.full:
            self._signal(chance)
        else:
            self._intent(chance, rests=a >= RESTS)

    def _signal(self, chance: Random) -> None:
        world = self._world
        symbol = chance.choice(SYMBOLS)
        held = world.venue.held(symbol)
        closes = held != 0 and chance.random() < 0.4
        side = (Side.SELL if held > 0 else Side.BUY) if closes else chance.choice((Side.BUY, Side.SELL))
        price = world.market.price(symbol, side)
        now = world.engine.now().market_ms
        away = Decimal(chance.choice(("0.01", "0.03"))) * price * side.sign
        message = trading_pb2.Signal(
            signal_id=f"signal-{self._made}",
            phase=trading_pb2.PHASE_SCAVENGER,
            action=trading_pb2.SIGNAL_ACTION_CLOSE if closes else trading_pb2.SIGNAL_ACTION_OPEN,
            venue=VENUE,
            symbol=symbol,
            side=trading_pb2.SIDE_BUY if side is Side.BUY else trading_pb2.SIDE_SELL,
            requested_size_usd="0" if closes else str(chance.choice((100, 400, 1500))),
            entry_price=str(price),
            stop_price="" if closes else str(price - away),
            target_price="" if closes or chance.random() < 0.5 else str(price + away),
            confidence=95.0,
            leverage=3.0,
            volatility=float(price) * 0.001,
            trap_type="SIM",
            order_type=trading_pb2.ORDER_TYPE_MARKET,
            max_slippage_bps=100,
            t_signal_ms=now,
            t_exchange_ms=now,
            ttl_ms=5_000,
        )
        self._publish(subjects.SIGNAL_SUBMIT, message, "scavenger")

    def _intent(self, chance: Random, *, rests: bool) -> None:
        world = self._world
        brain = world.brain
        if brain is None or not brain.ready or brain.paused:
            return
        if self._last and not rests and chance.random() < 0.06:
            subject, message = chance.choice(self._last)
            self._publish(subject, message, "brain")
            return
        intent = self._wild(chance, rests=rests or chance.random() < 0.1)
        subject = subjects.intent_place(intent.venue, intent.account, intent.symbol)
        self._publish(subject, intent_to_pb(intent), "brain")

    def _wild(self, chance: Random, *, rests: bool) -> Intent:
        world = self._world
        symbol = SYMBOLS[0] if chance.random() < 0.7 else SYMBOLS[1]
        held = world.venue.held(symbol)
        closes = chance.random() < (0.4 if held else 0.08)
        side = chance.choice((Side.BUY, Side.SELL))
        if closes and held and chance.random() < 0.95:
            side = Side.SELL if held > 0 else Side.BUY
        price = world.market.price(symbol, side)
        now = world.engine.now().market_ms
        # What rests is large for this market and a little away, so that it trades in parts, expires half-done, or trades
        # after it was given up.
        kind = OrderType.LIMIT if rests else chance.choice(TYPES)
        limit = None
        if kind.names_price:
            offsets = RESTING if rests else ("-0.0005", "0.0002", "0.001", "0.001", "0.004", "0.008")
            limit = price * (1 - side.sign * Decimal(chance.choice(offsets)))
        away = price * side.sign * Decimal(chance.choice(("0.004", "0.01", "0.03")))
        odd = chance.random()
        target = None if closes or chance.random() < 0.6 else price + away
        terms = self._terms(chance, kind, side, price, bracket=not closes and target is None, rests=rests)
        return Intent(
            intent_id=IntentId(f"intent-{self._made}"),
            signal_id=SignalId(f"signal-{self._made}"),
            phase=Phase.SCAVENGER,
            action=Action.CLOSE if closes else Action.OPEN,
            venue=VENUE,
            account=ACCOUNT,
            symbol=symbol,
            side=side,
            size_usd=Decimal(chance.choice((9_000, 30_000) if rests else (20, 120, 900, 4_000, 9_000))),
            quantity=None if rests or chance.random() < 0.5 else Decimal(chance.choice(("0.001", "0.01", "0.05"))),
            order_type=kind,
            limit_price=limit,
            reference_price=price,
            stop_price=None if closes or odd < 0.02 else price - away,
            target_price=target,
            max_slippage_bps=100,
            leverage=Decimal(1),
            policy_hash="another" if 0.02 < odd < 0.04 else world.policy.hash,
            t_signal_ms=now - (100_000_000 if 0.04 < odd < 0.06 else 0),
            t_decision_ms=now,
            ttl_ms=5_000,
            decision_id=f"decision-{self._made}",
            terms=terms,
            execution=None if terms is not None or kind.waits else self._style(chance, symbol, side, closes=closes),
        )

    def _style(self, chance: Random, symbol: str, side: Side, *, closes: bool) -> Execution | None:
        """How an intent is worked: most are one plain order."""
        if chance.random() >= 0.25:
            return None
        style = chance.choice(list(Style))
        duration_ms = int(chance.randint(1_000, 6_000) * self._world.engine.speed)
        if style is not Style.BASIS:
            return Execution(
                style, duration_ms, slices=chance.randint(2, 4), display=Decimal("0.01"), cross=chance.random() < 0.5
            )
        other = SYMBOLS[1] if symbol == SYMBOLS[0] else SYMBOLS[0]
        price = self._world.market.price(other, side.opposite)
        stop = None if closes else price * (1 + side.sign * Decimal("0.02"))
        return Execution(style, duration_ms, hedge_symbol=other, hedge_reference_price=price, hedge_stop_price=stop)

    def _terms(
        self, chance: Random, kind: OrderType, side: Side, price: Decimal, *, bracket: bool, rests: bool
    ) -> Terms | None:
        """An expiry, a trigger, a trail or two targets, or nothing of it."""
        engine, near = self._world.engine, price * Decimal("0.002")
        trigger = trail = None
        if kind.waits:
            rises = (side is Side.BUY) is (kind in STOPS)
            trigger = price + near if rises else price - near
            trail = near if kind is OrderType.TRAILING_STOP else None
        expires = 0
        if chance.random() < (0.6 if rests else 0.3):
            expires = engine.now().market_ms + int(chance.randint(1_500 if rests else 300, 5_000) * engine.speed)
        targets: tuple[Target, ...] = ()
        if bracket and chance.random() < 0.2:
            gain = near * side.sign
            targets = (
                Target(price + gain, Decimal("0.5"), market=chance.random() < 0.3),
                Target(price + 3 * gain, Decimal("0.5")),
            )
        if bracket and trail is None and chance.random() < 0.1:
            trail = near
        if trigger is None and trail is None and not expires and not targets:
            return None
        return Terms(trigger_price=trigger, trail=trail, expires_ms=expires, targets=targets)

    def _publish(self, subject: str, message: Message, publisher: str) -> None:
        self._last.append((subject, message))
        self._world.checks.given.add(message.SerializeToString(deterministic=True))
        self._world.bus.send(self._world.bus.seal(publisher, subject, message))
