"""The versions that a replica knows by itself: while Redis is away, and of keys that L1 lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.cache.entry import ERA, Entry, Key
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.flow.cache import local_versions
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.local_versions import Alone, Latest, is_passed, overrules
from tests.doubles.stored import TICKET, entry_of, held_of, version

KEY = Key("p1", "trn_1")
FAR = version(10**18)
OLDER, AHEAD, BELIEVED = StoreVerdict.OLDER, StoreVerdict.AHEAD, StoreVerdict.BELIEVED


def at(seconds: float, updated_at: Instant | None, epoch: str = "") -> Entry:
    """The answer of a fetch that began then, without Redis or under that floor."""
    return entry_of(replace(TICKET, epoch=epoch, started=TICKET.started + seconds), updated_at)


class House:
    """L1, and who judges by it."""

    def __init__(self, known: Entry | None) -> None:
        self.local = LocalStore(100_000, lambda: None)
        self.alone = Alone(self.local, 60.0)
        if known is not None:
            self.local.put(KEY, held_of(known))

    def said(self, *entries: Entry) -> list[StoreVerdict]:
        """The verdicts, one after the other."""
        return [self.alone.judge(KEY, entry).verdict for entry in entries]

    def refused(self, *entries: Entry) -> list[bool]:
        """Whether Redis need not be asked."""
        return [self.alone.refuses(KEY, entry) is not None for entry in entries]


@pytest.mark.parametrize(("brought", "refusal"), [(version(1), OLDER), (FAR, AHEAD)])
def test_the_third_answer_over_a_minute_is_believed(
    brought: Instant, refusal: StoreVerdict
) -> None:
    """And L1 gives way."""
    house = House(at(0, version(5)))

    assert house.said(*(at(s, brought) for s in (1, 31, 62))) == [refusal, refusal, BELIEVED]
    assert house.local.peek(KEY) is None


def test_a_date_far_ahead_is_refused_where_nothing_is_known() -> None:
    """And believed in the end."""
    assert House(None).said(*(at(s, FAR) for s in (0, 30, 60))) == [AHEAD, AHEAD, BELIEVED]


def test_a_believed_date_is_renewed() -> None:
    """It is what is known now."""
    assert House(at(0, FAR)).said(at(1, FAR)) == [StoreVerdict.UNCHANGED]


def test_a_fetch_that_was_overtaken_does_not_count() -> None:
    """Upstream went on while it was under way."""
    house = House(at(100, version(5)))

    assert house.said(*(at(s, version(1)) for s in (1, 31, 62))) == [OLDER] * 3


def test_a_404_raises_no_doubt() -> None:
    """It has no version; an earlier one is refused."""
    house = House(at(100, version(5)))

    assert house.said(*(at(s, None) for s in (1, 31, 62))) == [OLDER] * 3


def test_an_answer_that_was_taken_ends_the_doubt() -> None:
    """What is known was right."""
    house = House(at(0, version(5)))
    house.said(at(1, version(1)), at(31, version(1)))

    house.alone.took(KEY, at(32, version(5)))

    assert house.said(at(62, version(1))) == [OLDER]


def test_an_earlier_answer_does_not_end_the_doubt() -> None:
    """It was slow."""
    house = House(at(0, version(5)))
    house.said(at(1, version(1)), at(31, version(1)))

    house.alone.took(KEY, at(0.5, version(5)))

    assert house.said(at(62, version(1))) == [BELIEVED]


def test_what_redis_cannot_know_of_is_given_up_in_the_end() -> None:
    """Else a version that it lost would refuse all others for as long as L1 holds it."""
    house = House(at(0, version(5), "before"))

    assert house.refused(*(at(s, version(1), "after") for s in (1, 31, 62))) == [True, True, False]
    assert house.local.peek(KEY) is None


def test_what_redis_knows_of_is_for_redis_to_judge() -> None:
    """The same epoch: its floor knows that version."""
    house = House(at(0, version(5), "e"))

    assert house.refused(at(1, version(1), "e")) == [False]


def test_doubts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten, and its training believed later."""
    monkeypatch.setattr(local_versions, "_MOST_DOUBTS", 100)
    house = House(None)
    house.said(at(0, FAR), at(30, FAR))
    for number in range(100):
        house.alone.judge(Key("p1", f"other_{number}"), at(0, FAR))

    assert house.said(at(60, FAR)) == [AHEAD]


def test_l1_overrules_what_another_floor_brought_earlier() -> None:
    """By version; the same bytes are no reason."""
    assert overrules(at(0, version(5)), at(1, version(1), "e"))
    assert not overrules(at(0, version(1)), at(1, version(5), "e"))
    assert not overrules(at(2, version(5)), at(1, version(5), "e"))


@pytest.mark.parametrize(
    ("theirs", "ours", "passed"),
    [
        ((1, version(1), 1), (2, version(5), 0), True),  # it was called after the order
        ((1, None, 1), (2, version(5), 0), True),
        ((3, None, 1), (2, version(5), 0), False),
        ((1, version(9), 1), (2, version(5), 0), False),
        ((1, version(5), 1), (2, version(5), 0), False),
        ((1, version(1), 1), (2, FAR, 0), False),  # perhaps a mistake
        ((1, version(1), 1), (2, None, 0), False),
        ((1, version(1), ERA), (2, version(5), 0), False),  # versions were forgotten between
        ((1, version(9), 0), (2, version(5), 1), True),
    ],
)
def test_what_an_order_ruled_out_still_proves_its_version(
    theirs: tuple[float, Instant | None, int], ours: tuple[float, Instant | None, int], passed: bool
) -> None:
    """Somebody was answered with it: what is stored under the later generation is older."""
    other, local = (at(s, v, "e").but(generation=each) for s, v, each in (theirs, ours))

    assert is_passed(other, local) is passed


KEY, OTHER = Key("p1", "trn_1"), Key("p2", "trn_1")


def test_the_later_one_is_remembered_without_its_body() -> None:
    """Whichever was noted last."""
    latest = Latest()
    for entry in (at(1, version(5)), at(2, version(4))):
        latest.note(KEY, entry)

    known = latest.of(KEY)

    assert known is not None
    assert known.updated_at == version(5)
    assert (known.body, known.headers) == (b"", ())
    latest.note(KEY, at(3, version(6)))
    assert latest.of(KEY) == at(3, version(6)).but(body=b"", headers=())


@pytest.mark.parametrize(
    ("partition", "left"), [("p2", {KEY}), (None, set()), ("p3", {KEY, OTHER})]
)
def test_what_is_forgotten_is_not_known(partition: str | None, left: set[Key]) -> None:
    """That of a partition, or all."""
    latest = Latest()
    for key in (KEY, OTHER):
        latest.note(key, at(1, version(1)))

    latest.forget_all(partition)

    assert {key for key in (KEY, OTHER) if latest.of(key)} == left
    latest.forget(KEY)
    assert latest.of(KEY) is None


def test_few_are_remembered() -> None:
    """The one noted longest ago goes."""
    latest = Latest(most=2)
    for name in ("a", "b", "a", "c"):
        latest.note(Key("p", name), at(1, version(1)))

    assert latest.of(Key("p", "b")) is None
    assert latest.of(Key("p", "a")) is not None
