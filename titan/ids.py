"""Identifiers: ULIDs from given time and randomness, client order ids as a pure function.

Guarantees: the same inputs give the same id on every machine, so a replay names the same order again.
Never: a clock or a random source of its own in the pure functions.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import NewType

IntentId = NewType("IntentId", str)
SignalId = NewType("SignalId", str)
ClientOrderId = NewType("ClientOrderId", str)

CLIENT_ORDER_PREFIX = "tt"
CLIENT_ORDER_ID_LENGTH = 32
ULID_LENGTH = 26
MAX_CHILDREN = 1024
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Every message and decision gets an id: two characters at a time is 2 us, python-ulid's text is 12.
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_SHIFTS = range(120, -1, -10)
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_HEADS = tuple(f"{CLIENT_ORDER_PREFIX}{high}{low}" for high in _BASE32 for low in _BASE32)
_DIGITS = CLIENT_ORDER_ID_LENGTH - len(_HEADS[0])
_LENGTHS = (CLIENT_ORDER_ID_LENGTH, len(_HEADS[0]) + ULID_LENGTH)


def ulid_from(ts_ms: int, entropy: bytes) -> str:
    """A ULID of 26 characters from wall time in ms and 10 bytes of entropy. Raises ValueError on other lengths."""
    if len(entropy) != 10:
        raise ValueError(f"a ULID needs 10 bytes of entropy, got {len(entropy)}")
    whole = int.from_bytes(ts_ms.to_bytes(6, "big") + entropy, "big")
    return "".join([_PAIRS[whole >> shift & 1023] for shift in _SHIFTS])


def new_ulid() -> str:
    """A fresh ULID from the system's clock and random source. For shells only."""
    return ulid_from(time.time_ns() // 1_000_000, os.urandom(10))


def deterministic_ulid(ts_ms: int, *parts: str) -> str:
    """A ULID whose entropy is the SHA-256 of `parts`: one event, one id, however often it is seen."""
    digest = sha256("\x1f".join(parts).encode()).digest()
    return ulid_from(ts_ms, digest[:10])


def client_order_id(intent_id: str, child: int) -> ClientOrderId:
    """The venue-side id of child `child` of an intent: at most 32 characters of [a-z0-9], a pure function of its inputs.

    The prefix `tt` and two characters of child number come first. An intent id that is a ULID follows in lower case, so
    that an order at the venue shows the intent it came from; of any other id follow 112 bits of SHA-256 in hexadecimal.
    The two can't meet: they differ in length. Both fit the shortest venue limit known (36 characters at Bybit, 32 at
    MEXC). Raises ValueError outside 0 <= child < 1024.
    """
    if not 0 <= child < MAX_CHILDREN:
        raise ValueError(f"child number {child} is outside 0..{MAX_CHILDREN - 1}")
    if len(intent_id) == ULID_LENGTH and intent_id.isascii() and intent_id.isalnum() and intent_id == intent_id.upper():
        return ClientOrderId(_HEADS[child] + intent_id.lower())
    return ClientOrderId(_HEADS[child] + sha256(intent_id.encode()).hexdigest()[:_DIGITS])


def is_our_client_order_id(text: str) -> bool:
    """Whether an id found at a venue has the form of `client_order_id`."""
    return len(text) in _LENGTHS and text.startswith(CLIENT_ORDER_PREFIX)
