"""What is particular to MEXC futures: capabilities, error codes, budgets.

Sources: the pages named in `mexc` and https://www.mexc.com/api-docs/futures/error-code.
"""

from __future__ import annotations

from titan.venues import mexc_shapes as shapes
from titan.venues.base import ClientIdRule, PostOnlyRefusal, Protection, VenueCapabilities
from titan.venues.errors import ErrorRules
from titan.venues.limits import Budget
from titan.venues.rest import VenueProfile

PROFILE = VenueProfile(
    capabilities=VenueCapabilities(
        time_in_force=shapes.TIME_IN_FORCE,
        client_id_max=32,
        client_id_chars="[A-Za-z0-9_-]",
        client_id_rule=ClientIdRule.REFUSED_WHILE_OPEN,
        protection=Protection.ATTACHED,
        post_only_refusal=PostOnlyRefusal.CANCELED,
        amends=frozenset(),
    ),
    # 510, 2037: too frequent. 500, 501, 503, 504: the outcome is open. 603, 2042: the id is known, it may be ours.
    errors=ErrorRules(
        code="code",
        message=("message", "msg"),
        transient=frozenset({510, 2037}),
        ambiguous=frozenset({500, 501, 503, 504, 603, 2042}),
        clock=frozenset({513, 10073, 700003}),
    ),
    budgets=(
        Budget("create", 4, 2, reserve=2),
        Budget("cancel", 20, 10),
        Budget("query", 20, 10, reserve=4),
    ),
    time_call="contract_public_get_ping",
    server_ms=lambda answer: int(answer["data"]),
)
