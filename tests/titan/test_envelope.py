"""The signed envelope: what opens, what does not, and by which reason it is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import envelope_pb2 as pb
from titan.codes import DeadLetterReason
from titan.envelope import Head, KeyRing, ReplayCache, SigningKey, Verifier, seal
from titan.errors import ConfigError, Rejected

NOW = 1_700_000_000_000
KEY = SigningKey("one", b"secret-one")
NEXT = SigningKey("two", b"secret-two")
SUBJECT = "titan.signal.submit.v1"


def sealed(
    key: SigningKey = KEY, subject: str = SUBJECT, ts_ms: int = NOW, payload: bytes = b"x", entropy: bytes | None = None
) -> bytes:
    head = Head(subject=subject, type="titan.v1.Signal", producer="test", ts_ms=ts_ms)
    return seal(key, head, payload, entropy or os.urandom(26))[1]


def refusal(raw: bytes, subject: str = SUBJECT, verifier: Verifier | None = None, now: int = NOW) -> str:
    with pytest.raises(Rejected) as caught:
        (verifier or Verifier(KeyRing(KEY))).open(raw, subject, now)
    return caught.value.code


def test_what_was_sealed_opens_with_its_head_and_payload() -> None:
    opened = Verifier(KeyRing(KEY)).open(sealed(payload=b"payload"), SUBJECT, NOW + 10)
    assert opened.envelope.payload == b"payload"
    assert opened.envelope.subject == SUBJECT
    assert opened.envelope.correlation_id == opened.envelope.id
    assert not opened.duplicate


@given(position=st.integers(min_value=0), value=st.integers(min_value=1, max_value=255))
def test_any_changed_byte_is_refused(position: int, value: int) -> None:
    raw = bytearray(sealed(entropy=bytes(26)))
    raw[position % len(raw)] ^= value
    with pytest.raises(Rejected):
        Verifier(KeyRing(KEY)).open(bytes(raw), SUBJECT, NOW)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_never_crash(raw: bytes) -> None:
    with pytest.raises(Rejected):
        Verifier(KeyRing(KEY)).open(raw, SUBJECT, NOW)


def test_bytes_without_signature_are_unsigned() -> None:
    body = pb.Signed.FromString(sealed()).body
    assert refusal(pb.Signed(body=body, key_id="one").SerializeToString()) == DeadLetterReason.UNSIGNED


def test_a_signature_of_another_secret_does_not_match() -> None:
    assert refusal(sealed(SigningKey("one", b"other"))) == DeadLetterReason.BAD_SIGNATURE


def test_an_unknown_key_id_is_named() -> None:
    assert refusal(sealed(NEXT)) == DeadLetterReason.UNKNOWN_KEY


def test_both_live_keys_verify_during_a_rotation() -> None:
    verifier = Verifier(KeyRing(KEY, NEXT))
    assert verifier.open(sealed(KEY), SUBJECT, NOW).envelope.payload == b"x"
    assert verifier.open(sealed(NEXT), SUBJECT, NOW).envelope.payload == b"x"


def test_a_message_is_valid_only_on_the_subject_it_was_signed_for() -> None:
    assert refusal(sealed(), subject="titan.cmd.operator.arm.v1") == DeadLetterReason.WRONG_SUBJECT


@pytest.mark.parametrize("age_ms", [300_001, -300_001])
def test_a_message_outside_the_tolerance_is_expired(age_ms: int) -> None:
    assert refusal(sealed(), now=NOW + age_ms) == DeadLetterReason.EXPIRED


@pytest.mark.parametrize("age_ms", [300_000, -300_000])
def test_a_message_at_the_tolerance_is_accepted(age_ms: int) -> None:
    assert Verifier(KeyRing(KEY)).open(sealed(), SUBJECT, NOW + age_ms).envelope.payload == b"x"


def test_a_message_that_waited_in_its_stream_may_be_old_but_not_from_the_future() -> None:
    verifier = Verifier(KeyRing(KEY))
    assert not verifier.open(sealed(), SUBJECT, NOW + 3_600_000, from_stream=True).duplicate
    with pytest.raises(Rejected, match="EXPIRED"):
        verifier.open(sealed(), SUBJECT, NOW - 300_001, from_stream=True)


def test_identical_bytes_again_are_a_duplicate_not_an_attack() -> None:
    verifier, raw = Verifier(KeyRing(KEY)), sealed()
    assert not verifier.open(raw, SUBJECT, NOW).duplicate
    assert verifier.open(raw, SUBJECT, NOW + 5).duplicate


@pytest.mark.parametrize("from_stream", [False, True])
def test_a_nonce_with_other_bytes_is_an_attack(from_stream: bool) -> None:
    verifier, entropy = Verifier(KeyRing(KEY)), os.urandom(26)
    verifier.open(sealed(payload=b"a", entropy=entropy), SUBJECT, NOW)
    with pytest.raises(Rejected, match="REPLAYED"):
        verifier.open(sealed(payload=b"b", entropy=entropy), SUBJECT, NOW, from_stream=from_stream)


def test_an_empty_secret_is_fatal() -> None:
    with pytest.raises(ConfigError, match="HMAC_SECRET is empty"):
        SigningKey("one", b"")


def test_the_replay_cache_forgets_what_is_too_old_and_stays_bounded() -> None:
    cache = ReplayCache(keep_ms=100, limit=3)
    for index in range(5):
        assert cache.first_time(f"n{index}", b"s", NOW)
    assert len(cache) == 3
    assert cache.first_time("later", b"s", NOW + 101)
    assert len(cache) == 1
