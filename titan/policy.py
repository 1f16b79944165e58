"""The risk policy: the one place of every limit, attested by its hash.

Guarantees: equal limits have equal hashes on every machine, because the hash is SHA-256 over RFC 8785 canonical JSON,
in which 10.0 and 10 are the same number; an overlay can only tighten. Never: a default for a limit that the policy
file leaves out, a limit from anywhere else. Source: reference/brain.md section 7.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

import rfc8785

from titan.errors import ConfigError

SCHEMA_VERSION = 1
DEFAULT_MAX_DAILY_DRAWDOWN = Decimal("0.07")
DEFAULT_MIN_EQUITY = Decimal(150)
_MAX_EXACT_INTEGER = 2**53 - 1

_Number = int | float | Decimal


@dataclass(frozen=True)
class RiskPolicy:
    """Every limit that binds brain and router. Money is USD, ratios are fractions, times are market milliseconds.

    `max_daily_drawdown` and `min_equity` trip the circuit breaker. They joined the schema later: at their defaults they
    are left out of the canonical text, so a policy file that does not name them keeps the hash it always had.
    """

    max_account_leverage: Decimal
    max_position_notional: Decimal
    max_daily_loss: Decimal
    max_open_orders_per_symbol: int
    symbol_whitelist: tuple[str, ...]
    max_slippage_bps: int = 100
    max_staleness_ms: int = 5000
    max_correlation: float = 0.7
    correlation_penalty: float = 0.5
    min_confidence_score: float = 0.7
    min_stop_distance_multiplier: float = 1.5
    version: int = SCHEMA_VERSION
    last_updated: int = 0
    max_daily_drawdown: Decimal = DEFAULT_MAX_DAILY_DRAWDOWN
    min_equity: Decimal = DEFAULT_MIN_EQUITY

    @cached_property
    def canonical_text(self) -> str:
        """The RFC 8785 text that is hashed: camelCase names in order, no blanks, integral numbers without a fraction."""
        content: dict[str, int | float | str | list[str]] = {}
        for spec in _SPECS:
            value = getattr(self, spec.name)
            if spec.late and value == spec.default:
                continue
            content[spec.key] = list(value) if isinstance(value, tuple) else _json_number(value)
        return rfc8785.dumps(content).decode()

    @cached_property
    def hash(self) -> str:
        """Lower-case hex SHA-256 of the canonical text."""
        return hashlib.sha256(self.canonical_text.encode()).hexdigest()

    def tightened(self, overlay: Mapping[str, object]) -> RiskPolicy:
        """This policy with the overlay's values in place of its own.

        Raises ConfigError for a value that would loosen a limit, an unknown name or a value out of range.
        """
        changes: dict[str, object] = {}
        for name, raw in overlay.items():
            spec = _BY_NAME.get(name)
            if spec is None or spec.tighter is None:
                known = ", ".join(each.key for each in _SPECS if each.tighter is not None)
                raise ConfigError(f"risk policy overlay: {name} can't be overlaid; use one of: {known}")
            value, own = spec.parse(spec.key, raw), getattr(self, spec.name)
            if not spec.tighter(value, own):
                raise ConfigError(
                    f"risk policy overlay: {spec.key} {_shown(value)} is looser than the policy's {_shown(own)}; "
                    "an overlay may only tighten, change the policy itself to loosen"
                )
            changes[spec.name] = value
        return replace(self, **changes)  # type: ignore[arg-type]  # each value went through its field's own parser


def _json_number(value: _Number) -> int | float:
    whole = int(value)
    return whole if whole == value and abs(whole) <= _MAX_EXACT_INTEGER else float(value)


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _is_number(raw: object) -> TypeGuard[_Number]:
    return isinstance(raw, int | float | Decimal) and not isinstance(raw, bool) and math.isfinite(raw)


def _decimal(low: str | None, high: str | None) -> Callable[[str, object], Decimal]:
    def parse(key: str, raw: object) -> Decimal:
        if not _is_number(raw):
            raise ConfigError(f"risk policy: {key} must be a finite number, got {raw!r}")
        value = Decimal(str(raw))
        if (low is not None and value < Decimal(low)) or (high is not None and value > Decimal(high)):
            raise ConfigError(f"risk policy: {key} must be {_range(low, high)}, got {raw}")
        return value

    return parse


def _fraction(low: str, high: str | None) -> Callable[[str, object], float]:
    parse_decimal = _decimal(low, high)
    return lambda key, raw: float(parse_decimal(key, raw))


def _integer(low: int, high: int | None = None) -> Callable[[str, object], int]:
    parse_decimal = _decimal(str(low), None if high is None else str(high))

    def parse(key: str, raw: object) -> int:
        value = parse_decimal(key, raw)
        if value != value.to_integral_value():
            raise ConfigError(f"risk policy: {key} must be a whole number, got {raw}")
        return int(value)

    return parse


def _range(low: str | None, high: str | None) -> str:
    if low is None:
        return f"at most {high}"
    if high is None:
        return f"at least {low}"
    return low if low == high else f"between {low} and {high}"


def _symbols(key: str, raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or not all(isinstance(each, str) and each.strip() for each in raw):
        raise ConfigError(f'risk policy: {key} must be a list of symbols like "BTC/USDT", got {raw!r}')
    return tuple(raw)


def _at_most(new: object, own: object) -> bool:
    return isinstance(new, int | float | Decimal) and isinstance(own, int | float | Decimal) and new <= own


def _at_least(new: object, own: object) -> bool:
    return isinstance(new, int | float | Decimal) and isinstance(own, int | float | Decimal) and new >= own


def _subset(new: object, own: object) -> bool:
    return isinstance(new, tuple) and isinstance(own, tuple) and set(new) <= set(own)


@dataclass(frozen=True, slots=True)
class _Spec:
    """One field: its JSON name, its parser, and which new value is tighter than an old one (None: not overlayable)."""

    key: str
    name: str
    parse: Callable[[str, object], object]
    tighter: Callable[[object, object], bool] | None
    optional: bool = True
    late: bool = False
    default: object = None


_SPECS: tuple[_Spec, ...] = (
    _Spec("maxAccountLeverage", "max_account_leverage", _decimal("0", "100"), _at_most, optional=False),
    _Spec("maxPositionNotional", "max_position_notional", _decimal("0", None), _at_most, optional=False),
    _Spec("maxDailyLoss", "max_daily_loss", _decimal(None, "0"), _at_least, optional=False),
    _Spec("maxOpenOrdersPerSymbol", "max_open_orders_per_symbol", _integer(0), _at_most, optional=False),
    _Spec("symbolWhitelist", "symbol_whitelist", _symbols, _subset, optional=False),
    _Spec("maxSlippageBps", "max_slippage_bps", _integer(0), _at_most),
    _Spec("maxStalenessMs", "max_staleness_ms", _integer(0), _at_most),
    _Spec("maxCorrelation", "max_correlation", _fraction("-1", "1"), _at_most),
    _Spec("correlationPenalty", "correlation_penalty", _fraction("0", "1"), _at_least),
    _Spec("minConfidenceScore", "min_confidence_score", _fraction("0", "1"), _at_least),
    _Spec("minStopDistanceMultiplier", "min_stop_distance_multiplier", _fraction("0", None), _at_least),
    _Spec("version", "version", _integer(SCHEMA_VERSION, SCHEMA_VERSION), None),
    _Spec("lastUpdated", "last_updated", _integer(0), None),
    _Spec(
        "maxDailyDrawdown",
        "max_daily_drawdown",
        _decimal("0.01", "1"),
        _at_most,
        late=True,
        default=DEFAULT_MAX_DAILY_DRAWDOWN,
    ),
    _Spec("minEquity", "min_equity", _decimal("0", "1000000"), _at_least, late=True, default=DEFAULT_MIN_EQUITY),
)
_BY_NAME: dict[str, _Spec] = {name: spec for spec in _SPECS for name in (spec.key, spec.name)}

assert {spec.name for spec in _SPECS} == {field.name for field in fields(RiskPolicy)}


def parse_policy(raw: Mapping[str, object], *, complete: bool = False) -> RiskPolicy:
    """A policy from camelCase or snake_case names; names it does not know are ignored.

    `complete` demands every field of the schema; without it the fields after the whitelist may be absent and take the
    documented defaults. Raises ConfigError that names the field, what was seen and what is allowed.
    """
    values: dict[str, object] = {}
    for spec in _SPECS:
        if spec.key != spec.name and spec.key in raw and spec.name in raw:
            raise ConfigError(f"risk policy: {spec.key} is given twice, as {spec.key} and as {spec.name}; keep one")
        name = spec.key if spec.key in raw else spec.name
        if name in raw:
            values[spec.name] = spec.parse(spec.key, raw[name])
        elif not spec.optional or (complete and not spec.late):
            raise ConfigError(f"risk policy: {spec.key} is missing; every limit must be written down")
    return RiskPolicy(**values)  # type: ignore[arg-type]  # each value went through its field's own parser


def load_policy(path: Path) -> RiskPolicy:
    """The policy in `path`, tightened by `<stem>.overlay.json` beside it when that file exists; the hash covers both.

    Raises ConfigError for a file that is missing, not JSON, incomplete, out of range, or an overlay that loosens.
    """
    policy = parse_policy(_read(path), complete=True)
    overlay = path.with_name(f"{path.stem}.overlay.json")
    return policy.tightened(_read(overlay)) if overlay.exists() else policy


def _read(path: Path) -> Mapping[str, object]:
    try:
        content = json.loads(path.read_text(), parse_float=Decimal)
    except FileNotFoundError:
        raise ConfigError(f"risk policy: {path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"risk policy: {path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"risk policy: {path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"risk policy: {path} must hold one JSON object, got {type(content).__name__}")
    return content
