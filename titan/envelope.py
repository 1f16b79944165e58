"""Signed bytes: how a message proves who made it, for which subject, and that it is new.

Guarantees: the HMAC-SHA256 covers the body exactly as received, so nothing is re-encoded to verify it; two keys may
be live at once; a nonce seen with other bytes is an attack, identical bytes are a duplicate; a message is valid only
on the subject it was signed for, within 300 s of wall time. Never: a clock or a random source of its own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from hmac import compare_digest, digest

from google.protobuf.message import DecodeError

from protos import envelope_pb2 as pb
from titan.codes import DeadLetterReason
from titan.errors import ConfigError, Rejected
from titan.ids import ulid_from
from titan.runtime import Runtime
from titan.values import value

TOLERANCE_MS = 300_000
SCHEMA_VERSION = 1
MAX_REMEMBERED = 500_000


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of the bus. Raises ConfigError when empty."""

    key_id: str
    secret: bytes

    def __post_init__(self) -> None:
        if not self.secret:
            raise ConfigError("HMAC_SECRET is empty: the bus would accept anything; set it, or run in paper mode")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs, and the keys that verify (the current and at most one next or previous)."""

    current: SigningKey
    other: SigningKey | None = None

    @classmethod
    def of(cls, runtime: Runtime) -> KeyRing:
        """The ring of a run."""
        following = runtime.hmac_key_next
        return cls(
            SigningKey(runtime.hmac_key.key_id, runtime.hmac_key.secret.encode()),
            None if following is None else SigningKey(following.key_id, following.secret.encode()),
        )

    @property
    def live(self) -> tuple[SigningKey, ...]:
        """The keys that verify."""
        return (self.current,) if self.other is None else (self.other, self.current)


@dataclass(frozen=True, slots=True)
class Head:
    """What an envelope says beside its payload."""

    subject: str
    type: str
    producer: str
    ts_ms: int
    correlation_id: str = ""
    causation_id: str = ""
    idempotency_key: str = ""
    partition_key: str = ""
    envelope_id: str = ""


def seal(key: SigningKey, head: Head, payload: bytes, entropy: bytes) -> tuple[str, bytes]:
    """Signs `payload` for one subject; returns (envelope id, wire bytes).

    `entropy` is 26 random bytes: 16 make the nonce, 10 the ULID when the head names no id.
    """
    envelope_id = head.envelope_id or ulid_from(head.ts_ms, entropy[16:26])
    body = pb.Envelope(
        id=envelope_id,
        type=head.type,
        subject=head.subject,
        schema_version=SCHEMA_VERSION,
        ts_ms=head.ts_ms,
        producer=head.producer,
        correlation_id=head.correlation_id or envelope_id,
        causation_id=head.causation_id,
        idempotency_key=head.idempotency_key,
        partition_key=head.partition_key,
        nonce=entropy[:16].hex(),
        payload=payload,
    ).SerializeToString()
    signature = digest(key.secret, body, "sha256")
    wire: bytes = pb.Signed(body=body, key_id=key.key_id, signature=signature).SerializeToString()
    return envelope_id, wire


class ReplayCache:
    """Remembers nonces for twice the tolerance, each with a digest of the bytes it came with. Bounded."""

    def __init__(self, keep_ms: int = 2 * TOLERANCE_MS, limit: int = MAX_REMEMBERED) -> None:
        self._keep_ms = keep_ms
        self._limit = limit
        self._seen: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._forget_from_ms = 0

    def __len__(self) -> int:
        return len(self._seen)

    def first_time(self, nonce: str, signature: bytes, now_ms: int) -> bool:
        """True for a new nonce, False for an identical copy. Raises Rejected(REPLAYED) when the bytes differ."""
        held = self._seen.get(nonce)
        if held is not None:
            if compare_digest(held[1], signature):
                return False
            raise Rejected(DeadLetterReason.REPLAYED, f"nonce {nonce} came again with other bytes")
        self._seen[nonce] = (now_ms, signature)
        if now_ms >= self._forget_from_ms or len(self._seen) > self._limit:
            self._forget(now_ms)
        return True

    def _forget(self, now_ms: int) -> None:
        """Drops what is too old or too much, and notes when the next one will be too old."""
        seen = self._seen
        while seen:
            nonce, (at_ms, _) = next(iter(seen.items()))
            if at_ms >= now_ms - self._keep_ms and len(seen) <= self._limit:
                self._forget_from_ms = at_ms + self._keep_ms + 1
                break
            del seen[nonce]


@value
class Opened:
    """A verified envelope; `duplicate` when identical bytes came before."""

    envelope: pb.Envelope
    duplicate: bool


class Verifier:
    """Opens wire bytes, or says why not with a code of DeadLetterReason."""

    def __init__(self, keys: KeyRing, cache: ReplayCache | None = None, tolerance_ms: int = TOLERANCE_MS) -> None:
        # The digest that has taken in the key already is copied for each message: half the work of a short one.
        self._digests = {key.key_id: hmac.new(key.secret, digestmod="sha256") for key in keys.live}
        self._cache = ReplayCache() if cache is None else cache
        self._tolerance_ms = tolerance_ms

    def open(self, raw: bytes, subject: str, now_wall_ms: int, *, from_stream: bool = False) -> Opened:
        """Verifies signature, age, subject and newness. Raises Rejected with a DeadLetterReason.

        A message `from_stream` may have waited there longer than the tolerance; its own time-to-live is judged by
        its handler, which also recognises copies by id. Its nonce is checked all the same.
        """
        try:
            signed = pb.Signed.FromString(raw)
        except DecodeError:
            raise Rejected(DeadLetterReason.UNDECODABLE, f"{len(raw)} bytes are not a Signed message") from None
        body, signature, key_id = signed.body, signed.signature, signed.key_id
        if not signature or not body:
            raise Rejected(DeadLetterReason.UNSIGNED, f"message on {subject} carries no signature")
        keyed = self._digests.get(key_id)
        if keyed is None:
            raise Rejected(DeadLetterReason.UNKNOWN_KEY, f"key id {key_id!r} is not live")
        proof = keyed.copy()
        proof.update(body)
        if not compare_digest(proof.digest(), signature):
            raise Rejected(DeadLetterReason.BAD_SIGNATURE, f"signature of a message on {subject} does not match")
        try:
            envelope = pb.Envelope.FromString(body)
        except DecodeError:
            raise Rejected(DeadLetterReason.UNDECODABLE, "the signed body is not an envelope") from None
        if envelope.subject != subject:
            raise Rejected(DeadLetterReason.WRONG_SUBJECT, f"signed for {envelope.subject!r}, came on {subject!r}")
        nonce = envelope.nonce
        if not nonce:
            raise Rejected(DeadLetterReason.INVALID, "the envelope has no nonce")
        age = now_wall_ms - envelope.ts_ms
        tolerance = self._tolerance_ms
        if not -tolerance <= age <= tolerance and not (from_stream and age > 0):
            raise Rejected(DeadLetterReason.EXPIRED, f"message is {age} ms old, at most {tolerance} allowed")
        return Opened(envelope, not self._cache.first_time(nonce, signature, now_wall_ms))


def digest_of(raw: bytes) -> str:
    """A short name for bytes in logs."""
    return hashlib.sha256(raw).hexdigest()[:16]
