"""How an order is worked: execution styles as pure state machines, the split over venues, the gate on market impact."""

from titan.algos.engine import step
from titan.algos.impact import Impact, ImpactGate, impact_bps
from titan.algos.model import (
    Act,
    Cancel,
    Child,
    ChildStatus,
    Finish,
    Grid,
    Leg,
    Parent,
    Place,
    Step,
    Top,
)
from titan.algos.routing import NoVenue, Route, Rules, parse_rules, route
from titan.algos.split import Target, Unsplittable, split

__all__ = [
    "Act",
    "Cancel",
    "Child",
    "ChildStatus",
    "Finish",
    "Grid",
    "Impact",
    "ImpactGate",
    "Leg",
    "NoVenue",
    "Parent",
    "Place",
    "Route",
    "Rules",
    "Step",
    "Target",
    "Top",
    "Unsplittable",
    "impact_bps",
    "parse_rules",
    "route",
    "split",
    "step",
]
