"""Bybit v5 authentication: HMAC-SHA256 over timestamp, key, window and payload, judged by wall time.

Guarantees: a wrong key, signature or stale timestamp is refused with Bybit's code; comparison takes constant time.
Never: market time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from titan.paper.orders import Refused, RetCode

DEFAULT_RECV_WINDOW_MS = 5000
MAX_AHEAD_MS = 1000


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one API key of the venue."""

    api_key: str
    api_secret: str

    def sign(self, text: str) -> str:
        """Hex HMAC-SHA256 of `text`."""
        return hmac.new(self.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def load_credentials(path: Path) -> Credentials:
    """Reads the key file, or makes one with a random key readable by the owner only.

    Raises ValueError when the file holds something else than `api_key` and `api_secret`.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Credentials(secrets.token_hex(9), secrets.token_hex(18))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"api_key": made.api_key, "api_secret": made.api_secret}, file)
        return made
    try:
        raw = json.loads(path.read_text())
        return Credentials(str(raw["api_key"]), str(raw["api_secret"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must hold a JSON object with api_key and api_secret ({error!r})") from error


def check_request(credentials: Credentials, headers: Mapping[str, str], payload: str, wall_ms: int) -> Refused | None:
    """Judges a REST request; `payload` is the raw query string of a GET or the raw body of a POST."""
    key = headers.get("X-BAPI-API-KEY", "")
    stamp = headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", str(DEFAULT_RECV_WINDOW_MS))
    if not hmac.compare_digest(key.encode(), credentials.api_key.encode()):
        return Refused(RetCode.BAD_KEY, "API key is invalid.")
    if not stamp.isdigit() or not window.isdigit():
        return Refused(
            RetCode.PARAMS, f"params error: timestamp {stamp!r} and recv_window {window!r} must be milliseconds"
        )
    if not wall_ms - int(window) <= int(stamp) < wall_ms + MAX_AHEAD_MS:
        return Refused(
            RetCode.EXPIRED,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{wall_ms}],recv_window[{window}]",
        )
    given = headers.get("X-BAPI-SIGN", "")
    if not hmac.compare_digest(given.encode(), credentials.sign(f"{stamp}{key}{window}{payload}").encode()):
        return Refused(RetCode.BAD_SIGN, f"error sign! origin_string[{stamp}{key}{window}{payload}]")
    return None


def check_stream(credentials: Credentials, args: object, wall_ms: int) -> Refused | None:
    """Judges the `auth` operation of a WebSocket: [key, expires in wall ms, signature of GET/realtime + expires]."""
    if not isinstance(args, list) or len(args) != 3:
        return Refused(RetCode.PARAMS, "Params Error: auth needs [api_key, expires, signature]")
    key, expires, given = (str(part) for part in args)
    if not hmac.compare_digest(key.encode(), credentials.api_key.encode()):
        return Refused(RetCode.BAD_KEY, "API key is invalid.")
    if not expires.isdigit() or int(expires) <= wall_ms:
        return Refused(RetCode.EXPIRED, f"Request expired: expires[{expires}],server_timestamp[{wall_ms}]")
    if not hmac.compare_digest(given.encode(), credentials.sign(f"GET/realtime{expires}").encode()):
        return Refused(RetCode.BAD_SIGN, "error sign! the signature does not match GET/realtime and expires")
    return None
