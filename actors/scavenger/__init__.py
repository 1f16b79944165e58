"""The Scavenger phase: traps at prices where others are forced to trade."""

from actors.scavenger.config import ScavengerConfig, config_from_environment
from actors.scavenger.core import ScavengerCore

__all__ = ["ScavengerConfig", "ScavengerCore", "config_from_environment"]
