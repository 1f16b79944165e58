"""The bus: signed protobuf messages over NATS, for shells only."""

from titan.bus.connection import Bus, Handler, open_bus
from titan.bus.consumption import outside
from titan.bus.opening import Received
from titan.bus.streams import wait_for_port

__all__ = ["Bus", "Handler", "Received", "open_bus", "outside", "wait_for_port"]
