"""What a decision comes to, and the exception that carries a no out of a check."""

from __future__ import annotations

from decimal import Decimal

from actors.brain.gate import RiskMetrics
from titan.codes import VetoCode
from titan.model import Intent
from titan.money import ZERO
from titan.values import value

NO_RISK = RiskMetrics()


@value
class Outcome:
    """What was decided: the code, the sentence, the size in USD, and its intents, one a venue."""

    code: VetoCode
    reason: str
    size: Decimal = ZERO
    risk: RiskMetrics = NO_RISK
    intents: tuple[Intent, ...] = ()


class Veto(Exception):
    """A check says no; `outcome` is the answer."""

    def __init__(self, code: VetoCode, reason: str, risk: RiskMetrics = NO_RISK) -> None:
        super().__init__(reason)
        self.outcome = Outcome(code, reason, risk=risk)
