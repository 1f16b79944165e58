"""A coded no of the router."""

from __future__ import annotations

from dataclasses import dataclass

from titan.codes import RejectCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not."""

    code: RejectCode
    detail: str
