"""Measures of Titan's speed and size on this machine: real code, real servers, real processes."""

from ops.bench.registry import BENCHES, Bench
from ops.bench.result import Options, Report, Row, Target

__all__ = ["BENCHES", "Bench", "Options", "Report", "Row", "Target"]
