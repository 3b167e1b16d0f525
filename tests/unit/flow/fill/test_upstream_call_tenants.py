from __future__ import annotations

import pytest

from gateway.core.access.caller import Caller
from gateway.core.budget.breaker import BreakerRule
from gateway.core.errors import CircuitOpen
from gateway.core.vocabulary import Circuit
from gateway.flow.fill.upstream_call import Breakers
from tests.doubles.clock import FakeClock
from tests.doubles.observer import RecordingObserver

RULE = BreakerRule(threshold=10, base=1.0, cap=30.0, patience=20.0)


@pytest.fixture
def observer() -> RecordingObserver:
    """What was told."""
    return RecordingObserver()


@pytest.fixture
def breakers(clock: FakeClock, observer: RecordingObserver) -> Breakers:
    """All closed."""
    return Breakers(RULE, clock, observer)


def tenant(name: str) -> Caller:
    """A client of this tenant."""
    return Caller(f"{name}-web", name, f"partition of {name}", name, f"T-{name}", owns_token=False)


def fail(breakers: Breakers, name: str, times: int = 1, *, sent: bool = True) -> None:
    """Calls of this tenant fail."""
    for _ in range(times):
        breakers.failed(tenant(name), 0.0, sent=sent)


def is_open(breakers: Breakers, name: str) -> bool:
    """Whether a call of this tenant is refused."""
    try:
        breakers.leave(breakers.enter(tenant(name), "trn_1"))
    except CircuitOpen:
        return True
    return False


def state(breakers: Breakers) -> Circuit:
    """The state that is shown."""
    return breakers.circuit


def test_failures_of_one_tenant_stop_no_other(
    breakers: Breakers, observer: RecordingObserver
) -> None:
    """The log names the tenant."""
    fail(breakers, "acme", 30)

    assert is_open(breakers, "acme")
    assert not is_open(breakers, "globex")
    assert state(breakers) is Circuit.OPEN
    assert observer.of("circuit_moved") == [(Circuit.OPEN, "acme")]


def test_failures_of_two_tenants_stop_no_third(breakers: Breakers) -> None:
    """Each has its own breaker."""
    for _ in range(10):
        fail(breakers, "acme")
        fail(breakers, "globex")

    assert is_open(breakers, "acme")
    assert is_open(breakers, "globex")
    assert not is_open(breakers, "initech")


def test_ten_failures_of_several_tenants_stop_all(
    breakers: Breakers, observer: RecordingObserver
) -> None:
    """In an outage not every tenant has to fail ten times."""
    for name, times in (("acme", 4), ("globex", 4), ("initech", 1)):
        fail(breakers, name, times)
    assert not is_open(breakers, "umbrella")

    fail(breakers, "initech")

    assert is_open(breakers, "umbrella")
    assert observer.of("circuit_moved") == [(Circuit.OPEN, None)]


def test_calls_that_cannot_be_sent_stop_all(breakers: Breakers) -> None:
    """No tenant is to blame for them, so they count whatever their tenant."""
    fail(breakers, "acme", 9, sent=False)
    assert not is_open(breakers, "globex")

    fail(breakers, "acme", sent=False)

    assert is_open(breakers, "globex")


def test_an_answer_to_any_tenant_begins_the_common_count_anew(breakers: Breakers) -> None:
    """The upstream answers, so it is no outage."""
    for name in ("acme", "globex"):
        fail(breakers, name, 4)
    breakers.succeeded(tenant("initech"))

    for name in ("acme", "globex"):
        fail(breakers, name, 4)

    assert not is_open(breakers, "initech")


def test_an_answer_to_another_tenant_does_not_close_a_breaker(breakers: Breakers) -> None:
    """The upstream still fails at what this tenant wants."""
    fail(breakers, "acme", 10)

    breakers.succeeded(tenant("globex"))

    assert is_open(breakers, "acme")


def test_the_longer_wait_is_told(breakers: Breakers, clock: FakeClock) -> None:
    """A call needs both breakers."""
    fail(breakers, "acme", 10)
    clock.advance(0.75)
    fail(breakers, "globex", 10, sent=False)

    with pytest.raises(CircuitOpen) as caught:
        breakers.enter(tenant("acme"), "trn_1")

    assert caught.value.retry_after == 1.0


def test_a_call_is_the_probe_of_both(breakers: Breakers, clock: FakeClock) -> None:
    """Until it has ended, no other call is made; its success closes both."""
    fail(breakers, "acme", 10)
    fail(breakers, "globex", 10, sent=False)
    clock.advance(1.0)

    breakers.enter(tenant("acme"), "trn_1")

    assert state(breakers) is Circuit.HALF_OPEN
    assert is_open(breakers, "acme")
    assert is_open(breakers, "globex")
    breakers.succeeded(tenant("acme"))
    assert state(breakers) is Circuit.CLOSED
    assert not is_open(breakers, "globex")


def test_a_refused_call_is_no_probe(breakers: Breakers, clock: FakeClock) -> None:
    """The breaker of its tenant would have let it probe; the common one does not."""
    fail(breakers, "acme", 10)
    clock.advance(1.0)
    fail(breakers, "globex", 10, sent=False)

    assert is_open(breakers, "acme")

    clock.advance(1.0)
    assert not is_open(breakers, "acme")


def test_a_failed_probe_counts_however_often_its_tenant_has_failed(
    breakers: Breakers, clock: FakeClock
) -> None:
    """The common breaker stays open, for longer."""
    fail(breakers, "acme", 5)
    fail(breakers, "globex", 10, sent=False)
    clock.advance(1.0)
    breakers.enter(tenant("acme"), "trn_1")

    fail(breakers, "acme")

    assert is_open(breakers, "globex")
    clock.advance(1.0)
    assert is_open(breakers, "globex")


def test_a_probe_that_cannot_be_sent_is_a_failed_probe(
    breakers: Breakers, clock: FakeClock
) -> None:
    """The next one follows after the usual pause, not only after the longest call."""
    fail(breakers, "acme", 10)
    clock.advance(1.0)
    breakers.enter(tenant("acme"), "trn_1")

    fail(breakers, "acme", sent=False)

    assert is_open(breakers, "acme")
    clock.advance(2.0)
    assert not is_open(breakers, "acme")


def test_a_late_failure_does_not_count_as_the_probe_of_its_tenant(
    breakers: Breakers, clock: FakeClock
) -> None:
    """The call of another tenant was the probe, so that tenant leaves the next one to others."""
    fail(breakers, "globex", 10, sent=False)
    clock.advance(1.0)
    breakers.enter(tenant("acme"), "trn_1")
    fail(breakers, "globex")
    assert is_open(breakers, "globex")
    assert is_open(breakers, "acme")

    clock.advance(2.0)

    assert is_open(breakers, "acme")
    assert not is_open(breakers, "globex")


def test_a_breaker_that_no_call_needs_is_not_shown(breakers: Breakers, clock: FakeClock) -> None:
    """A tenant without callers would alarm for ever. Its next call is a probe all the same."""
    fail(breakers, "acme", 10)
    clock.advance(61.0)
    assert state(breakers) is Circuit.OPEN

    clock.advance(1.0)

    assert state(breakers) is Circuit.CLOSED
    breakers.enter(tenant("acme"), "trn_1")
    assert is_open(breakers, "acme")
    assert state(breakers) is Circuit.HALF_OPEN


def test_many_tenants_take_no_more_memory(breakers: Breakers) -> None:
    """The breaker of the tenant that failed longest ago is forgotten."""
    for number in range(1_001):
        fail(breakers, f"tenant-{number}", 10)
        breakers.succeeded(tenant("another"))

    assert not is_open(breakers, "tenant-0")
    assert is_open(breakers, "tenant-1000")
