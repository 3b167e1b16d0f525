"""wire: envelope and records; nothing that stands in Redis can surprise the reader."""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.redis.records import (
    FACTS_LENGTH,
    SCHEMA,
    EnvelopeRefused,
    Raw,
    decode_mark,
    decode_slot,
    encode,
    encode_mark,
    encode_slot,
    micros,
    version_record,
)
from gateway.adapters.redis.records import decode as decode_with
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, Mark, Refusal, Slot, Ticket, Words
from gateway.core.instant import Instant
from tests.doubles.stored import WORDS, entry_of, version
from tests.support.call_counts import entering

KEY = Key("p1", "trn_1")
FACTS = entry_of().facts


def decode(key: Key, data: bytes, facts: Facts = FACTS) -> Entry:
    """The entry in an envelope."""
    return decode_with(key, facts, data)


def negative(start: FetchStart, status: int, body: bytes) -> Entry:
    """What is remembered of a training that is not there."""
    return entry_of(start, updated_at=None, body=body).but(status=status)


names = st.from_regex(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,20}", fullmatch=True)
fields = st.binary(max_size=30).map(lambda raw: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", raw))
seconds = st.floats(0.0, 4e9)
instants = st.integers(-62_135_596_800, 253_402_300_799).map(lambda s: Instant(s * 10**9 + 7))
texts = st.text(st.characters(codec="utf-8"), max_size=20)
ascii_texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
keys = st.builds(Key, texts, texts)
entries = st.builds(
    Entry,
    status=st.just(200),
    headers=st.lists(st.tuples(names, fields), max_size=5).map(tuple),
    body=st.binary(max_size=200),
    updated_at=instants,
    updated_at_text=ascii_texts,
    digest=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    date=ascii_texts,
    confirmed_at=st.just(FACTS.started),
    initial_age=seconds,
    freshness_lifetime=seconds,
    started=st.just(FACTS.started),
    ticket=st.just(WORDS),
) | st.builds(
    negative,
    start=st.builds(FetchStart, seconds, st.just(WORDS)),
    status=st.sampled_from([404, 410]),
    body=st.binary(max_size=200),
)


def sealed(rest: bytes) -> bytes:
    """An envelope whose checksum is right, whatever it holds."""
    return bytes((SCHEMA,)) + blake2b(rest, digest_size=16).digest() + rest


def resealed(change: tuple[int, object], entry: Entry | None = None) -> bytes:
    """A genuine envelope in which one field of the head was changed by somebody who can count."""
    data = encode(KEY, entry or entry_of())
    length = int.from_bytes(data[17:21], "big")
    head = msgspec.msgpack.decode(data[21 : 21 + length])
    head[change[0]] = change[1]
    forged = msgspec.msgpack.encode(head)
    return sealed(len(forged).to_bytes(4, "big") + forged + data[21 + length :])


@given(key=keys, entry=entries)
def test_an_entry_comes_back_as_it_was(key: Key, entry: Entry) -> None:
    """Every field, body and headers byte for byte."""
    assert decode(key, encode(key, entry), entry.facts) == entry


@given(rest=st.binary(max_size=100))
@example(b"\x00\x00\x00\x00")
@example(b"\xff\xff\xff\xff")
@example(b"\x00\x00\x20\x00" + b"\x91" * 8192)
def test_foreign_bytes_with_a_right_checksum_are_refused(rest: bytes) -> None:
    """Who can write to Redis can count as well."""
    with pytest.raises(EnvelopeRefused):
        decode(KEY, sealed(rest))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(at: int, bit: int) -> None:
    """Anywhere: schema, checksum, head or body."""
    data = bytearray(encode(KEY, entry_of(body=b"{}" * 50)))
    data[at % len(data)] ^= 1 << bit

    with pytest.raises(EnvelopeRefused):
        decode(KEY, bytes(data))


@pytest.mark.parametrize("key", [Key("p2", "trn_1"), Key("p1", "trn_2"), Key("trn_1", "p1")])
def test_an_entry_under_another_key_is_refused(key: Key) -> None:
    """An envelope copied elsewhere must not serve another caller or training."""
    with pytest.raises(EnvelopeRefused, match="key"):
        decode(key, encode(KEY, entry_of()))


def test_another_schema_is_refused() -> None:
    """What another release wrote is a miss for this one."""
    data = encode(KEY, entry_of())

    with pytest.raises(EnvelopeRefused, match="schema"):
        decode(KEY, bytes((SCHEMA + 1,)) + data[1:])


@pytest.mark.parametrize(
    "change",
    [
        (2, 42),
        (2, 204),
        (2, 404),
        (2, "200"),
        (3, [[b"a\r\nb", b"c"]]),
        (3, [[b"a", b"c\nd: e"]]),
        (3, [[b"a"]]),
        (3, [[b"", b"x"]]),
        (3, [[b"Content-Length", b"1"]]),
        (3, [[b"a b", b"x"]]),
        (4, "2023-11-14T22:13:20Z"),
        (4, "9" * 21),
        (4, "1700000000123456790"),
        (6, '"' * 32),
        (8, float("nan")),
        (8, float("inf")),
        (8, 1e10),
        (8, -1.0),
        (9, float("-inf")),
        (10, 1),
    ],
)
def test_impossible_values_are_refused(change: tuple[int, object]) -> None:
    """No line break in a header, no time that is none, no length but the body's."""
    with pytest.raises(EnvelopeRefused):
        decode(KEY, resealed(change))


def test_an_entry_is_judged_in_few_steps() -> None:
    """As many for twenty fields as for two: each hit in Redis has one decoded."""
    key, entry = Key("0" * 32, "a"), entry_of(headers=tuple((b"x-%d" % n, b"v") for n in range(20)))
    data = encode(key, entry)
    decode(key, data)

    _, entered = entering(lambda: decode(key, data))

    assert len(entered) <= 16, entered


def test_the_body_does_not_keep_the_envelope_alive() -> None:
    """It is bytes of its own."""
    entry = decode(KEY, encode(KEY, entry_of(body=b"{}")))

    assert type(entry.body) is bytes


@given(one=st.none() | instants, other=st.none() | instants)
def test_versions_sort_as_text(one: Instant | None, other: Instant | None) -> None:
    """As Lua compares them; none is before all."""
    earlier = one is not None and (other is None or other < one)

    assert (version_record(one) > version_record(other)) is earlier
    assert len(version_record(one)) == len(version_record(None))


def test_micros_have_a_fixed_width() -> None:
    """From the epoch to beyond any clock."""
    assert micros(0.0) == "0" * 16
    assert micros(1_700_000_000.000001) == "1700000000000001"
    assert micros(-1.0) == "0" * 16
    assert len(micros(1e300)) == 16


MARK = Mark(Words("a" * 16, "b" * 16, "0123456789abcdef"), version(1), None)
SLOT = Slot(
    MARK, Facts(version(2), WORDS, 1_700_000_000.25, 1_700_000_009.0), Refusal(version(), 3.5)
)


@pytest.mark.parametrize("slot", [Slot(), Slot(MARK), SLOT, SLOT._replace(refusal=None)])
def test_a_slot_comes_back_as_it_was(slot: Slot) -> None:
    """With what is absent."""
    assert decode_slot(encode_slot(slot)) == slot


def test_what_follows_a_record_is_not_part_of_it() -> None:
    """As for the scripts: the body follows the facts."""
    raw = encode_slot(SLOT)

    assert len(raw.facts) == FACTS_LENGTH
    assert Raw.of(raw.mark, raw.facts + b"body", raw.refusal) == raw
    assert Raw.of(raw.mark[:-1], b"", None) == Raw()


@given(st.binary(max_size=300))
def test_foreign_bytes_are_nothing(raw: bytes) -> None:
    """What cannot be read counts as absent."""
    assert decode_slot(Raw(raw, raw, raw)) == Slot()


def test_a_version_beyond_the_years_is_none() -> None:
    """21 digits that no release writes."""
    mark = decode_mark(encode_mark(MARK).encode()[:50] + b" " + b"9" * 21 + b" " + b"0" * 21)

    assert mark == MARK._replace(bound=None)


def test_the_words_that_entries_have_in_common_are_in_memory_once() -> None:
    """Those of everything and of a partition, in however many entries."""
    slots = [decode_slot(encode_slot(SLOT)) for _ in range(2)]

    one, other = (each.stored.ticket for each in slots if each.stored)
    assert one[0] is other[0]
    assert one[1] is other[1]


def test_facts_without_words_cannot_be_written() -> None:
    """What was fetched without Redis is never offered to it."""
    facts = Facts(None, Ticket(), 1.0, 1.0)

    assert decode_slot(encode_slot(Slot(stored=facts))) == Slot()
