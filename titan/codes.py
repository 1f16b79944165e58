"""Every code that a machine may read, one enum a domain.

Guarantees: the documentation tables, gRPC reasons and metric labels are generated from these enums, so they agree.
Each member's value is its name; its sentence is in `DESCRIPTIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TradingState(StrEnum):
    """Owned by the router, kept in the journal, shown everywhere."""

    DISARMED = "DISARMED"
    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class DeadLetterReason(StrEnum):
    """Why a message was put aside."""

    UNDECODABLE = "UNDECODABLE"
    UNSIGNED = "UNSIGNED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    EXPIRED = "EXPIRED"
    WRONG_SUBJECT = "WRONG_SUBJECT"
    WRONG_TYPE = "WRONG_TYPE"
    REPLAYED = "REPLAYED"
    INVALID = "INVALID"
    HANDLER_FAILED = "HANDLER_FAILED"


class VetoCode(StrEnum):
    """The brain's answer to a signal."""

    APPROVED = "APPROVED"
    INVALID_SIGNAL = "INVALID_SIGNAL"
    DUPLICATE_SIGNAL = "DUPLICATE_SIGNAL"
    STALE_SIGNAL = "STALE_SIGNAL"
    BREAKER_ACTIVE = "BREAKER_ACTIVE"
    DISARMED = "DISARMED"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
    ROUTER_STATE_STALE = "ROUTER_STATE_STALE"
    ROUTER_NOT_RECONCILED = "ROUTER_NOT_RECONCILED"
    POLICY_HASH_MISMATCH = "POLICY_HASH_MISMATCH"
    MARKET_DATA_STALE = "MARKET_DATA_STALE"
    GOVERNANCE_LOCKDOWN = "GOVERNANCE_LOCKDOWN"
    SYMBOL_NOT_WHITELISTED = "SYMBOL_NOT_WHITELISTED"
    TRUTH_VETO = "TRUTH_VETO"
    POSITION_NOTIONAL = "POSITION_NOTIONAL"
    EXECUTION_QUALITY = "EXECUTION_QUALITY"
    REGIME_CRASH = "REGIME_CRASH"
    SURVIVAL_MODE = "SURVIVAL_MODE"
    CONFIDENCE = "CONFIDENCE"
    PHASE_LIMIT = "PHASE_LIMIT"
    LATENCY = "LATENCY"
    TAIL_RISK = "TAIL_RISK"
    VOLATILITY_REGIME = "VOLATILITY_REGIME"
    COST = "COST"
    STOP_DISTANCE = "STOP_DISTANCE"
    STOP_MISSING = "STOP_MISSING"
    SLIPPAGE = "SLIPPAGE"
    LEVERAGE = "LEVERAGE"
    DAILY_LOSS = "DAILY_LOSS"
    OPEN_ORDERS = "OPEN_ORDERS"
    ZERO_ALLOCATION = "ZERO_ALLOCATION"
    SIZE_TOO_SMALL = "SIZE_TOO_SMALL"
    NOTHING_TO_CLOSE = "NOTHING_TO_CLOSE"
    RISK_CHECK_ERROR = "RISK_CHECK_ERROR"
    VENUE_UNAVAILABLE = "VENUE_UNAVAILABLE"
    IMPACT = "IMPACT"


class RejectCode(StrEnum):
    """The router's reasons not to send an intent, and the venue's not to take an order."""

    NONE = ""
    DISARMED = "DISARMED"
    HALTED = "HALTED"
    REDUCING = "REDUCING"
    NOT_READY = "NOT_READY"
    POLICY_HASH_MISSING = "POLICY_HASH_MISSING"
    POLICY_HASH_MISMATCH = "POLICY_HASH_MISMATCH"
    INTENT_EXPIRED = "INTENT_EXPIRED"
    INVALID_INTENT = "INVALID_INTENT"
    UNKNOWN_INSTRUMENT = "UNKNOWN_INSTRUMENT"
    MARKET_DATA_STALE = "MARKET_DATA_STALE"
    HEARTBEAT_STALE = "HEARTBEAT_STALE"
    SYMBOL_NOT_WHITELISTED = "SYMBOL_NOT_WHITELISTED"
    INVALID_SIZE = "INVALID_SIZE"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    STOP_MISSING = "STOP_MISSING"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    SLIPPAGE = "SLIPPAGE"
    OPEN_ORDERS = "OPEN_ORDERS"
    DAILY_LOSS = "DAILY_LOSS"
    POSITION_NOTIONAL = "POSITION_NOTIONAL"
    LEVERAGE = "LEVERAGE"
    NOTHING_TO_REDUCE = "NOTHING_TO_REDUCE"
    VENUE_REJECTED = "VENUE_REJECTED"
    NOT_AT_VENUE = "NOT_AT_VENUE"
    JOURNAL_FAILED = "JOURNAL_FAILED"
    NOT_LEADER = "NOT_LEADER"
    ORDER_TYPE_UNSUPPORTED = "ORDER_TYPE_UNSUPPORTED"
    TERMS_INVALID = "TERMS_INVALID"
    NOT_AMENDABLE = "NOT_AMENDABLE"
    EXECUTION_ENDED = "EXECUTION_ENDED"


class AlgoEnd(StrEnum):
    """How an intent that was worked by several orders came to its end."""

    FILLED = "FILLED"
    HEDGED = "HEDGED"
    UNWOUND = "UNWOUND"
    NAKED = "NAKED"
    GAVE_UP = "GAVE_UP"
    BEYOND_BAND = "BEYOND_BAND"
    DEADLINE = "DEADLINE"
    REFUSED = "REFUSED"
    FORBIDDEN = "FORBIDDEN"
    STOPPED = "STOPPED"
    OVERTAKEN = "OVERTAKEN"
    NOTHING_LEFT = "NOTHING_LEFT"


class ExternalPolicy(StrEnum):
    """What the router does with an order at the venue that its journal does not know."""

    ADOPT = "ADOPT"
    FLAG = "FLAG"
    CANCEL = "CANCEL"


class OperatorCode(StrEnum):
    """The router's answer to an operator's command."""

    DONE = "DONE"
    ALREADY = "ALREADY"
    BREAKER_STANDS = "BREAKER_STANDS"
    HALT_STANDS = "HALT_STANDS"
    NOT_READY = "NOT_READY"
    UNAUTHORISED = "UNAUTHORISED"
    REASON_MISSING = "REASON_MISSING"
    UNKNOWN_COMMAND = "UNKNOWN_COMMAND"
    NO_SUCH_ORDER = "NO_SUCH_ORDER"
    ORDER_REFUSED = "ORDER_REFUSED"


class DifferenceKind(StrEnum):
    """What a truth pass can find."""

    ORDER_MISSING_AT_VENUE = "ORDER_MISSING_AT_VENUE"
    ORDER_MISSING_IN_JOURNAL = "ORDER_MISSING_IN_JOURNAL"
    ORDER_MISSING_IN_LEDGER = "ORDER_MISSING_IN_LEDGER"
    ORDER_DIFFERS = "ORDER_DIFFERS"
    FILL_MISSING_AT_VENUE = "FILL_MISSING_AT_VENUE"
    FILL_MISSING_IN_JOURNAL = "FILL_MISSING_IN_JOURNAL"
    FILL_MISSING_IN_LEDGER = "FILL_MISSING_IN_LEDGER"
    FILL_DIFFERS = "FILL_DIFFERS"
    POSITION_DIFFERS = "POSITION_DIFFERS"
    BALANCE_DIFFERS = "BALANCE_DIFFERS"


DESCRIPTIONS: dict[type[StrEnum], dict[str, str]] = {
    TradingState: {
        "DISARMED": "No opening is sent; closes, cancels and protection work. Every live start begins here.",
        "ACTIVE": "Openings are sent when every check says yes.",
        "REDUCING": "No position may grow; closes, cancels and protection work.",
        "HALTED": "Resting orders that could raise risk are cancelled; only cancels and reduce-only closes are sent.",
    },
    DeadLetterReason: {
        "UNDECODABLE": "The bytes are no Signed message, no envelope, or not the payload that the envelope names.",
        "UNSIGNED": "The message carries no signature.",
        "UNKNOWN_KEY": "The key id is neither the current nor the next key.",
        "BAD_SIGNATURE": "The signature does not match the bytes as received.",
        "EXPIRED": "The envelope's time is more than 300 s away from now.",
        "WRONG_SUBJECT": "The message was signed for another subject than the one it came on.",
        "WRONG_TYPE": "The envelope names a type that this subject does not carry.",
        "REPLAYED": "A nonce that was seen before came again with other bytes.",
        "INVALID": "The content is impossible: an unknown side, a price that is no number, columns that differ in length.",
        "HANDLER_FAILED": "The receiver could not handle the message.",
    },
    VetoCode: {
        "APPROVED": "The signal became an intent.",
        "INVALID_SIGNAL": "A field of the signal is missing or impossible.",
        "DUPLICATE_SIGNAL": "This signal id was decided before.",
        "STALE_SIGNAL": "The signal is older, in market time, than its time-to-live.",
        "BREAKER_ACTIVE": "The circuit breaker is tripped.",
        "DISARMED": "Trading is DISARMED.",
        "REDUCING": "Trading is REDUCING, and the signal would open.",
        "HALTED": "Trading is HALTED, and the signal would open.",
        "ROUTER_STATE_STALE": "The router's state was not heard of in time.",
        "ROUTER_NOT_RECONCILED": "The router has not agreed with the venue yet.",
        "POLICY_HASH_MISMATCH": "Brain and router hold different risk policies.",
        "MARKET_DATA_STALE": "The symbol's ticker is too old in market time, or was never seen.",
        "GOVERNANCE_LOCKDOWN": "The governance level admits no opening of this phase.",
        "SYMBOL_NOT_WHITELISTED": "The policy does not list the symbol.",
        "TRUTH_VETO": "The books were not compared with the venue lately, or did not agree.",
        "POSITION_NOTIONAL": "The position would exceed the policy's notional, or a tighter limit in force.",
        "EXECUTION_QUALITY": "Recent executions were too bad.",
        "REGIME_CRASH": "The market regime is CRASH.",
        "SURVIVAL_MODE": "Too much of the account is at risk; the system protects what it has.",
        "CONFIDENCE": "The calibrated confidence is below its floor.",
        "PHASE_LIMIT": "The phase's own limit of leverage or allocation would be exceeded.",
        "LATENCY": "The way of an order is too slow at present.",
        "TAIL_RISK": "The tail of the return distribution is too heavy for this size or leverage.",
        "VOLATILITY_REGIME": "Expanding volatility excludes this kind of trade.",
        "COST": "The expected gain does not pay for fees, spread and slippage, or can't be computed.",
        "STOP_DISTANCE": "The stop is too near, or on the wrong side of the entry.",
        "STOP_MISSING": "An opening signal has no stop.",
        "SLIPPAGE": "The market has moved beyond the signal's entry by more than the policy allows.",
        "LEVERAGE": "The account's leverage would exceed its cap.",
        "DAILY_LOSS": "The day's loss has reached its limit.",
        "OPEN_ORDERS": "Too many entries of the symbol are pending.",
        "ZERO_ALLOCATION": "The phase has no share of the equity.",
        "SIZE_TOO_SMALL": "What the checks left of the size is below the smallest order.",
        "NOTHING_TO_CLOSE": "The signal would close a position that is not there.",
        "RISK_CHECK_ERROR": "A check failed; what can't be checked is not sent.",
        "VENUE_UNAVAILABLE": "None of the venues that the order may go to is configured and healthy.",
        "IMPACT": "The size would move the market by more than the impact gate allows.",
    },
    RejectCode: {
        "NONE": "Not rejected.",
        "DISARMED": "Trading is DISARMED.",
        "HALTED": "Trading is HALTED.",
        "REDUCING": "Trading is REDUCING, by command or because something the router needs is away.",
        "NOT_READY": "The router has not agreed with the venue yet.",
        "POLICY_HASH_MISSING": "An opening intent does not name the policy it was approved under.",
        "POLICY_HASH_MISMATCH": "The intent was approved under another policy than the router's.",
        "INTENT_EXPIRED": "The intent is older than its time-to-live.",
        "INVALID_INTENT": "A field of the intent is missing or impossible.",
        "UNKNOWN_INSTRUMENT": "The venue lists no such symbol that trades now.",
        "MARKET_DATA_STALE": "The symbol's quote is too old, one-sided, or was never seen.",
        "HEARTBEAT_STALE": "The brain has been silent for too long.",
        "SYMBOL_NOT_WHITELISTED": "The policy does not list the symbol.",
        "INVALID_SIZE": "The size is not above zero.",
        "BELOW_MINIMUM": "The size is below the venue's minimum quantity or notional.",
        "STOP_MISSING": "An entry has no protective stop.",
        "STOP_WRONG_SIDE": "Stop or target is on the wrong side of the price.",
        "SLIPPAGE": "The market moved too far since the decision, or there is no price to judge by.",
        "OPEN_ORDERS": "Too many entries of the symbol are open.",
        "DAILY_LOSS": "The day's loss has reached its limit, or the equity is unknown.",
        "POSITION_NOTIONAL": "The position would exceed the policy's notional.",
        "LEVERAGE": "The account's leverage would exceed the policy's.",
        "NOTHING_TO_REDUCE": "A reduce-only intent found nothing that it could close.",
        "VENUE_REJECTED": "The venue refused the order.",
        "NOT_AT_VENUE": "The order was in doubt, and the venue never knew it: it did not leave.",
        "JOURNAL_FAILED": "The journal could not be written, so nothing was sent.",
        "NOT_LEADER": "The router's lease had run out at the moment of the send, so nothing was sent.",
        "ORDER_TYPE_UNSUPPORTED": "The venue does not offer this order type.",
        "TERMS_INVALID": "Trigger, trail, expiry or targets make no sense for this order.",
        "NOT_AMENDABLE": "The order can't be changed as asked: it is over, a change is on its way, or risk would rise.",
        "EXECUTION_ENDED": "The intent was to be worked by several orders and ended before the first was sent; the detail says how.",
    },
    AlgoEnd: {
        "FILLED": "All of it filled, but for what is below the venue's minimum.",
        "HEDGED": "Both legs of a basis order stand in the same quantity.",
        "UNWOUND": "The hedge could not be had in time, and the first leg was taken back.",
        "NAKED": "A leg stands without its other one and could not be closed: a person is told.",
        "GAVE_UP": "The style did all it may do, and not all filled.",
        "BEYOND_BAND": "The market left the slippage band before the last crossing.",
        "DEADLINE": "The time of the execution was over.",
        "REFUSED": "The venue refused five orders in a row.",
        "FORBIDDEN": "A check of the router said no to the next order, and waiting would not change it.",
        "STOPPED": "Trading left ACTIVE while the intent would still have raised risk.",
        "OVERTAKEN": "A close of the same symbol arrived while it was still opening.",
        "NOTHING_LEFT": "It was closing a position that is gone.",
    },
    ExternalPolicy: {
        "ADOPT": "The order counts as ours: kept, its fills booked, cancelled whenever ours are.",
        "FLAG": "The order is kept and counted, an alert says so; only a halt or a flatten cancels it.",
        "CANCEL": "The order is cancelled until the venue has none, unless it only closes.",
    },
    OperatorCode: {
        "DONE": "The command was carried out.",
        "ALREADY": "It was so already, or this command was handled before.",
        "BREAKER_STANDS": "Refused: a circuit breaker is tripped; reset it first.",
        "HALT_STANDS": "Refused: a HALT stands; resume lifts it.",
        "NOT_READY": "Refused: recovery is not done, or the journal can't be written.",
        "UNAUTHORISED": "Refused: the sender may not give this command.",
        "REASON_MISSING": "Refused: this command needs a reason.",
        "UNKNOWN_COMMAND": "Refused: there is no such command.",
        "NO_SUCH_ORDER": "Refused: the router has no live order of this client id.",
        "ORDER_REFUSED": "Refused: this order can't be cancelled or changed as asked.",
    },
    DifferenceKind: {
        "ORDER_MISSING_AT_VENUE": "Journal and ledger know an order that the venue does not.",
        "ORDER_MISSING_IN_JOURNAL": "An order stands at the venue or in the ledger and not in the journal.",
        "ORDER_MISSING_IN_LEDGER": "An order stands in the journal and not in Postgres.",
        "ORDER_DIFFERS": "The sides know the order and disagree about it.",
        "FILL_MISSING_AT_VENUE": "Journal and ledger know a fill that the venue does not.",
        "FILL_MISSING_IN_JOURNAL": "A fill stands at the venue or in the ledger and not in the journal.",
        "FILL_MISSING_IN_LEDGER": "A fill stands in the journal and not in Postgres.",
        "FILL_DIFFERS": "The sides know the fill and disagree about it.",
        "POSITION_DIFFERS": "The sides hold different quantities of a symbol.",
        "BALANCE_DIFFERS": "The sides hold different amounts of a currency.",
    },
}
"""One sentence a member, by enum and then by the member's name: members of different enums can be equal as text."""


@dataclass(frozen=True, slots=True)
class Synonym:
    """A word of another vocabulary, the trading state it means here, and what it adds."""

    word: str
    state: TradingState
    adds: str = ""


SYNONYMS: tuple[Synonym, ...] = (
    Synonym("normal", TradingState.ACTIVE),
    Synonym("cautious", TradingState.ACTIVE, "openings at half size"),
    Synonym("soft halt", TradingState.REDUCING),
    Synonym("defensive", TradingState.REDUCING),
    Synonym("hard halt", TradingState.HALTED),
    Synonym("emergency", TradingState.HALTED),
    Synonym("breaker tripped soft", TradingState.REDUCING, "until its cooldown ends"),
    Synonym("breaker tripped hard", TradingState.HALTED, "until a person resets it"),
)
"""How other vocabularies map onto the trading state."""
