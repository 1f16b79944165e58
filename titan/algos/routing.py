"""Which venues an order goes to: the one that was asked for, else by rules, else by the source's defaults.

Guarantees: a venue that is not configured or not healthy gets nothing, and the answer says why; what was asked for by name
or by rule is never sent elsewhere; only the built-in defaults, of which none is configured, give way to what is there, and
the answer says that too. Never: an order for a venue that nobody trades. Source: reference/execution.md section 1.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from titan.algos.split import WEIGHT_STEP
from titan.model import Phase
from titan.money import ZERO

AUTO = "auto"
Weights = Mapping[str, Decimal]
DEFAULTS: Mapping[Phase, tuple[str, ...]] = MappingProxyType(
    {
        Phase.SCAVENGER: ("bybit", "mexc"),
        Phase.HUNTER: ("binance",),
        Phase.SENTINEL: ("binance",),
        Phase.MANUAL: ("binance",),
    }
)


class NoVenue(ValueError):
    """None of the venues that an order may go to can take it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Weights of venues for every source, and those of some sources, which take precedence."""

    everyone: Weights = field(default_factory=dict)
    per_source: Mapping[Phase, Weights] = field(default_factory=dict)

    def of(self, phase: Phase) -> Weights:
        """The weights of a source; empty when no rule speaks of it."""
        return self.per_source.get(phase) or self.everyone


@dataclass(frozen=True, slots=True)
class Route:
    """Where an order goes: shares by venue that add up to one, in order of name, and what stands in the decision about it."""

    shares: tuple[tuple[str, Decimal], ...]
    remark: str = ""


def parse_rules(text: str) -> Rules:
    """Rules like `bybit=2,mexc=1;hunter:binance=1`: weights for everyone, then for single sources.

    Raises ValueError that names what can't be read.
    """
    everyone: dict[str, Decimal] = {}
    per_source: dict[Phase, dict[str, Decimal]] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        name, colon, weights = part.rpartition(":")
        if not colon:
            everyone.update(_weights(part))
            continue
        try:
            phase = Phase(name.strip().upper())
        except ValueError:
            known = ", ".join(each.value.lower() for each in Phase)
            raise ValueError(f"routing names source {name.strip()!r}; known: {known}") from None
        per_source.setdefault(phase, {}).update(_weights(weights))
    return Rules(everyone, per_source)


def _weights(text: str) -> dict[str, Decimal]:
    found = {}
    for each in text.split(","):
        venue, equals, number = (part.strip() for part in each.partition("="))
        try:
            weight = Decimal(number)
        except InvalidOperation:
            weight = ZERO
        if not (venue and equals and weight.is_finite() and weight > 0):
            raise ValueError(f"routing needs VENUE=WEIGHT with a weight above zero, got {each.strip()!r}")
        found[venue.lower()] = weight
    return found


def route(asked: str, phase: Phase, rules: Rules, venues: Mapping[str, str]) -> Route:
    """The route of an order; `venues` are those that are configured, each with why it can't be used now, empty when it can.

    Raises NoVenue when none that it may go to can take it.
    """
    ruled = rules.of(phase)
    if asked != AUTO:
        wanted, by = {asked: Decimal(1)}, "asked for"
    elif ruled:
        wanted, by = dict(ruled), "by rule"
    else:
        wanted, by = dict.fromkeys(DEFAULTS[phase], Decimal(1)), f"default of {phase.value}"
    remark = ""
    if asked == AUTO and not ruled and not any(each in venues for each in wanted):
        remark = f"diverted from {', '.join(sorted(wanted))} ({by}, not configured) to {', '.join(sorted(venues))}"
        wanted = dict.fromkeys(venues, Decimal(1))
    out = {name: venues.get(name, "not configured") for name in sorted(wanted) if venues.get(name, "not configured")}
    left = {name: weight for name, weight in wanted.items() if name not in out}
    words = ", ".join(f"{name} ({why})" for name, why in out.items())
    if not left:
        raise NoVenue(f"no venue can take it, {by}: {words or 'none is configured'}")
    if words and not remark:
        remark = f"without {words}"
    return Route(_shares(left), remark)


def _shares(weights: Weights) -> tuple[tuple[str, Decimal], ...]:
    whole = sum(weights.values(), ZERO)
    names = sorted(weights)
    shares = [(name, (weights[name] / whole).quantize(WEIGHT_STEP)) for name in names[:-1]]
    return (*shares, (names[-1], 1 - sum((share for _, share in shares), ZERO)))
