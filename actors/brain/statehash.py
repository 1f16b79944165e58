"""A short fingerprint of how the system stands, for an operator to quote. Source: reference/brain.md section 2.8."""

from __future__ import annotations

import hashlib


def operator_state_text(mode: str, posture: str, phase1: str, phase2: str, phase3: str, breaker: str) -> str:
    """What is hashed: mode, posture (armed, disarmed, halted), the phases' status and breaker (open, closed)."""
    return f"{mode}:{posture}:{phase1}:{phase2}:{phase3}:{breaker}"


def operator_state_hash(mode: str, posture: str, phase1: str, phase2: str, phase3: str, breaker: str) -> str:
    """The first 16 hex digits of the SHA-256 of that text."""
    text = operator_state_text(mode, posture, phase1, phase2, phase3, breaker)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
