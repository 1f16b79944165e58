"""A parent order on a small model venue that answers late, twice, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from titan.algos import Cancel, Child, ChildStatus, Finish, Grid, Leg, Parent, Place, Step, Top, step
from titan.algos.engine import completed, lifetime_ms
from titan.codes import AlgoEnd
from titan.model import Execution, OrderType, Side, Style
from titan.money import ZERO

T0 = 1_700_000_000_000
GRID = Grid(tick=Decimal("0.1"), lot=Decimal("0.001"), min_qty=Decimal("0.001"), min_notional=Decimal(5))
BTC, SPOT = "BTC/USDT:USDT", "BTC/USDT"


def d(text: str | int) -> Decimal:
    return Decimal(text)


def leg(side: Side = Side.BUY, quantity: str = "1", worst: str = "", limit: str = "", symbol: str = BTC) -> Leg:
    end = worst or ("1010" if side is Side.BUY else "990")
    return Leg(symbol, side, d(quantity), d(end), GRID, d(limit) if limit else None)


def parent(style: Style, *legs: Leg, **parameters: object) -> Parent:
    execution = completed(Execution(style, **parameters), 1)  # type: ignore[arg-type]  # a test's shorthand
    return Parent(execution, legs or (leg(),), T0, T0 + lifetime_ms(execution), "seed")


@dataclass
class Desk:
    """Carries steps out the way a router does: a child in doubt until it is answered."""

    parent: Parent
    tops: list[Top | None] = field(default_factory=lambda: [Top(d(1000), d(1001))])
    now_ms: int = T0
    children: list[Child] = field(default_factory=list)
    finish: Finish | None = None
    wake_ms: int | None = None
    placed: list[Place] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the parent has finished."""
        return self.finish is not None

    def look(self) -> Step:
        """One step, carried out and checked."""
        assert not self.over
        made = step(self.parent, self.children, self.tops, self.now_ms)
        self.wake_ms = made.wake_ms
        for act in made.acts:
            match act:
                case Place():
                    self._place(act)
                case Cancel():
                    child = self.children[act.number]
                    assert child.status is ChildStatus.LIVE
                    assert not child.cancelling
                    self.children[act.number] = replace(child, cancelling=True)
                case Finish():
                    assert all(each.status is ChildStatus.ENDED for each in self.children)
                    self.finish = act
        return made

    def _place(self, act: Place) -> None:
        wanted = self.parent.legs[act.leg]
        others = [each for each in self.children if each.leg == act.leg]
        assert all(each.status is ChildStatus.ENDED for each in others), "two children of a leg at once"
        assert all(each.status is not ChildStatus.DOUBT for each in self.children), "placed beside a child in doubt"
        assert act.quantity > 0
        if not act.unwinds:
            gone = sum((-each.filled if each.unwinds else each.filled for each in others), ZERO)
            assert gone + act.quantity <= wanted.quantity, "more than the parent"
            assert act.price is not None
            assert wanted.within(act.price), f"{act.price} is beyond {wanted.worst}"
            assert act.price % GRID.tick == 0
        assert act.quantity % GRID.lot == 0
        self.placed.append(act)
        self.children.append(
            Child(
                number=len(self.children),
                leg=act.leg,
                order_type=act.order_type,
                quantity=act.quantity,
                filled=ZERO,
                price=act.price,
                status=ChildStatus.DOUBT,
                placed_ms=self.now_ms,
                unwinds=act.unwinds,
            )
        )

    # the venue

    @property
    def last(self) -> Child:
        return self.children[-1]

    def cancels(self) -> bool:
        """Whether a cancel of the last child is on its way."""
        return self.last.cancelling

    def change(self, **changes: object) -> None:
        self.children[-1] = replace(self.last, **changes)  # type: ignore[arg-type]  # a test's shorthand

    def ack(self) -> None:
        self.change(status=ChildStatus.LIVE)

    def fill(self, quantity: str | Decimal = "") -> None:
        done = self.last.filled + Decimal(quantity or self.last.quantity - self.last.filled)
        whole = done >= self.last.quantity
        self.change(filled=done, status=ChildStatus.ENDED if whole else self.last.status)

    def end(self, *, refused: bool = False) -> None:
        self.change(status=ChildStatus.ENDED, refused=refused)

    def quote(self, bid: str, ask: str, leg: int = 0) -> None:
        self.tops[leg] = Top(d(bid), d(ask))

    def wait(self, ms: int) -> None:
        self.now_ms += ms

    def stop(self, why: AlgoEnd = AlgoEnd.STOPPED) -> None:
        self.parent = replace(self.parent, stopping=why)

    def sent(self) -> list[tuple[OrderType, str, str]]:
        """Everything placed so far: type, quantity and price."""
        return [(each.order_type, str(each.quantity), str(each.price)) for each in self.placed]
