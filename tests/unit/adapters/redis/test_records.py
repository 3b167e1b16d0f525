"""wire: envelope and records; nothing that stands in Redis can surprise the reader."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.redis.records import (
    NO_VERSION,
    SCHEMA,
    EnvelopeRefused,
    decode,
    encode,
    floor_after,
    micros,
    read_floor,
    version,
)
from gateway.core.cache.entry import Entry, Floor, Key, Ticket
from gateway.core.instant import Instant, to_wire
from tests.doubles.stored import entry_of
from tests.doubles.stored import version as some_version
from tests.support.call_counts import entering

KEY = Key("p1", "trn_1")
EPOCH = "00c0ffee00c0ffee"


def negative(ticket: Ticket, status: int, body: bytes) -> Entry:
    """What is remembered of a training that is not there."""
    return entry_of(ticket, updated_at=None, body=body).but(status=status)


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
    confirmed_at=seconds,
    initial_age=seconds,
    freshness_lifetime=seconds,
    generation=st.integers(0, 2**40),
    epoch=texts,
) | st.builds(
    negative,
    ticket=st.builds(Ticket, texts, st.integers(0, 2**40), seconds),
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
    assert decode(key, encode(key, entry)) == entry


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
        (8, float("nan")),
        (6, '"' * 32),
        (8, float("inf")),
        (8, 1e10),
        (9, -1.0),
        (10, float("-inf")),
        (11, -1),
        (11, 2**63),
        (13, 1),
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

    assert (version(one) > version(other)) is earlier
    assert len(version(one)) == len(NO_VERSION)


def test_micros_have_a_fixed_width() -> None:
    """From the epoch to beyond any clock."""
    assert micros(0.0) == "0" * 16
    assert micros(1_700_000_000.000001) == "1700000000000001"
    assert micros(-1.0) == "0" * 16
    assert len(micros(1e300)) == 16


def record(
    generation: int = 3,
    updated_at: str = NO_VERSION,
    seen: int = 5,
    digest: str = "-" * 32,
    kind: str = "-",
) -> bytes:
    """A floor as `begin` in store.lua writes it, or `store` after an answer of that kind."""
    return f"{EPOCH} {generation:020d} {updated_at} {kind} {digest} {1:016d} {seen:016d}".encode()


def event(serial: int, everything: int, bound: int | None, at: int) -> bytes:
    """An event as `invalidate` in store.lua writes it."""
    wire = version(None if bound is None else some_version(bound))
    return f"{serial:016d} {everything:016d} {wire} {at:016d}".encode()


def test_a_record_is_read() -> None:
    """Blank version and digest are none."""
    assert read_floor(record()) == Floor(EPOCH, 3, None, "", 1e-6)
    full = record(updated_at=to_wire(some_version()), digest="ab" * 16)
    assert read_floor(full) == Floor(EPOCH, 3, some_version(), "ab" * 16, 1e-6)


@given(raw=st.binary(max_size=200))
def test_foreign_bytes_are_no_floor(raw: bytes) -> None:
    """They make it unknown, and nothing worse."""
    assert read_floor(raw) is None
    assert floor_after(raw, event(5, 5, None, 0)) is None


@pytest.mark.parametrize("generation", [10**15, 10**20 - 1])
def test_a_generation_that_no_entry_can_carry_is_no_floor(generation: int) -> None:
    """What is fetched under it could never be read back."""
    assert read_floor(record(generation)) is None
    assert read_floor(record(10**15 - 1)) is not None


def test_a_serial_that_cannot_go_up_is_no_event() -> None:
    """The next one would need another digit, and be lost."""
    assert floor_after(record(), event(9 * 10**15, 9 * 10**15, None, 0)) is None
    assert floor_after(record(), event(9 * 10**15 - 1, 6, None, 0)) != read_floor(record())


@given(raw=st.binary(max_size=100) | st.none())
def test_without_an_event_the_floor_is_unknown(raw: bytes | None) -> None:
    """One that was lost, or is foreign, may have ruled out all there is."""
    assert floor_after(record(), raw) is None


def test_a_version_beyond_the_years_is_none() -> None:
    """21 digits that no release writes."""
    floor = read_floor(record(updated_at="9" * 21))

    assert floor is not None
    assert floor.updated_at is None


@pytest.mark.parametrize(
    ("happened", "generation", "updated_at"),
    [
        (event(5, 5, None, 0), 3, None),
        (event(6, 6, None, 0), 4, None),
        (event(6, 5, 1, 6), 3, some_version(1)),
        (event(6, 6, 1, 5), 4, None),
        (event(7, 6, 1, 7), 4, some_version(1)),
        (event(4, 0, None, 0), 4, None),
    ],
    ids=["seen", "new", "new bound", "old bound", "both", "the clock went back"],
)
def test_an_event_is_applied_to_what_is_read(
    happened: bytes, generation: int, updated_at: Instant | None
) -> None:
    """Once, and only what the floor has not seen."""
    floor = floor_after(record(), happened)

    assert floor is not None
    assert (floor.generation, floor.updated_at) == (generation, updated_at)


def test_a_bound_below_the_version_changes_nothing() -> None:
    """The event is old news there."""
    known = record(updated_at=to_wire(some_version(2)), digest="ab" * 16)

    assert floor_after(known, event(6, 0, 2, 6)) == read_floor(known)


@pytest.mark.parametrize(("kind", "is_ended"), [("n", True), ("v", False)])
def test_a_bound_that_is_known_ends_a_404_alone(kind: str, is_ended: bool) -> None:
    """A stored response of that version stays."""
    known = record(updated_at=to_wire(some_version(2)), digest="ab" * 16, kind=kind)

    floor = floor_after(known, event(6, 0, 2, 6_000_000))

    assert floor is not None
    assert floor.updated_at == some_version(2)
    assert (floor.digest, floor.started) == (("", 6.0) if is_ended else ("ab" * 16, 1e-6))


def test_a_clock_that_went_back_names_no_version_to_a_404() -> None:
    """If no order ever named one, only the generation rises."""
    floor = floor_after(record(digest="ab" * 16, kind="n"), event(4, 0, None, 0))

    assert floor == Floor(EPOCH, 4, None, "ab" * 16, 1e-6)


def test_a_raised_floor_asks_for_a_later_fetch_of_negatives() -> None:
    """Its time is the event's, its digest unknown."""
    known = record(updated_at=to_wire(some_version(2)), digest="ab" * 16)

    floor = floor_after(known, event(6, 0, 3, 6_000_000))

    assert floor == replace(
        floor or Floor("", 0, None, "", 0.0), updated_at=some_version(3), digest="", started=6.0
    )
