"""What tests and tools need to stand up a run of their own.

Guarantees: a runtime made here is complete and points only at loopback. Never: part of a start by `titan up`.
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Any

from titan.runtime import DEFAULT_PORTS, ApiTokens, HmacKey, Runtime

POLICY = Path(__file__).resolve().parents[1] / "ops" / "config" / "risk_policy.json"


def free_ports(count: int) -> list[int]:
    """Distinct free loopback ports."""
    held = [socket.socket() for _ in range(count)]
    try:
        for sock in held:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in held]
    finally:
        for sock in held:
            sock.close()


def runtime_for_tests(
    home: Path,
    *,
    nats_url: str,
    nats_user: str = "",
    nats_password: str = "",
    postgres_dsn: str = "",
    redis_url: str = "",
    **overrides: Any,
) -> Runtime:
    """A saved runtime under `home` with fresh keys, tokens and ports; `overrides` replace fields."""
    ports = dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True))
    fields: dict[str, Any] = {
        "home": home,
        "nats_url": nats_url,
        "nats_user": nats_user,
        "nats_password": nats_password,
        "postgres_dsn": postgres_dsn,
        "redis_url": redis_url,
        "ports": ports,
        "hmac_key": HmacKey(key_id="test", secret=secrets.token_hex(32)),
        "policy_path": POLICY,
        "api_tokens": ApiTokens(observer="observer-token", operator="operator-token", risk_owner="owner-token"),
        **overrides,
    }
    runtime = Runtime.model_validate(fields)
    runtime.save()
    return runtime
