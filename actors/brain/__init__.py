"""The brain: approves, sizes and signs what phases propose."""

from actors.brain.actor import Brain
from actors.brain.config import BrainConfig
from actors.brain.core import BrainCore

__all__ = ["Brain", "BrainConfig", "BrainCore"]
