"""Who may do what: bearer tokens and their roles, the same over HTTP and gRPC.

Guarantees: tokens are compared in constant time; an empty token admits nobody; a role may do all that the roles below it may.
"""

from __future__ import annotations

import hmac

from titan.runtime import ApiTokens

ROLES = ("observer", "operator", "risk_owner")


def role_of(authorization: str, tokens: ApiTokens) -> str | None:
    """The role of an `Authorization` value, the highest that its bearer token has; None for one that is not known."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not given:
        return None
    for role in reversed(ROLES):
        known: str = getattr(tokens, role)
        if known and hmac.compare_digest(known.encode(), given.encode()):
            return role
    return None


def suffices(held: str, needed: str) -> bool:
    """Whether a role may do what `needed` may."""
    return ROLES.index(held) >= ROLES.index(needed)
