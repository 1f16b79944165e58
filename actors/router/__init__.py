"""The router: verify, guard, journal, send, track. Owns live positions, equity and the trading state.

The shell is `actors.router.actor:Router`; it is not imported here, so that the core's users do not pay for the bus.
"""

from actors.router.core import RouterCore
from actors.router.state import RouterConfig

__all__ = ["RouterConfig", "RouterCore"]
