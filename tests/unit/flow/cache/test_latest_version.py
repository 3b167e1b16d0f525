"""What is remembered of a key that L1 holds no more: the latest version that was answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.flow.cache.local_versions import Latest
from tests.doubles.stored import TICKET, entry_of, version

KEY, OTHER = Key("p1", "trn_1"), Key("p2", "trn_1")


def at(seconds: float, updated_at: Instant) -> Entry:
    """The answer of a fetch that began then."""
    return entry_of(replace(TICKET, started=TICKET.started + seconds), updated_at)


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
