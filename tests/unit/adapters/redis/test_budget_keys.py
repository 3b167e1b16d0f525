"""Names and numbers of budgets in Redis."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.budget import portion_numbers
from gateway.adapters.redis.keys import AccountNames
from gateway.core.budget.priority import RANKS


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_two_scopes_share_a_key(one: str, other: str) -> None:
    """Whatever they are called, and all of a scope's keys have one hash tag."""
    names = AccountNames("gateway")
    keys = [
        {names.log(scope), names.gate(scope), names.book(scope), *names.ranks(scope)}
        for scope in (one, other)
    ]
    assert (one == other) == bool(keys[0] & keys[1])
    assert len({key[key.index("{") : key.index("}")] for key in keys[0]}) == 1


def test_each_rank_has_three_numbers() -> None:
    """In the order of their logs; without a limit there is nothing to share."""
    assert portion_numbers(100, 0.5) == (
        *(20, 100, 1, 10, 100, 0, 10, 100, 0),
        *(10, 100, 0, 10, 50, 0),
    )
    assert set(portion_numbers(None, 0.5)) == {0}
    assert len(portion_numbers(None, 0.5)) == 3 * len(RANKS)
