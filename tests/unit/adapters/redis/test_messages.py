"""notices: they come back as they were, and nothing that arrives can surprise the reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.redis.messages import (
    LONGEST,
    MOST_IDS,
    Acknowledgement,
    Chain,
    NoticeRefused,
    Told,
    decode_acknowledgement,
    decode_notice,
    encode_acknowledgement,
    encode_notice,
)
from gateway.core.instant import Instant
from gateway.core.vocabulary import NoticeKind
from gateway.ports import Notice

PARTITION = "0123456789abcdef" * 2
CHANGED = Notice(NoticeKind.CHANGED, ("trn_1",), PARTITION, Instant(1))

ids = st.from_regex(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}", fullmatch=True)
partitions = st.text("0123456789abcdef", min_size=32, max_size=32)
instants = st.none() | st.integers(-62_135_596_800, 253_402_300_799).map(
    lambda seconds: Instant(seconds * 10**9 + 7)
)
operators = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
some_ids = st.lists(ids, min_size=1, max_size=5).map(tuple)
notices = st.one_of(
    st.builds(Notice, st.just(NoticeKind.CHANGED), some_ids, partitions, instants),
    st.builds(
        Notice,
        st.just(NoticeKind.INVALIDATED),
        some_ids,
        st.none(),
        instants,
        operator=operators,
    ),
    st.builds(
        Notice,
        st.just(NoticeKind.PURGED),
        st.just(()),
        st.none() | partitions,
        st.none(),
        st.booleans(),
        operator=operators,
    ),
    st.builds(Notice, st.just(NoticeKind.REFUSED), st.just(()), partitions),
    st.builds(
        Notice,
        st.just(NoticeKind.GATE_CLOSED),
        scope=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
        until=st.floats(0.0, 1e11),
    ),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)
CHAIN = b"0" * 16 + b" " + b"f" * 16 + b" "
FIELDS = json.loads(encode_notice(CHANGED, "a", 0))


def chained(**fields: object) -> bytes:
    """A genuine notice in which some fields were changed by somebody who knows the format."""
    return CHAIN + json.dumps(FIELDS | fields).encode()


def why(data: bytes) -> str:
    """The word for which a notice is refused."""
    with pytest.raises(NoticeRefused) as refused:
        decode_notice(data)
    return refused.value.why


@given(notice=notices, request=st.none() | st.integers(0, 2**53 - 1))
def test_a_notice_comes_back_as_it_was(notice: Notice, request: int | None) -> None:
    """With its words, who told it, and what an answer must name."""
    data = CHAIN + encode_notice(notice, "rep-1", request)

    assert decode_notice(data) == Told("0" * 16, "f" * 16, "rep-1", notice, request)


@given(answer=st.builds(Acknowledgement, st.just("rep-1"), st.integers(0, 2**53 - 1)))
def test_an_answer_comes_back_as_it_was(answer: Acknowledgement) -> None:
    """All its fields."""
    assert decode_acknowledgement(encode_acknowledgement(answer)) == answer


@pytest.mark.parametrize(
    "fields", [{"partition": None}, {"ids": ["trn_1"]}, {"updated_at": "x"}, {"soft": True}]
)
def test_a_refusal_is_of_a_partition_and_nothing_else(fields: dict[str, object]) -> None:
    """Else it would drop what it does not say."""
    whole: dict[str, object] = {"kind": "refused", "ids": [], "updated_at": None}

    assert decode_notice(chained(**whole)).notice == Notice(NoticeKind.REFUSED, (), PARTITION)
    assert why(chained(**(whole | fields))) in ("sense", "words")


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": None},
        {"scope": "a b"},
        {"until": None},
        {"ids": ["trn_1"]},
        {"partition": PARTITION},
        {"updated_at": FIELDS["updated_at"]},
        {"soft": True},
        {"until": -1.0},
        {"until": 1e300},
        {"kind": "changed"},
    ],
)
def test_a_closed_gate_is_of_a_scope_and_nothing_else(fields: dict[str, object]) -> None:
    """And entries have none."""
    gate: dict[str, object] = {"kind": "gate-closed", "scope": "default", "until": 5.0}
    whole = gate | {"ids": [], "partition": None, "updated_at": None}

    told = Notice(NoticeKind.GATE_CLOSED, scope="default", until=5.0)
    assert decode_notice(chained(**whole)).notice == told
    assert why(chained(**(whole | fields))) in ("sense", "words")


def test_a_release_that_knows_no_gates_reads_the_other_notices() -> None:
    """It refuses a notice with a field that it does not know."""
    assert not {"scope", "until"} & FIELDS.keys()


def test_the_longest_notice_fits() -> None:
    """As many trainings as may be named, each name as long as it may be."""
    longest = Notice(NoticeKind.INVALIDATED, tuple(f"{n:0128d}" for n in range(MOST_IDS)))
    data = CHAIN + encode_notice(longest, "r" * 64, 2**53 - 1)

    assert decode_notice(data).notice == longest


@given(data=st.binary(max_size=200))
@example(b"")
@example(b"1")
@example(CHAIN)
@example(CHAIN + b"{}")
@example(CHAIN + b"[" * 100_000)
@example(CHAIN + b'{"schema":' * 10_000)
@example(CHAIN + b'{"schema":1e999}')
@example(CHAIN + b"\xff\xfe")
def test_foreign_bytes_are_refused(data: bytes) -> None:
    """With the one error there is, whether they pass for a notice or for an answer."""
    for decode in (decode_notice, decode_acknowledgement):
        with pytest.raises(NoticeRefused):
            decode(data)


@given(name=st.sampled_from(sorted(FIELDS)), value=values)
def test_a_forged_field_is_refused_or_harmless(name: str, value: object) -> None:
    """What is taken obeys the same rules as what we write ourselves."""
    try:
        told = decode_notice(chained(**{name: value}))
    except NoticeRefused:
        return
    encode_notice(told.notice, told.sender, told.request)


@pytest.mark.parametrize(
    "fields",
    [
        *({"ids": [name]} for name in ("", ".", "..", "a/b", "a b", "a\n", "é", "x" * 129, "{a}")),
        *({"ids": ids} for ids in ([], "trn_1", ["a"] * (MOST_IDS + 1))),
        *({"partition": text} for text in (None, "", "p1", "A" * 32, "0" * 31, "0" * 32 + "\n")),
        *({"updated_at": text} for text in (5, "", "1", "9" * 21, "2026-01-01T00:00:00Z")),
        *({"sender": text} for text in ("", None, "a:b", "a\n", "x" * 65)),
        *({"request": number} for number in (-1, 2**53, "1", True)),
        *({"soft": value} for value in (True, 1, None)),
        *({"kind": kind} for kind in ("renamed", "purged", "invalidated")),
        {"more": 1},
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_refused(fields: dict[str, object]) -> None:
    """Ids, partitions, versions, names, and the fields that each kind has."""
    assert why(chained(**fields)) in ("words", "sense")


def test_another_schema_is_set_aside_whatever_it_says() -> None:
    """A later release may tell anything; the reason is told apart from nonsense."""
    assert why(CHAIN + b'{"schema":3}') == "schema"
    assert why(chained(schema=3, kind="renamed")) == "schema"
    with pytest.raises(NoticeRefused, match="schema"):
        decode_acknowledgement(b'{"schema":3,"sender":"b","request":1}')


@pytest.mark.parametrize(
    "prefix", [b"", b"17 ", CHAIN[17:], CHAIN.upper(), b" " + CHAIN, b"0" + CHAIN, CHAIN[:-1]]
)
def test_without_its_words_it_is_nothing(prefix: bytes) -> None:
    """A notice of release 0.1 has a number."""
    assert why(prefix + encode_notice(CHANGED, "a", None)) == "chain"


def test_what_is_too_long_is_not_even_read() -> None:
    """Though it would say something."""
    assert why(chained() + b" " * LONGEST) == "size"
    with pytest.raises(NoticeRefused, match="size"):
        decode_acknowledgement(encode_acknowledgement(Acknowledgement("a", 1)) + b" " * LONGEST)


@pytest.mark.parametrize(
    "notice",
    [
        Notice(NoticeKind.CHANGED, ("trn_1",)),
        Notice(NoticeKind.CHANGED, (), PARTITION),
        Notice(NoticeKind.INVALIDATED),
        Notice(NoticeKind.INVALIDATED, ("a/b",)),
        Notice(NoticeKind.INVALIDATED, ("a",) * (MOST_IDS + 1)),
        Notice(NoticeKind.PURGED, ("trn_1",)),
        Notice(NoticeKind.PURGED, scope="default", until=1.0),
        Notice(NoticeKind.GATE_CLOSED, until=1.0),
        Notice(NoticeKind.GATE_CLOSED, scope="default"),
    ],
)
def test_what_nobody_would_take_is_not_told(notice: Notice) -> None:
    """A mistake of ours shows where it is made."""
    with pytest.raises(ValueError, match="would refuse this notice"):
        encode_notice(notice, "a", None)


def test_a_notice_that_follows_the_last_one_is_no_gap() -> None:
    """Redis names it before or after it has come."""
    chain = Chain()
    chain.start("a")

    assert chain.hear("a", "b")
    chain.ask()
    assert not chain.is_broken("c")
    assert chain.hear("b", "c")
    chain.ask()
    assert chain.hear("c", "d")
    assert not chain.is_broken("c")
    assert not chain.is_broken("e")


def test_a_notice_that_is_missing_before_another_is_one_gap() -> None:
    """Also if Redis had named it."""
    chain = Chain()
    chain.start("a")
    chain.ask()
    assert not chain.is_broken("b")

    assert not chain.hear("b", "c")

    assert chain.hear("c", "d")
    chain.ask()
    assert not chain.is_broken("d")


def test_a_last_notice_that_does_not_come_is_one_gap() -> None:
    """At the second comparison: at the first it may be on its way."""
    chain = Chain()
    chain.start("a")
    told = []
    for last in ("b", "b", "b", "c", "d", "d"):
        chain.ask()
        told.append(chain.is_broken(last))

    assert told == [False, True, False, False, True, False]
