"""Operators: found by their tokens, named, and replaced while running."""

from __future__ import annotations

import hmac

import pytest

from gateway.core.access import operators
from gateway.core.access.caller import digest_of
from gateway.core.access.operators import EVERYTHING, Operator, Operators
from gateway.core.vocabulary import Right

PIPELINE = Operator("pipeline", (digest_of("one"), digest_of("two")), frozenset({Right.INVALIDATE}))
ON_CALL = Operator("on-call", (digest_of("three"),), frozenset(Right))


def test_each_token_is_its_operators() -> None:
    """One of several tokens is enough, and no other is anybody's."""
    known = Operators("own", [PIPELINE, ON_CALL])

    assert known.with_token("one") is PIPELINE
    assert known.with_token("two") is PIPELINE
    assert known.with_token("three") is ON_CALL
    own = known.with_token("own")
    assert own is not None
    assert (own.name, own.may) == ("admin.token", EVERYTHING)
    for other in ("", "One", "one ", digest_of("one")):
        assert known.with_token(other) is None


def test_every_digest_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever token is presented, as many comparisons are made."""
    compared = []

    def compare(presented: str, digest: str) -> bool:
        compared.append(digest)
        return hmac.compare_digest(presented, digest)

    class Counting:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(operators, "hmac", Counting)
    known = Operators("own", [PIPELINE, ON_CALL])
    for token in ("own", "one", "two", "three", "none"):
        known.with_token(token)

    assert len(compared) == 5 * 4


@pytest.mark.parametrize(
    ("known", "names", "needed"),
    [
        (Operators(None), ("loopback",), False),
        (Operators("own"), ("admin.token",), True),
        (Operators(None, [PIPELINE]), ("pipeline",), True),
        (Operators("own", [PIPELINE, ON_CALL]), ("admin.token", "pipeline", "on-call"), True),
    ],
)
def test_orders_are_counted_by_name(known: Operators, names: tuple[str, ...], needed: bool) -> None:
    """Loopback has one where no token is needed."""
    assert (known.names, known.need_tokens) == (names, needed)


def test_a_token_taken_out_of_the_file_is_nobodys() -> None:
    """From the next request on; `admin.token` stays, and tokens stay needed."""
    known = Operators("own", [PIPELINE])

    known.replace([ON_CALL])

    assert known.with_token("one") is None
    assert known.with_token("three") is ON_CALL
    assert known.with_token("own") is not None
    assert known.need_tokens


def test_no_digest_is_shown() -> None:
    """In a traceback or a log."""
    assert digest_of("one") not in repr(PIPELINE)
