from __future__ import annotations

from collections.abc import Callable
from logging import DEBUG, WARNING

import pytest

from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import (
    AccessRefusal,
    Cause,
    Circuit,
    DriftKind,
    FailureReason,
    InvalidReason,
    Mode,
    NotStoredReason,
    Outcome,
    Purpose,
    RedisOperation,
    StoreVerdict,
    Tier,
)
from gateway.ports import Confirmations, RefusedRequest
from tests.unit.adapters.telemetry.stand_ins import BrokenLog, ListLog, ManualClock, samples

KEY = Key("partition-of-a-credential", "a")

VERBS: list[tuple[Callable[[Telemetry], None], str, str]] = [
    (
        lambda o: o.requests.requested(Outcome.FRESH, Tier.L1, 200, 0.001, 1.0),
        'gateway_requests_total{outcome="fresh",status="2xx",tier="l1"}',
        "",
    ),
    (
        lambda o: o.requests.requested(Outcome.FRESH, Tier.L1, 200, 0.001, 1.0),
        "gateway_response_age_seconds_count",
        "",
    ),
    (
        lambda o: o.requests.client_result("shop", "limited"),
        'gateway_client_requests_total{client="shop",result="limited"}',
        "",
    ),
    (
        lambda o: o.requests.access_refused(AccessRefusal.CREDENTIAL_MISSING, RefusedRequest()),
        'gateway_access_refused_total{reason="credential-missing"}',
        "access.refused",
    ),
    (lambda o: o.connections.call_started(Purpose.MISS), "gateway_upstream_inflight", ""),
    (
        lambda o: o.connections.call_ended(Purpose.MISS, None, 0.3),
        'gateway_upstream_requests_total{purpose="miss",status="none"}',
        "",
    ),
    (
        lambda o: o.upstream_failed(FailureReason.TLS, "a", "certificate"),
        'gateway_upstream_failures_total{reason="tls"}',
        "upstream.failed",
    ),
    (
        lambda o: o.upstream_failed(FailureReason.REFUSED, "a", "401"),
        'gateway_upstream_failures_total{reason="refused"}',
        "",
    ),
    (lambda o: o.token_refused("acme"), "", "upstream.token-refused"),
    (lambda o: o.circuit_moved(Circuit.OPEN), "", "upstream.circuit-moved"),
    (
        lambda o: o.budget_denied(Purpose.REFRESH, 3.0),
        'gateway_budget_denied_total{purpose="refresh"}',
        "budget.denied",
    ),
    (
        lambda o: o.budget_waited(Purpose.MISS, 0.2),
        'gateway_budget_wait_seconds_count{purpose="miss"}',
        "",
    ),
    (lambda o: o.gate_closed("default", 3.0), "", "upstream.gate-closed"),
    (lambda o: o.gate_opened("default"), "", "upstream.gate-opened"),
    (lambda o: o.stored(KEY, StoreVerdict.CHANGED), "", "entry.changed"),
    (lambda o: o.stored(KEY, StoreVerdict.UNCHANGED), "", ""),
    (lambda o: o.stored(KEY, StoreVerdict.BELIEVED), "", "entry.believed"),
    (lambda o: o.not_stored(KEY, NotStoredReason.NO_STORE), "", "entry.not-stored"),
    (
        lambda o: o.invalidated(Cause.UPDATED_AT, "a"),
        'gateway_invalidations_total{cause="updated_at"}',
        "entry.invalidated",
    ),
    (lambda o: o.write_unconfirmed(KEY, Confirmations(2, 1)), "", "write.unconfirmed"),
    (lambda o: o.lagged(4.0), "gateway_freshness_lag_seconds_count", ""),
    (
        lambda o: o.payload_rejected(InvalidReason.WRONG_ID, "a", "another id"),
        'gateway_payload_rejected_total{reason="wrong-id"}',
        "payload.rejected",
    ),
    (
        lambda o: o.drifted(DriftKind.UNKNOWN_FIELD, "tags"),
        'gateway_payload_drift_total{kind="unknown-field"}',
        "payload.drifted",
    ),
    (lambda o: o.regressed("a"), "gateway_version_regressions_total", "entry.regressed"),
    (
        lambda o: o.counters.count_evicted(),
        'gateway_cache_evictions_total{tier="l1"}',
        "",
    ),
    (
        lambda o: o.connections.redis_timed(RedisOperation.STORE, 0.002),
        'gateway_redis_request_duration_seconds_count{operation="store"}',
        "",
    ),
    (
        lambda o: o.connections.redis_failed(RedisOperation.PING, "timeout"),
        'gateway_redis_errors_total{operation="ping"}',
        "redis.failed",
    ),
    (lambda o: o.connections.redis_moved(False), "", "redis.away"),
    (lambda o: o.connections.redis_moved(True), "", "redis.back"),
    (lambda o: o.connections.envelope_refused("schema 9"), "", "redis.envelope-refused"),
    (lambda o: o.refresh_failed(KEY, "timeout", 4.0), "", "refresh.failed"),
]


@pytest.mark.parametrize(("tell", "series", "event"), VERBS)
def test_each_verb_counts_and_says_its_own(
    tell: Callable[[Telemetry], None], series: str, event: str
) -> None:
    """A verb raises its series by one and logs its event, as far as it has them. It counts and
    raises nothing where the log is broken. What is made of a credential stays out of the log."""
    log = ListLog()
    told, unheard = (Telemetry(ManualClock(), each) for each in (log, BrokenLog()))

    for telemetry in (told, unheard):
        tell(telemetry)

    assert log.events == ([event] if event else [])
    assert "partition-of" not in str(log.lines)
    for telemetry in (told, unheard):
        assert not series or samples(telemetry)[series] == 1


def test_an_ended_call_is_no_longer_in_flight() -> None:
    """Calls under way go up and down."""
    telemetry = Telemetry(ManualClock(), ListLog())

    telemetry.connections.call_started(Purpose.MISS)
    telemetry.connections.call_started(Purpose.REFRESH)
    telemetry.connections.call_ended(Purpose.MISS, 200, 0.1)

    assert samples(telemetry)["gateway_upstream_inflight"] == 1


def test_answers_404_in_a_row_are_counted() -> None:
    """A failure says nothing about trainings, a training begins the count anew."""
    telemetry = Telemetry(ManualClock(), ListLog())

    counts = []
    for status in (404, 410, 500, None, 404, 304, 404):
        telemetry.connections.call_ended(Purpose.MISS, status, 0.1)
        counts.append(telemetry.counters.missing_in_a_row)

    assert counts == [1, 2, 2, 2, 3, 0, 1]


def test_a_refused_token_is_told_once_a_minute() -> None:
    """For each tenant; what fails until somebody acts would else fill the log."""
    log, clock = ListLog(), ManualClock()
    telemetry = Telemetry(clock, log)

    for _ in range(119):
        telemetry.token_refused("acme")
        telemetry.token_refused("globex")
        clock.time += 1.0

    told = [fields["tenant"] for _, _, fields in log.lines]
    assert told == ["acme", "globex", "acme", "globex"]
    assert log.lines[2][2]["suppressed"] == 59


def test_each_order_of_a_mode_is_told() -> None:
    """However fast they follow each other."""
    log = ListLog()
    telemetry = Telemetry(ManualClock(), log)
    ordered = [Mode.FROZEN, Mode.NORMAL, Mode.FROZEN]

    for mode in ordered:
        telemetry.mode_moved(mode)

    assert [fields["mode"] for _, _, fields in log.lines] == ordered


def test_clients_are_there_from_the_start() -> None:
    """Three series each, at 0, and what was counted stays."""
    telemetry = Telemetry(ManualClock(), ListLog())
    telemetry.requests.client_result("shop", "served")

    telemetry.counters.know_clients(["web", "shop"])

    found = samples(telemetry)
    for result in ("served", "limited", "refused"):
        assert found[f'gateway_client_requests_total{{client="web",result="{result}"}}'] == 0
    assert found['gateway_client_requests_total{client="shop",result="served"}'] == 1


def test_trainings_of_a_batch_are_counted_by_outcome() -> None:
    """Beside the request, which counts once."""
    telemetry = Telemetry(ManualClock(), ListLog())
    telemetry.counters.count_items([Outcome.FRESH, Outcome.FRESH, Outcome.FAILED])

    found = samples(telemetry)

    assert found['gateway_batch_items_total{outcome="fresh"}'] == 2
    assert found['gateway_batch_items_total{outcome="failed"}'] == 1
    assert found['gateway_batch_items_total{outcome="filled"}'] == 0


def test_a_drift_is_told_once() -> None:
    """A field new to the schema comes in every body and is logged with the first."""
    log, clock = ListLog(), ManualClock()
    telemetry = Telemetry(clock, log)

    for name in ("tags", "tags", "mood", "tags"):
        clock.time += 5.0
        telemetry.drifted(DriftKind.UNKNOWN_FIELD, name)

    assert [fields["field"] for _, _, fields in log.lines] == ["tags", "mood"]
    assert samples(telemetry)['gateway_payload_drift_total{kind="unknown-field"}'] == 4


def test_drifts_without_end_do_not_fill_the_memory() -> None:
    """An upstream that invents fields is told of for a hundred of them."""
    log, clock = ListLog(), ManualClock()
    telemetry = Telemetry(clock, log)

    for number in range(500):
        clock.time += 5.0
        telemetry.drifted(DriftKind.UNKNOWN_FIELD, f"field-{number}")

    assert len(log.lines) == 100


def test_gauges_that_cannot_be_read_leave_the_rest_of_the_scrape() -> None:
    """A bug in a reading costs the gauges, not the counters, and is logged."""
    log = ListLog()

    def broken() -> GaugeReadings:
        raise RuntimeError

    found = samples(Telemetry(ManualClock(), log), broken)

    assert "gateway_ready" not in found
    assert "gateway_upstream_inflight" in found
    assert log.events == ["telemetry.gauges-unread"]


@pytest.mark.parametrize(
    ("reason", "level"),
    [(NotStoredReason.FUTURE_VERSION, WARNING), (NotStoredReason.OLDER_VERSION, DEBUG)],
)
def test_a_date_far_ahead_is_a_warning(reason: NotStoredReason, level: int) -> None:
    """Nothing else tells of it; the line names the training."""
    log = ListLog()

    Telemetry(ManualClock(), log).not_stored(KEY, reason)

    assert log.lines == [(level, "entry.not-stored", {"reason": reason, "id": "a"})]


def test_an_hour_without_redis_is_a_line_a_minute() -> None:
    """Two failures a second are said once, then once a minute with how many went unsaid."""
    log, clock = ListLog(), ManualClock()
    telemetry = Telemetry(clock, log)

    for _ in range(7_200):
        telemetry.connections.redis_failed(
            RedisOperation.PING, "ConnectionError: redis:6379: refused"
        )
        clock.time += 0.5

    assert len(log.lines) == 60
    suppressed = [fields.get("suppressed") for _, _, fields in log.lines]
    assert suppressed == [None, *[119] * 59]
    assert samples(telemetry)['gateway_redis_errors_total{operation="ping"}'] == 7_200


@pytest.mark.parametrize(
    ("confirmations", "fields"),
    [
        (
            Confirmations(3, 2, until=1_700_000_000.25),
            {"replicas": 3, "confirmed": 2, "until": "2023-11-14T22:13:21Z"},
        ),
        (None, {"why": "Redis did not accept the invalidation"}),
    ],
)
def test_a_write_that_not_all_confirmed_is_told_with_the_reason(
    confirmations: Confirmations | None, fields: dict[str, object]
) -> None:
    """In the log, and among the events of its training."""
    log = ListLog()
    telemetry = Telemetry(ManualClock(), log)

    telemetry.write_unconfirmed(KEY, confirmations)

    assert log.lines == [(WARNING, "write.unconfirmed", {"id": "a", **fields})]
    (noted,) = telemetry.journal.of("a")
    assert (noted.event, noted.partition) == ("write.unconfirmed", KEY.partition)
    assert noted.fields == fields


def test_a_time_that_makes_no_sense_does_not_fail_the_write() -> None:
    """It comes from Redis."""
    Telemetry(ManualClock(), ListLog()).write_unconfirmed(KEY, Confirmations(2, 1, until=1e15))


def test_a_refused_request_is_named_as_far_as_it_is_known() -> None:
    """The log says who was refused what; nothing stands for what is not known."""
    log = ListLog()
    telemetry = Telemetry(ManualClock(), log)

    known = RefusedRequest("192.0.2.7", "r-1", "GET", "/training/a")
    telemetry.requests.access_refused(AccessRefusal.CREDENTIAL_UNKNOWN, known)
    telemetry.requests.access_refused(
        AccessRefusal.TOO_MANY_CONNECTIONS, RefusedRequest("192.0.2.8")
    )

    request = {"request_id": "r-1", "method": "GET", "path": "/training/a"}
    assert [fields for _, _, fields in log.lines] == [
        {"reason": "credential-unknown", "peer": "192.0.2.7", **request},
        {"reason": "too-many-connections", "peer": "192.0.2.8"},
    ]
