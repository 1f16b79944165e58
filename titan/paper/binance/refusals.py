"""Binance's error codes for what the venue refuses.

Sources: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code; the texts follow its list.
Guarantees: every refusal has one HTTP status and one code. Never: a decision.
"""

from __future__ import annotations

from titan.paper.orders import Refused, RetCode

BAD_REQUEST = 400
UNAUTHORIZED = 401

_CODES: dict[RetCode, tuple[int, str]] = {
    RetCode.ORDER_NOT_EXISTS: (-2011, "Unknown order sent."),
    RetCode.INSUFFICIENT_BALANCE: (-2019, "Margin is insufficient."),
    RetCode.LEVERAGE_RISK: (-4028, "Leverage is not valid"),
    RetCode.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    RetCode.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    RetCode.DUPLICATE_LINK_ID: (-4116, "ClientOrderId is duplicated."),
    RetCode.EXPECT_RISING: (-2021, "Order would immediately trigger."),
    RetCode.EXPECT_FALLING: (-2021, "Order would immediately trigger."),
    RetCode.MIN_NOTIONAL: (
        -4164,
        "Order's notional must be no smaller than the minimum (unless you choose reduce only).",
    ),
}
_TEXTS: tuple[tuple[str, int, str], ...] = (
    ("params error: symbol invalid", -1121, "Invalid symbol."),
    ("Price invalid", -4014, "Price not increased by tick size."),
    ("triggerPrice invalid", -4014, "Price not increased by tick size."),
    ("Qty invalid", -1111, "Precision is over the maximum defined for this asset."),
    ("The number of contracts exceeds minimum", -4003, "Quantity less than zero."),
    ("The number of contracts exceeds maximum", -4005, "Quantity greater than max quantity."),
    ("params error: orderLinkId has", -4015, "Client order id length should not be more than 36 chars"),
    ("params error: orderLinkId", -1100, "Illegal characters found in parameter 'newClientOrderId'."),
)


class ApiError(Exception):
    """A refusal as Binance words it."""

    def __init__(self, code: int, message: str, status: int = BAD_REQUEST) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def refusal(refused: Refused) -> ApiError:
    """The error behind a refusal of the core; what was seen stands behind Binance's text."""
    for start, code, text in _TEXTS:
        if refused.message.startswith(start):
            return ApiError(code, f"{text} [{refused.message}]")
    code, text = _CODES.get(refused.code, (-1102, "A mandatory parameter was malformed."))
    return ApiError(code, f"{text} [{refused.message}]")
