"""standing: what a floor's record knows beside the floor, and bytes that know nothing."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.key_state import (
    SCHEMA,
    encode_last,
    encode_renewed,
    standing_after,
)
from gateway.adapters.redis.records import floor_after, read_floor
from gateway.core.cache.entry import Confirmation, Entry
from gateway.core.sweep.list_item import Listed
from gateway.core.upstream.training import Training
from gateway.ports import Standing
from tests.doubles.stored import VERSION, entry_of
from tests.unit.adapters.redis.test_records import entries, event, record

KNOWN = record(digest="ab" * 16)


def standing_of(raw: bytes) -> Standing | None:
    """What a floor tells to which no event was added."""
    return standing_after(raw, event(5, 5, None, 0), "")


def last_of(tail: bytes) -> Confirmation | None:
    """What is known behind a floor that is."""
    standing = standing_of(KNOWN + tail)
    assert standing is not None
    assert standing.floor == read_floor(KNOWN)
    return standing.last()


def resealed(change: tuple[int, object]) -> bytes:
    """A genuine tail in which one field was changed by somebody who can count."""
    fields = msgspec.msgpack.decode(encode_last(entry_of())[17:])
    fields[change[0]] = change[1]
    forged = msgspec.msgpack.encode(fields)
    return bytes((SCHEMA,)) + blake2b(forged, digest_size=16).digest() + forged


@given(entry=entries)
def test_what_came_beside_the_body_comes_back(entry: Entry) -> None:
    """Every field, header fields byte for byte."""
    assert last_of(encode_last(entry)) == Confirmation.of(entry)


def test_a_record_without_it_is_a_floor_all_the_same() -> None:
    """It only cannot renew anything."""
    assert last_of(b"") is None


def test_it_goes_with_the_digest() -> None:
    """A floor that an event raised knows no body, and nothing beside one."""
    tail = encode_last(entry_of())

    raised = standing_after(KNOWN + tail, event(6, 0, 3, 6), "")

    assert raised is not None
    assert raised.last() is None
    unknown = standing_of(record() + tail)
    assert unknown is not None
    assert unknown.last() is None


def test_an_event_is_applied() -> None:
    """The same rule as for look-ups."""
    struck = standing_after(KNOWN, event(6, 6, None, 0), "")

    assert struck is not None
    assert struck.floor == floor_after(KNOWN, event(6, 6, None, 0))


@pytest.mark.parametrize("raw", [b"", KNOWN[:-1], b"x" * 300])
def test_no_floor_is_unknown(raw: bytes) -> None:
    """Whatever stands behind."""
    assert standing_of(raw) is None


@pytest.mark.parametrize("lost", range(3))
def test_what_lost_one_of_its_records_is_unknown(lost: int) -> None:
    """It may be the one that ruled out the rest."""
    records = [KNOWN, event(5, 5, None, 0), "b" + "7" * 16]
    known = standing_after(*records)  # type: ignore[arg-type]
    assert known is not None
    assert known.floor.epoch.endswith("b7777777777777777")

    records[lost] = None  # type: ignore[call-overload]

    assert standing_after(*records) is None  # type: ignore[arg-type]


def test_much_is_left_out() -> None:
    """A floor lives long: headers of many kilobytes are read with the body."""
    most = entry_of().but(headers=((b"x-a", b"x" * 4_000),))
    more = entry_of().but(headers=((b"x-a", b"x" * 4_096),))

    assert last_of(encode_last(most)) == Confirmation.of(most)
    assert encode_last(more) == b""


@given(tail=st.binary(max_size=100))
def test_foreign_bytes_know_nothing(tail: bytes) -> None:
    """And harm nothing, also with a right schema and checksum."""
    assert last_of(tail) is None
    assert last_of(bytes((SCHEMA,)) + blake2b(tail, digest_size=16).digest() + tail) is None


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(at: int, bit: int) -> None:
    """Anywhere."""
    tail = bytearray(encode_last(entry_of()))
    tail[at % len(tail)] ^= 1 << bit

    assert last_of(bytes(tail)) is None


def test_another_schema_knows_nothing() -> None:
    """What another release wrote is not read by this one."""
    assert last_of(bytes((SCHEMA + 1,)) + encode_last(entry_of())[1:]) is None


@pytest.mark.parametrize(
    "change",
    [
        (0, 42),
        (0, 304),
        (0, "200"),
        (1, [[b"a\r\nb", b"c"]]),
        (1, [[b"a", b"c\nd: e"]]),
        (1, [[b"a b", b"c"]]),
        (2, "Tue,\n"),
        (3, float("nan")),
        (3, 1e10),
        (4, -1.0),
        (5, float("inf")),
        (6, "0"),
    ],
)
def test_impossible_values_know_nothing(change: tuple[int, object]) -> None:
    """No line break in a header, no time that is none."""
    assert last_of(resealed(change)) is None


LATER = entry_of().confirmed_at + 12.5
ITEM = Listed(Training("trn_1", VERSION, "", b""), "Tue, 14 Nov 2023 22:13:33 GMT", LATER, 28.25)


def renewed(generation: int = 0, item: Listed = ITEM) -> bytes:
    """What `compare` in sweep.lua puts in front."""
    return b"\x02" + b"%015d" % generation + encode_renewed(item)


def test_a_page_renews_the_times_and_keeps_the_fields() -> None:
    """Those of the single answer behind it; its own where that is not known."""
    alone = last_of(renewed())
    assert alone == ITEM.confirmation(0)
    assert alone is not None

    both = last_of(renewed() + encode_last(entry_of()))

    assert both == replace(alone, headers=entry_of().headers)


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("Tuesday, 14-Nov-23 22:13:33 GMT", "Tue, 14 Nov 2023 22:13:33 GMT"),
        ("Tue Nov 14 22:13:33 2023", "Tue Nov 14 22:13:33 2023"),
    ],
)
def test_a_date_of_an_obsolete_form_stays_a_date(date: str, told: str) -> None:
    """Callers get it, and one of them would be too long for the record."""
    last = last_of(renewed(item=replace(ITEM, date=date)))

    assert last is not None
    assert last.date == told


def test_the_later_of_page_and_single_answer_counts() -> None:
    """Whichever was written last."""
    later = entry_of().but(confirmed_at=LATER + 1.0)

    assert last_of(renewed() + encode_last(later)) == Confirmation.of(later)


def test_a_page_of_another_generation_lends_no_fields() -> None:
    """The single answer is about another life of the training."""
    assert last_of(renewed(7) + encode_last(entry_of())) == ITEM.confirmation(7)


@given(at=st.integers(1, 108), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_page_never_shows_other_times(at: int, bit: int) -> None:
    """The generation alone is not under the checksum: a reader compares it with its own."""
    tail = bytearray(renewed())
    tail[at] ^= 1 << bit

    last = last_of(bytes(tail))

    assert last is None or (at < 16 and replace(last, generation=0) == ITEM.confirmation(0))
