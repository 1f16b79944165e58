"""What Binance can do, how it says no, and how much may be asked of it.

Guarantees: constants only. Sources: https://developers.binance.com/docs/derivatives/usds-margined-futures (general info,
error codes; weights: each endpoint's page). Never: I/O.
"""

from __future__ import annotations

from titan.venues import binance_shapes as shapes
from titan.venues.base import ClientIdRule, PostOnlyRefusal, Protection, VenueCapabilities
from titan.venues.errors import ErrorRules
from titan.venues.limits import Budget
from titan.venues.rest import VenueProfile

PROFILE = VenueProfile(
    capabilities=VenueCapabilities(
        time_in_force=shapes.TIME_IN_FORCE,
        client_id_max=36,
        client_id_chars="[.A-Z:/a-z0-9_-]",
        client_id_rule=ClientIdRule.REFUSED_WHILE_OPEN,
        protection=Protection.FIRST,
        post_only_refusal=PostOnlyRefusal.REJECTED,
        amends=frozenset({"price", "quantity"}),
    ),
    # -1003 and -1015: too many requests; -1008: throttled. -1000, -1001, -1006, -1007: status unknown.
    # -4116: the id belongs to an open order, which may be ours.
    errors=ErrorRules(
        code="code",
        message=("msg",),
        transient=frozenset({-1003, -1008, -1015}),
        ambiguous=frozenset({-1000, -1001, -1006, -1007, -4116}),
        clock=frozenset({-1021}),
    ),
    budgets=(
        Budget("weight", 2400, 40, reserve=400),
        Budget("orders_10s", 300, 30, reserve=60),
        Budget("orders_1m", 1200, 20, reserve=200),
    ),
    time_call="fapipublic_get_time",
    server_ms=lambda answer: int(answer["serverTime"]),
)
