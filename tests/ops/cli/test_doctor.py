"""What keeps Titan from starting is named by doctor, with what to do."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ops.cli import doctor
from ops.cli.journal import journal_of
from titan.journal import Journal


def failed(home: Path) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks(home) if check.verdict == "fail"}


def test_a_port_that_somebody_holds_is_named_with_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        monkeypatch.setattr(doctor, "DEFAULT_PORTS", {"execution_loopback": port})
        found = failed(tmp_path)[f"port {port}"]
    assert found.seen.startswith("execution_loopback: held by ")
    assert "TITAN_PORTS=auto" in found.fix
    assert f"port {port}" not in failed(tmp_path)


def test_a_journal_or_secret_that_others_can_read_is_named(tmp_path: Path) -> None:
    path = journal_of(tmp_path)
    Journal.open(path).close()
    secret = tmp_path / "run" / "secrets" / "hmac"
    secret.parent.mkdir(parents=True)
    secret.write_text("x")
    secret.chmod(0o600)
    assert not {name for name in failed(tmp_path) if name.startswith("mode ")}
    path.chmod(0o644)
    secret.chmod(0o640)
    found = failed(tmp_path)
    assert found[f"mode {path.name}"].fix == f"chmod 600 {path}"
    assert found["mode hmac"].seen == f"0640 {secret}"


def test_a_policy_or_a_setting_that_does_not_validate_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy.json"
    whole = json.loads((Path(doctor.__file__).parents[1] / "config" / "risk_policy.json").read_text())
    policy.write_text(json.dumps({**whole, "maxAccountLeverage": -1}))
    monkeypatch.setenv("TITAN_POLICY", str(policy))
    assert "maxAccountLeverage must be" in failed(tmp_path)["policy"].seen
    monkeypatch.setenv("TITAN_FEEED", "auto")
    assert "TITAN_FEEED" in failed(tmp_path)["settings"].seen
