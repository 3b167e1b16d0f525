"""CallShare: how many calls callers may have beyond what is stored, and how many each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.budget.window_log import Rate, Rates
from gateway.flow.request import client_directives
from gateway.flow.request.client_directives import CallShare
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import CALLER, share_of

HUNDRED = Rate(100, 60.0)


def taken(share: CallShare, client: str, attempts: int = 20) -> int:
    """How many calls that client has of so many it wants."""
    caller = replace(CALLER, client=client)
    return sum(share.take(caller) is not None for _ in range(attempts))


def test_one_caller_has_half_of_what_is_left(clock: FakeClock) -> None:
    """So there is a part for whoever comes next; together they have no more than a tenth."""
    share = share_of(clock, HUNDRED, is_divided=True)

    assert [taken(share, client) for client in "abcdef"] == [5, 3, 1, 1, 0, 0]


def test_callers_of_several_partitions_are_several(clock: FakeClock) -> None:
    """In `passthrough` all have one name, and each token a partition."""
    share = share_of(clock, HUNDRED, is_divided=True)
    taken(share, "a")

    assert share.take(replace(CALLER, client="a", partition="p2")) is not None


def test_a_caller_alone_in_its_scope_has_all(clock: FakeClock) -> None:
    """Where there is nobody to leave a part to."""
    assert taken(share_of(clock, HUNDRED), "a") == 10


def test_what_leaves_the_window_is_free_again(clock: FakeClock) -> None:
    """And that is what a caller without a call is told to wait for."""
    share = share_of(clock, HUNDRED)
    taken(share, "a", 4)
    clock.advance(20.0)
    taken(share, "a", 10)

    assert share.wait(CALLER.scope) == 40.0
    clock.advance(share.wait(CALLER.scope))
    assert taken(share, "a") == 4


def test_what_was_given_back_is_free_again(clock: FakeClock) -> None:
    """Once, however often it is given back."""
    share = share_of(clock, HUNDRED, is_divided=True)
    call = share.take(CALLER)
    assert call is not None
    taken(share, CALLER.client)

    share.give_back(call)
    share.give_back(call)

    assert taken(share, CALLER.client) == 1


def test_each_scope_has_a_share_of_its_own_rate(clock: FakeClock) -> None:
    """A tenant's rate may be another than most have, or none."""
    rates = Rates(HUNDRED, {"small": Rate(10, 60.0), "free": None})
    share = CallShare(clock, rates, lambda: 1, is_divided=False)

    found = []
    for scope in ("default", "small", "free"):
        caller = replace(CALLER, scope=scope)
        found.append(sum(share.take(caller) is not None for _ in range(20)))

    assert found == [10, 1, 20]


@pytest.mark.parametrize(("replicas", "calls"), [(1, 10), (3, 3), (50, 1)])
def test_replicas_divide_it(clock: FakeClock, replicas: int, calls: int) -> None:
    """Each has one call at least."""
    share = CallShare(clock, Rates(HUNDRED), lambda: replicas, is_divided=False)

    assert taken(share, "a") == calls


def test_scopes_that_come_and_go_are_forgotten(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget for each credential there are as many as tokens; the latest are known."""
    monkeypatch.setattr(client_directives, "_MOST_SCOPES", 10)
    share = share_of(clock, HUNDRED)

    for number in range(100):
        share.take(replace(CALLER, scope=f"scope {number}"))

    assert list(share._charged) == [f"scope {number}" for number in range(90, 100)]


def test_callers_that_come_and_go_are_forgotten(clock: FakeClock) -> None:
    """None is remembered that has no call in the window."""
    share = share_of(clock, Rate(100_000, 60.0), is_divided=True)
    for number in range(1_000):
        clock.advance(1.0)
        taken(share, f"client {number}", 1)

    assert len(share._charged[CALLER.scope].by_caller) == 60
