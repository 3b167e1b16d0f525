"""Callers known from before, and what is left of their own rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from gateway.core.access import registry as module
from gateway.core.access.caller import Caller, Client, Clients, Open, Passthrough, Tenant, digest_of
from gateway.core.access.registry import Callers
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
