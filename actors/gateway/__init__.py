"""Lets operators and programs in: gRPC control, health, reflection. Remembers nothing; decides nothing."""

from actors.gateway.core import ReadModel

__all__ = ["ReadModel"]
