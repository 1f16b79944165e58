"""Signatures of requests and streams."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from titan.paper.orders import RetCode
from titan.paper.protocol.auth import Credentials, check_request, check_stream, load_credentials

KEY = Credentials("key", "secret")
NOW = 1_700_000_000_000


def headers(payload: str, **changes: str) -> dict[str, str]:
    signed = KEY.sign(f"{NOW}key5000{payload}")
    base = {"X-BAPI-API-KEY": "key", "X-BAPI-TIMESTAMP": str(NOW), "X-BAPI-RECV-WINDOW": "5000", "X-BAPI-SIGN": signed}
    return base | {f"X-BAPI-{name.upper().replace('_', '-')}": value for name, value in changes.items()}


def test_a_right_signature_passes() -> None:
    assert check_request(KEY, headers("a=1"), "a=1", NOW + 10) is None


@pytest.mark.parametrize(
    ("changes", "payload", "wall", "code"),
    [
        ({"api_key": "other"}, "a=1", NOW, RetCode.BAD_KEY),
        ({"sign": "00"}, "a=1", NOW, RetCode.BAD_SIGN),
        ({"sign": "ключ"}, "a=1", NOW, RetCode.BAD_SIGN),
        ({}, "a=2", NOW, RetCode.BAD_SIGN),
        ({}, "a=1", NOW + 5001, RetCode.EXPIRED),
        ({}, "a=1", NOW - 1001, RetCode.EXPIRED),
        ({"timestamp": "soon"}, "a=1", NOW, RetCode.PARAMS),
        ({"recv_window": "-"}, "a=1", NOW, RetCode.PARAMS),
    ],
)
def test_a_wrong_request_gets_its_own_code(changes: dict[str, str], payload: str, wall: int, code: RetCode) -> None:
    refused = check_request(KEY, headers("a=1", **changes), payload, wall)
    assert refused is not None
    assert refused.code is code


def test_a_stream_signs_its_expiry() -> None:
    good = ["key", str(NOW + 1000), KEY.sign(f"GET/realtime{NOW + 1000}")]
    assert check_stream(KEY, good, NOW) is None
    cases = {
        RetCode.PARAMS: ["key"],
        RetCode.BAD_KEY: ["other", *good[1:]],
        RetCode.BAD_SIGN: [*good[:2], "00"],
        RetCode.EXPIRED: ["key", str(NOW), KEY.sign(f"GET/realtime{NOW}")],
    }
    for code, args in cases.items():
        refused = check_stream(KEY, args, NOW)
        assert refused is not None
        assert refused.code is code


def test_a_missing_key_file_is_made_for_the_owner_only_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "run" / "keys.json"
    made = load_credentials(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_credentials(path) == made
    assert len(made.api_secret) == 36


def test_a_key_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for text in ("[]", "{", json.dumps({"api_key": "x"})):
        path.write_text(text)
        with pytest.raises(ValueError, match="must hold a JSON object with api_key and api_secret"):
            load_credentials(path)
