"""The sentences of an escalation: what a person is told when restarting does not help.

Never: a decision.
"""

from __future__ import annotations

from supervisors.spec import Escalation, SupervisorSpec
from titan.effects import RaiseAlert, Severity

_ALERTS: dict[Escalation, tuple[str, Severity, str]] = {
    Escalation.SHUTDOWN: ("SUPERVISOR_GAVE_UP", "CRITICAL", "took its supervisor down"),
    Escalation.HALT: ("SUPERVISOR_HALT", "CRITICAL", "keeps failing, trading is halted while it is tried again"),
    Escalation.QUARANTINE: ("ACTOR_QUARANTINED", "CRITICAL", "is quarantined until someone restarts it"),
    Escalation.DEGRADE: ("SUPERVISOR_DEGRADED", "WARNING", "keeps failing and is tried again"),
}


def too_many(spec: SupervisorSpec, last: str) -> str:
    """Why a supervisor escalates."""
    limit = spec.intensity
    return f"more than {limit.max_restarts} restarts within {limit.period_ms / 1000:g} s, the last: {last}"


def alert(spec: SupervisorSpec, child: str, why: str) -> RaiseAlert:
    """The alert that goes with an escalation."""
    code, severity, text = _ALERTS[spec.escalation]
    return RaiseAlert(code, severity, f"{child} {text}: {why}", {"actor": child, "supervisor": spec.name})


def recovered(spec: SupervisorSpec) -> RaiseAlert:
    """The alert that ends an escalation."""
    text = f"every child of {spec.name} is stable again"
    return RaiseAlert("SUPERVISOR_RECOVERED", "INFO", text, {"supervisor": spec.name})
