"""Whatever stands in Redis, or comes over the bus: read as what it says, or as nothing."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.lease import decode_ended, decode_ending, encode_ending
from gateway.adapters.redis.messages import (
    Acknowledgement,
    NoticeRefused,
    decode_acknowledgement,
    decode_notice,
    encode_acknowledgement,
    encode_notice,
)
from gateway.adapters.redis.records import (
    EnvelopeRefused,
    Raw,
    decode,
    decode_slot,
    encode,
    encode_slot,
)
from gateway.core.cache.entry import Key
from gateway.core.cache.entry_headers import stored_fields
from gateway.core.cache.marks import Mark, Marks, Refusal, Slot, Words, better
from gateway.core.cache.policy import Windows, may_rescue, plan
from gateway.core.http.fields import are_sound
from gateway.core.instant import Instant, to_wire
from gateway.core.vocabulary import EndingKind, FailureReason, NoticeKind
from gateway.ports import Ending, Notice
from tests.doubles.stored import VERSION, WORDS, entry_of
from tests.fuzz.examples import damaged, times

KEY = Key("0123456789abcdef" * 2, "trn_1")
ENTRY = entry_of(headers=((b"etag", b'"a"'), (b"x-a", b"b")))
ENVELOPE, SLOT = (
    encode(KEY, ENTRY),
    Slot(
        Mark(Words("a" * 16, "b" * 16, "c" * 16), VERSION, VERSION),
        ENTRY.facts,
        Refusal(VERSION, 5.0),
    ),
)
MARK, FACTS, REFUSAL = encode_slot(SLOT)
DIGITS = (b"0" * 21, b"9" * 21, b"9" * 16, b"8" * 16, b"0" * 16, b"f" * 16, b"F" * 16, b" ", b"-")

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.sampled_from([200, 404, 0.0, "0" * 21, to_wire(VERSION), ENTRY.digest, ENTRY.date]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
records = st.builds(
    Raw, damaged((MARK,), DIGITS), damaged((FACTS,), DIGITS), damaged((REFUSAL,), DIGITS)
)


def _sealed(rest: bytes) -> bytes:
    """With a right schema and checksum, as who can write to Redis can make them."""
    return ENVELOPE[:1] + blake2b(rest, digest_size=16).digest() + rest


@st.composite
def envelopes(draw: st.DrawFn) -> bytes:
    """Damaged ones; damaged ones with a right checksum; ones with other values in the head."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(damaged((ENVELOPE, FACTS, MARK)))
    if kind == 1:
        return _sealed(draw(damaged((ENVELOPE[17:], FACTS))))
    length = int.from_bytes(ENVELOPE[17:21], "big")
    head = msgspec.msgpack.decode(ENVELOPE[21 : 21 + length])
    for _ in range(draw(st.integers(1, 2))):
        head[draw(st.integers(0, len(head) - 1))] = draw(values)
    forged = msgspec.msgpack.encode(head[: draw(st.sampled_from([len(head), 3]))])
    return _sealed(len(forged).to_bytes(4, "big") + forged + ENVELOPE[21 + length :])


@times(1_000)
@given(envelopes(), st.sampled_from([0.0, 1_700_000_000.0, 4e9]))
def test_an_envelope_is_an_entry_or_refused(data: bytes, now: float) -> None:
    """What is taken can be reckoned with, sent on, and written as the same again."""
    with suppress(EnvelopeRefused):
        entry = decode(KEY, ENTRY.facts, data)

        assert decode(KEY, ENTRY.facts, encode(KEY, entry)) == entry
        assert are_sound(stored_fields(entry, vary=True))
        assert entry.is_negative is (entry.status != 200)
        assert plan(entry, now, Windows()) is plan(entry, now, Windows())
        assert isinstance(may_rescue(entry, now, Windows()), bool)
        assert isinstance(entry.is_ahead, bool)


@times(1_000)
@given(records)
def test_records_are_a_slot(raw: Raw) -> None:
    """What cannot be read is absent. What is read is written as the same, and can be judged."""
    slot = decode_slot(raw)

    assert decode_slot(encode_slot(slot)) == slot
    everything, partition, _ = (each and Mark(each) for each in WORDS)
    marks = Marks(everything, partition, slot.mark)
    best, _ = better(marks, slot.stored, ENTRY.facts)
    assert best in {None, slot.stored, ENTRY.facts}


NOTICES = tuple(
    b"0" * 16 + b" " + b"1" * 16 + b" " + encode_notice(notice, "rep-1", request)
    for notice, request in (
        (Notice(NoticeKind.CHANGED, ("trn_1",), KEY.partition, Instant(5)), None),
        (Notice(NoticeKind.INVALIDATED, ("trn_1", "trn_2"), None, None), 3),
        (Notice(NoticeKind.PURGED, soft=True), 2**53 - 1),
        (Notice(NoticeKind.GATE_CLOSED, scope="default", until=5.0), None),
    )
)
ANSWER = encode_acknowledgement(Acknowledgement("rep-1", 3))
ENDING = encode_ending(Ending(EndingKind.FAILED, FailureReason.STATUS_5XX, 503, 7.5))
ENDED = b"ended 00c0ffee00c0ffee " + ENDING
JSON = (
    *(b"null", b"true", b"-1", b"1e400", b"NaN", b'"', b"[" * 2_000, b"\\ud800", b"9" * 400),
    *(
        b'"kind":"purged"',
        b'"schema":2',
        b'"schema":2',
        b'"ids":[]',
        b'"soft":true',
        b",",
        b"ended ",
    ),
    *(f'"{fault}"'.encode() for fault in EndingKind),
)
messages = damaged((*NOTICES, ANSWER, ENDING, ENDED), JSON) | st.binary(max_size=60)


@times(1_500)
@given(messages)
def test_a_message_says_something_or_is_refused(data: bytes) -> None:
    """What is taken is what a replica of ours could have said."""
    with suppress(NoticeRefused):
        told = decode_notice(data)
        again = encode_notice(told.notice, told.sender, told.request)
        assert decode_notice(f"{told.before} {told.word} ".encode() + again) == told
    with suppress(NoticeRefused):
        answer = decode_acknowledgement(data)
        assert decode_acknowledgement(encode_acknowledgement(answer)) == answer
    with suppress(NoticeRefused):
        _check_ending(decode_ending(data))
    with suppress(NoticeRefused):
        token, ending = decode_ended(data)
        assert len(token) == 16
        _check_ending(ending)


@times(300)
@given(
    st.builds(
        Ending,
        st.sampled_from(EndingKind),
        st.none() | st.sampled_from(FailureReason),
        st.none() | st.integers(100, 599),
        st.none() | st.floats(0.0, 1e9),
    )
)
def test_an_ending_comes_back(ending: Ending) -> None:
    """Whatever it says, another replica can read it."""
    _check_ending(ending)


def _check_ending(ending: Ending) -> None:
    assert decode_ending(encode_ending(ending)) == ending
