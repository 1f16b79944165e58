"""Rotation of the signing key and of the database's password: two live keys, one restart, taken back when it fails."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.ops.deploy.test_deploy_prod import ROOT, Host, host
from titan.codes import DeadLetterReason
from titan.envelope import Head, KeyRing, SigningKey, Verifier, seal
from titan.errors import Rejected

__all__ = ["host"]
HMAC, DATABASE = "ops/scripts/rotate_hmac.sh", "ops/scripts/rotate_db_password.sh"
NOW_MS = 1_700_000_000_000


@pytest.fixture
def titan_host(host: Host) -> Host:
    """A host on which Titan runs and trades."""
    for name in (HMAC, DATABASE, "ops/scripts/secrets_lib.sh"):
        shutil.copy(ROOT / name, host.root / name)
    host.tell("tag", "good")
    host.tell("state", "ACTIVE")
    return host


def secrets(host: Host) -> dict[str, str]:
    lines = host.env_file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))


def kept_files(host: Host) -> list[str]:
    return sorted(path.name for path in host.env_file.parent.iterdir())


def ring(now: dict[str, str]) -> KeyRing:
    """The keys that Titan would hold with these secrets."""
    current = SigningKey(now["HMAC_KEY_ID"], now["HMAC_SECRET"].encode())
    following = now["HMAC_SECRET_NEXT"]
    return KeyRing(current, SigningKey(now["HMAC_KEY_ID_NEXT"], following.encode()) if following else None)


def message(now: dict[str, str], number: int) -> bytes:
    """A message as it waits in a stream, signed with the key of that time."""
    return seal(ring(now).current, Head("titan.x", "X", "brain", NOW_MS), b"", bytes([number]) * 26)[1]


def test_two_keys_live_from_begin_to_end_and_then_the_old_one_is_refused(titan_host: Host) -> None:
    before = secrets(titan_host)
    assert titan_host.run("begin", script=HMAC).returncode == 0
    between = secrets(titan_host)
    assert between["HMAC_SECRET"] != before["HMAC_SECRET"]
    assert between["HMAC_KEY_ID"] != before["HMAC_KEY_ID"]
    assert (between["HMAC_SECRET_NEXT"], between["HMAC_KEY_ID_NEXT"]) == (before["HMAC_SECRET"], before["HMAC_KEY_ID"])
    assert titan_host.run("end", script=HMAC, TITAN_HMAC_TOLERANCE_S="0").returncode == 0
    after = secrets(titan_host)
    assert after["HMAC_SECRET"] == between["HMAC_SECRET"]
    assert after["HMAC_SECRET_NEXT"] == after["HMAC_KEY_ID_NEXT"] == ""
    assert titan_host.read("state") == "DISARMED"
    old, new = message(before, 1), message(between, 2)
    # What waited in a stream is not lost while both are live; afterwards only the new key counts.
    for wire in (old, new):
        assert not Verifier(ring(between)).open(wire, "titan.x", NOW_MS).duplicate
    assert not Verifier(ring(after)).open(new, "titan.x", NOW_MS).duplicate
    with pytest.raises(Rejected) as refused:
        Verifier(ring(after)).open(old, "titan.x", NOW_MS)
    assert refused.value.code == DeadLetterReason.UNKNOWN_KEY


def test_every_titan_container_is_recreated_in_one_command(titan_host: Host) -> None:
    assert titan_host.run("begin", script=HMAC).returncode == 0
    ups = [call for call in titan_host.read("calls").splitlines() if " up " in call]
    assert len(ups) == 1
    assert ups[0].endswith("--force-recreate --no-deps titan-core titan-brain titan-execution titan-scavenger")


def test_it_is_disarmed_before_anything_changes(titan_host: Host) -> None:
    titan_host.tell("stuck", "yes")
    before = titan_host.env_file.read_text()
    for arguments, script in ((("begin",), HMAC), ((), DATABASE)):
        done = titan_host.run(*arguments, script=script)
        assert done.returncode == 4
        assert "could not be disarmed" in done.stderr
    assert titan_host.env_file.read_text() == before
    assert not any(word in titan_host.read("calls") for word in (" up ", "psql"))


def test_the_old_key_is_not_forgotten_too_early(titan_host: Host) -> None:
    assert titan_host.run("begin", script=HMAC).returncode == 0
    done = titan_host.run("end", script=HMAC)
    assert done.returncode == 4
    assert "wait until 300 s" in done.stderr
    assert secrets(titan_host)["HMAC_SECRET_NEXT"]


def test_the_old_key_is_not_forgotten_while_messages_wait(titan_host: Host) -> None:
    assert titan_host.run("begin", script=HMAC).returncode == 0
    titan_host.tell("backlog", '"EXECUTION_FILLS": 3')
    done = titan_host.run("end", script=HMAC, TITAN_HMAC_TOLERANCE_S="0")
    assert done.returncode == 4
    assert "still wait" in done.stderr


@pytest.mark.parametrize(("order", "why"), [(("end",), "no rotation"), ((), "say begin or end")])
def test_a_rotation_out_of_order_is_refused(titan_host: Host, order: tuple[str, ...], why: str) -> None:
    done = titan_host.run(*order, script=HMAC)
    assert done.returncode == 4
    assert why in done.stderr


def test_a_second_begin_is_refused(titan_host: Host) -> None:
    assert titan_host.run("begin", script=HMAC).returncode == 0
    assert "under way" in titan_host.run("begin", script=HMAC).stderr


@pytest.mark.parametrize("script", [HMAC, DATABASE])
def test_secrets_that_do_not_work_are_put_back(titan_host: Host, script: str) -> None:
    before = secrets(titan_host)
    files = kept_files(titan_host)
    titan_host.tell(f"broken-{before['TITAN_TAG']}", "sick")
    done = titan_host.run(*(("begin",) if script == HMAC else ()), script=script)
    assert done.returncode == 1
    assert secrets(titan_host) == before
    assert kept_files(titan_host) == files
    passwords = re.findall(r"PASSWORD '(\w+)'", titan_host.read("sql"))
    assert passwords[1:] == ([before["TITAN_DB_PASSWORD"]] if script == DATABASE else [])


def test_the_databases_password_changes_there_first_and_shows_in_no_argument(titan_host: Host) -> None:
    before = secrets(titan_host)
    assert titan_host.run(script=DATABASE).returncode == 0
    after = secrets(titan_host)
    assert after["TITAN_DB_PASSWORD"] != before["TITAN_DB_PASSWORD"]
    assert {name for name in after if after[name] != before[name]} == {"TITAN_DB_PASSWORD"}
    assert re.findall(r"PASSWORD '(\w+)'", titan_host.read("sql")) == [after["TITAN_DB_PASSWORD"]]
    calls = titan_host.read("calls")
    assert after["TITAN_DB_PASSWORD"] not in calls
    assert calls.index("psql") < calls.index(" up ")
    assert titan_host.env_file.stat().st_mode & 0o777 == 0o600
    assert kept_files(titan_host) == [Path(titan_host.env_file).name]
