"""Callers known from before, and what is left of their own rates."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.access import registry as module
from gateway.core.access.caller import Caller, Client, Clients, Open, Passthrough, Tenant, digest_of
from gateway.core.access.registry import Allowance, Callers
from gateway.core.budget.window_log import Rate
from gateway.core.errors import AccessRefused

ACME = Tenant("acme", "T-ACME", None)
RATE = Rate(5, 60.0)


def clients(*keys: str, rate: Rate | None = RATE) -> Clients:
    """One client with these keys."""
    web = Client("web", tuple(map(digest_of, keys)), "acme", rate)
    return Clients.of("https://api.example", None, (ACME,), (web,))


def bearer(key: str) -> list[bytes]:
    """The field that presents it."""
    return [f"Bearer {key}".encode()]


@dataclass(frozen=True)
class Asked(Passthrough):
    """Counts how often it is asked."""

    asked: list[Sequence[bytes]] = field(default_factory=list)

    def admit(self, authorization: Sequence[bytes]) -> Caller:
        self.asked.append(authorization)
        return Passthrough.admit(self, authorization)


def passthrough() -> Asked:
    """Rules that let in everybody with a token."""
    return Asked("https://api.example", None, budget_per_credential=False)


def test_a_known_credential_is_one_look_up() -> None:
    """The rules are asked once for it."""
    access = passthrough()
    callers = Callers(access)

    first, second = callers.admit(bearer("t")), callers.admit(bearer("t"))

    assert first is second
    assert len(access.asked) == 1


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number, the oldest forgotten first, and in length."""
    monkeypatch.setattr(module, "_MOST", 2)
    access = passthrough()
    callers = Callers(access)
    for token in ("a", "b", "c", "c", "a", "long" * 300, "long" * 300):
        callers.admit(bearer(token))

    assert len(callers._known) == 2
    assert len(access.asked) == 6


def test_nobody_is_known_by_no_credential_but_where_all_are_let_in() -> None:
    """Nor by two of them."""
    callers = Callers(passthrough())
    callers.admit(bearer("t"))

    for fields in ([], [b""], [*bearer("t"), *bearer("t")]):
        for _ in range(2):
            with pytest.raises(AccessRefused):
                callers.admit(fields)
    everybody = Callers(Open("https://api.example", None, "ours"))
    assert everybody.admit([]).caller is everybody.admit([*bearer("a"), b""]).caller


def test_other_rules_hold_at_once() -> None:
    """A key that is not in the file any more is as unknown as one that never was."""
    callers = Callers(clients("gw_old"))
    callers.admit(bearer("gw_old"))

    callers.replace(clients("gw_new"))

    assert callers.admit(bearer("gw_new")).caller.client == "web"
    with pytest.raises(AccessRefused):
        callers.admit(bearer("gw_old"))


def test_what_waits_goes_with_the_token_that_the_tenant_has_then() -> None:
    """A key of ours is none of the upstream's; a tenant that is gone has no other one."""
    callers = Callers(clients("gw_old"))
    waiting = callers.admit(bearer("gw_old")).caller

    callers.replace(replace(clients("gw_new"), _tokens={"acme": "T-NEW"}))
    assert callers.current(waiting) == replace(waiting, token="T-NEW")

    callers.replace(Clients.of("https://api.example", None, (), ()))
    assert callers.current(waiting) is waiting


def test_a_token_of_the_caller_stays() -> None:
    """Nobody else has another one for it."""
    callers = Callers(passthrough())
    caller = callers.admit(bearer("t")).caller

    assert callers.current(caller) is caller


def test_all_keys_of_a_client_share_its_rate() -> None:
    """A second key is no second helping, and a reload none either."""
    callers = Callers(clients("gw_old", "gw_new"))
    before = callers.admit(bearer("gw_old")).allowance

    assert callers.admit(bearer("gw_new")).allowance is before
    callers.replace(clients("gw_new"))
    assert callers.admit(bearer("gw_new")).allowance is before


def test_another_rate_begins_anew() -> None:
    """What was left of the former one is forgotten; without a rate nothing is counted."""
    callers = Callers(clients("gw_a"))
    before = callers.admit(bearer("gw_a")).allowance

    callers.replace(clients("gw_a", rate=Rate(9, 60.0)))
    after = callers.admit(bearer("gw_a")).allowance
    callers.replace(clients("gw_a", rate=None))

    assert after is not before
    assert callers.admit(bearer("gw_a")).allowance is None
    assert callers._allowances == {}


rates = st.builds(Rate, st.integers(1, 300), st.sampled_from([0.25, 1.0, 6.0, 60.0, 3600.0]))
# Pauses as shares of the window, most of them short, so that limits are met.
pauses = st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.003, 0.01, 0.1, 0.5, 1.0]), max_size=500)


@given(rates, pauses, st.floats(0.0, 1e6))
def test_no_window_has_more_than_twice_the_quota(
    rate: Rate, pauses: list[float], start: float
) -> None:
    """Whatever the rhythm, and wherever the window begins."""
    allowance, now = Allowance(rate), start
    granted: list[float] = []
    for pause in pauses:
        now += pause * rate.window
        if allowance.take(now) == 0.0:
            granted.append(now)

    for place, first in enumerate(granted):
        inside = bisect_left(granted, first + allowance.seconds * (1 - 1e-9)) - place
        assert inside <= 2 * allowance.quota


@given(rates, st.floats(0.0, 1e6))
def test_who_keeps_to_the_rate_is_never_refused(rate: Rate, start: float) -> None:
    """One each `window / limit`, for ever."""
    allowance = Allowance(rate)
    spacing = rate.window / rate.limit

    assert [allowance.take(start + n * spacing) for n in range(400)] == [0.0] * 400


@given(rates, pauses)
def test_who_waits_as_told_is_granted(rate: Rate, pauses: list[float]) -> None:
    """The time told is enough, and what is refused costs nothing."""
    allowance, now = Allowance(rate), 1000.0
    for pause in pauses:
        now += pause * rate.window
        wait = allowance.take(now)
        if wait:
            assert allowance.take(now) == wait
            now += wait
            assert allowance.take(now) == 0.0


@given(rates, pauses)
def test_what_remains_is_what_is_granted_at_once(rate: Rate, pauses: list[float]) -> None:
    """Exactly so many, then none."""
    allowance, now = Allowance(rate), 1000.0
    for pause in pauses[:50]:
        now += pause * rate.window
        allowance.take(now)

    remaining = allowance.remaining(now)

    assert [allowance.take(now) == 0.0 for _ in range(remaining + 1)] == [True] * remaining + [
        False
    ]
    assert allowance.remaining(now) == 0


@pytest.mark.parametrize(
    ("rate", "quota"),
    [
        (Rate(1, 60.0), 1),
        (Rate(20, 1.0), 20),
        (Rate(1000, 60.0), 1000),
        (Rate(3, 0.5), 6),
        (Rate(3, 1.5), 4),
    ],
)
def test_all_that_the_policy_states_is_granted_at_once(rate: Rate, quota: int) -> None:
    """A page that asks for forty things at once needs a quota of forty, and nothing else."""
    allowance = Allowance(rate)

    granted = sum(allowance.take(1000.0) == 0.0 for _ in range(2 * quota))

    assert (allowance.quota, granted) == (quota, quota)


def test_the_quota_comes_back_with_time() -> None:
    """`full_in` tells when all of it is there."""
    allowance = Allowance(Rate(60, 60.0))
    assert (allowance.full_in(1000.0), allowance.remaining(1000.0)) == (0.0, 60)

    for _ in range(60):
        allowance.take(1000.0)

    assert math.isclose(allowance.full_in(1000.0), 60.0)
    assert allowance.remaining(1003.0) == 3
    assert allowance.full_in(1061.0) == 0.0
    assert allowance.remaining(1061.0) == 60
