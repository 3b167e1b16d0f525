from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.telemetry.counters import Counters
from gateway.adapters.telemetry.live_figures import History, Totals
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.app.health_findings import REMEDIES, Finding, judge
from gateway.app.live import _figures_of
from gateway.core.vocabulary import (
    AccessRefusal,
    Circuit,
    FailureReason,
    InvalidReason,
    Mode,
    Outcome,
    Purpose,
    Tier,
)
from gateway.ports import BudgetView
from tests.doubles.clock import FakeClock

WELL = GaugeReadings(ready=True, draining=False, l1_entries=1, l1_bytes=1)
OPEN_GATE = BudgetView(100, 60.0, 50, 0.0)


def minute(
    hits: int = 100,
    errors: int = 0,
    *,
    failures: dict[FailureReason, int] | None = None,
    rejected: int = 0,
    why: InvalidReason = InvalidReason.NOT_JSON,
    denied: int = 0,
    purpose: Purpose = Purpose.MISS,
    rows: int = 0,
    refused: int = 0,
    turned_away: int = 0,
    shielded: int = 0,
) -> Totals:
    """A minute in which so much happened."""
    counters = Counters()
    history = History(counters, FakeClock(), lambda: None, 30.0)
    for _ in range(hits):
        counters.count_request(Outcome.FRESH, Tier.L1, 200, 0.001, 1.0)
    for _ in range(errors):
        counters.count_request(Outcome.FAILED, Tier.NONE, 502, 0.1, None)
    for _ in range(refused):
        counters.count_request(Outcome.REJECTED, Tier.NONE, 401, 0.001, None)
    for _ in range(shielded):
        counters.count_request(Outcome.STALE_SHIELDED, Tier.L1, 200, 0.001, 60.0)
    counters.failures.update(failures or {})
    counters.rejected[why] += rejected
    counters.denied[purpose] += denied
    counters.rows += rows
    counters.refusals[AccessRefusal.TOO_MANY_CONNECTIONS] += turned_away
    return history.minute()


def first(of: Totals, now: GaugeReadings = WELL) -> Finding:
    """What is said before all else."""
    return judge(of, now)[0]


def test_all_is_well() -> None:
    """And nobody is to do anything; whether anybody asked is said."""
    assert judge(minute(), WELL) == [
        Finding("good", "nobody", "Callers are served", "Nothing to do.")
    ]
    assert "no requests came" in first(minute(hits=0)).says


def test_one_error_in_a_hundred_is_borne() -> None:
    """Beyond that callers are not served."""
    assert first(minute(99, 1)).level == "good"
    assert first(minute(98, 2)).level == "bad"
    assert first(minute(98, 2)).says.startswith("2 % of the requests")
    assert first(minute(0, 3)).says.startswith("All of the requests")


def test_refused_requests_do_not_hide_failed_ones() -> None:
    """The objective for availability leaves them out too."""
    finding = first(minute(0, 6, refused=720))

    assert finding.level == "bad"
    assert finding.says == "All of the requests of the last minute failed"
    assert first(minute(1, refused=20)).says == "Callers are served"


def test_served_is_the_share_of_the_requests_that_were_not_refused() -> None:
    """The live page shows it beside the finding."""
    history = History(Counters(), FakeClock(), lambda: None, 30.0)

    assert _figures_of(minute(1, 1, refused=8), history)["served"] == 0.5
    assert _figures_of(minute(0, refused=8), history)["served"] is None


def test_if_all_requests_are_refused_nobody_is_served() -> None:
    """Which is no failure of the gateway, but is not well either."""
    (finding,) = judge(minute(0, refused=20), WELL)

    assert (finding.level, finding.whose) == ("watch", "nobody")
    assert finding.says == "Nobody is served: 20 requests came in the last minute, all refused"
    assert "`access.refused`" in finding.do


def test_refused_connections_are_told() -> None:
    """Their requests are never read, so they count neither as requests nor as failed ones."""
    (finding,) = judge(minute(0, turned_away=6), WELL)

    assert (finding.level, finding.whose) == ("bad", "us")
    assert finding.says.startswith("This replica refused 6 connections in the last minute")
    assert finding.runbook == "GatewayConnectionsExhausted"
    assert first(minute(100, turned_away=1)).level == "watch"


@pytest.mark.parametrize(
    ("reason", "whose", "remedy"),
    [
        (FailureReason.CHALLENGE, "upstream", "CDN"),
        (FailureReason.REFUSED, "us", "`upstream.token`"),
        (FailureReason.CONNECT, "upstream", "DNS"),
        (FailureReason.STATUS_5XX, "upstream", "status page"),
        (FailureReason.TOO_LARGE, "us", "`upstream.max_list_body`"),
        (FailureReason.PROTOCOL, "upstream", "`upstream.base_url`"),
    ],
)
def test_errors_come_with_their_cause(reason: FailureReason, whose: str, remedy: str) -> None:
    """Us or the upstream, and what to do: by what failed most."""
    failures = {reason: 5, FailureReason.TLS: 1}
    finding = first(minute(50, 50, failures=failures))

    assert (finding.level, finding.whose) == ("bad", whose)
    assert remedy in finding.do


@pytest.mark.parametrize(("missing", "is_told"), [(29, False), (30, True)])
def test_an_api_that_knows_no_training_is_told(missing: int, is_told: bool) -> None:
    """Each request is answered, with a 404, so no other finding shows it."""
    finding = first(minute(50), replace(WELL, missing=missing))

    assert ("`upstream.base_url`" in finding.do) is is_told
    assert (finding.says == "Callers are served") is not is_told


LATE = replace(WELL, loop_lag=11.9)


@pytest.mark.parametrize(
    ("of", "now", "runbook"),
    [
        (
            minute(0, 78, denied=77, failures={FailureReason.STATUS_5XX: 1}),
            WELL,
            "GatewayBudgetShort",
        ),
        (
            minute(0, 20, denied=1, failures={FailureReason.REFUSED: 20}),
            replace(WELL, clients_reloaded=False),
            "GatewayTokenRefused",
        ),
        (minute(0, 9, denied=9), replace(WELL, redis_up=False), "GatewayRedisAway"),
        (minute(0, 9, denied=9), replace(WELL, bus_connected=False), "GatewayBudgetShort"),
        (minute(0, 9, denied=9), LATE, "GatewayBudgetShort"),
        (minute(0, 9), replace(WELL, circuit=Circuit.OPEN), "GatewayCircuitOpen"),
        (minute(0, 9), LATE, "GatewayAvailabilityBurn"),
        (minute(0, 9, denied=9, purpose=Purpose.REFRESH), LATE, "GatewayAvailabilityBurn"),
    ],
)
def test_the_cause_is_what_happened_to_more_calls(
    of: Totals, now: GaugeReadings, runbook: str
) -> None:
    """And not a state that makes no request fail, such as a faulty file. That is told below."""
    findings = judge(of, now)

    assert (findings[0].level, findings[0].runbook) == ("bad", runbook)
    assert ("Most likely" in findings[0].do) == (runbook != "GatewayAvailabilityBurn")
    assert runbook not in {each.runbook for each in findings[1:]}


def test_what_is_not_the_cause_is_told_below() -> None:
    """A late loop delays requests, but makes none fail."""
    assert "late" in judge(minute(0, 9), LATE)[1].says


def test_failures_that_callers_do_not_notice_are_to_be_watched() -> None:
    """What is stored rescues."""
    finding = first(minute(failures={FailureReason.READ_TIMEOUT: 1}))

    assert (finding.level, finding.whose) == ("watch", "upstream")
    assert finding.says.startswith("1 call to the API failed in the last minute (read-timeout)")


@pytest.mark.parametrize(
    ("now", "level", "whose", "word"),
    [
        (replace(WELL, ready=False), "bad", "us", "not ready"),
        (replace(WELL, ready=False, draining=True), "watch", "us", "is stopping"),
        (replace(WELL, mode=Mode.FROZEN), "watch", "us", "The mode is frozen"),
        (replace(WELL, loop_lag=0.4), "watch", "us", "0.40 s late"),
        (replace(WELL, clients_reloaded=False), "watch", "us", "clients file"),
        (replace(WELL, tokens_reloaded=False), "watch", "us", "operators' tokens"),
        (replace(WELL, redis_up=False, bus_connected=False), "watch", "redis", "Redis is away"),
        (replace(WELL, redis_up=True, bus_connected=False), "watch", "redis", "no messages"),
        (
            replace(WELL, budgets={"acme": replace(OPEN_GATE, gate_closed_for=12.0)}),
            "watch",
            "upstream",
            "no calls for tenant acme for another 12 s",
        ),
    ],
)
def test_each_state_is_told(now: GaugeReadings, level: str, whose: str, word: str) -> None:
    """How bad it is, whose it is, and in words."""
    (finding,) = judge(minute(), now)

    assert (finding.level, finding.whose) == (level, whose)
    assert word in finding.says
    assert finding.do


def test_what_it_refers_to_is_in_the_runbook() -> None:
    """Each section that a finding names has its heading there."""
    root = Path(__file__).resolve().parents[3]
    headings = set(re.findall(r"^## (\w+)$", (root / "dashboards/RUNBOOK.md").read_text(), re.M))
    source = (root / "gateway/app/health_findings.py").read_text()
    named = set(re.findall(r'"(Gateway\w+)"', source))

    assert len(named) > 8
    assert named - headings == set()
    assert first(minute(), replace(WELL, redis_up=False)).runbook == "GatewayRedisAway"


@pytest.mark.parametrize("circuit", [Circuit.OPEN, Circuit.HALF_OPEN])
def test_an_open_breaker_is_bad_only_while_calls_are_needed(circuit: Circuit) -> None:
    """It closes by a call alone, and a replica that serves only hits makes none."""
    now = replace(WELL, circuit=circuit)
    failing = first(minute(failures={FailureReason.CONNECT: 1}), now)

    assert (failing.level, failing.whose) == ("bad", "upstream")
    assert failing.says.startswith("The breaker is open")
    assert first(minute(denied=1), now).level == "bad"
    assert first(minute(shielded=1), now).level == "bad"
    (idle,) = judge(minute(), now)
    assert (idle.level, idle.whose) == ("watch", "upstream")
    assert "no call to the API was needed" in idle.says


def test_the_worst_comes_first() -> None:
    """An open breaker before a slow loop."""
    now = replace(WELL, loop_lag=0.4, circuit=Circuit.OPEN)

    assert [each.level for each in judge(minute(denied=1), now)] == ["bad", "watch"]


def test_what_is_frozen_may_fail() -> None:
    """As somebody ordered: how much of it is told, and nothing is alarming about it."""
    findings = judge(minute(1, 3, denied=1), replace(WELL, mode=Mode.FROZEN, circuit=Circuit.OPEN))

    assert [each.level for each in findings] == ["watch", "bad"]
    assert findings[0].says.endswith("served; 3 of 4 requests failed in the last minute")


def test_while_the_cache_is_filled_nobody_is_advised_to_change_settings() -> None:
    """It is a finding of its own, and the cause of the errors; a longer lifetime would not help."""
    cold = replace(WELL, is_warming=True)

    for found in (first(minute(1, 9, denied=9), cold), first(minute(9, denied=9), cold)):
        assert found.runbook == "GatewayWarming"
        assert "The cache began empty, and is being filled" in f"{found.says} {found.do}"
        assert "lifetime" not in found.do
    assert [each.runbook for each in judge(minute(9), cold)] == ["GatewayWarming"]


def test_a_spent_limit_is_ours_unless_a_gate_is_closed() -> None:
    """Behind a closed gate or an open breaker calls are withheld for that reason."""
    closed = replace(WELL, budgets={"acme": replace(OPEN_GATE, gate_closed_for=1.0)})

    assert first(minute(denied=3), replace(WELL, budgets={"acme": OPEN_GATE})).says == (
        "The limit is spent: the budget denied 3 calls to the API in the last minute"
    )
    assert ["429" in each.says for each in judge(minute(denied=3), closed)] == [True]


def test_a_lowered_limit_is_told() -> None:
    """It is the likely cause if calls are denied: the configured limit may be far from spent."""
    low = replace(WELL, budgets={"acme": replace(OPEN_GATE, limit=12)}, limits={"acme": 100})
    (finding,) = judge(minute(), low)

    assert (finding.level, finding.whose) == ("watch", "upstream")
    assert finding.says == "A 429 lowered the limit of tenant acme from 100 to 12 calls"
    assert finding.runbook == "GatewayUpstreamRateLimited"
    assert "A 429 lowered" in first(minute(0, 9, denied=9), low).do
    assert first(minute(), replace(low, budgets={"acme": OPEN_GATE})).level == "good"
    assert first(minute(), replace(low, redis_up=False)).runbook == "GatewayRedisAway"


@pytest.mark.parametrize(
    ("limit", "limits", "here"), [(20, {"acme": 20}, "20 calls"), (None, {}, "unlimited")]
)
def test_replicas_that_disagree_about_the_limit_are_told(
    limit: int | None, limits: dict[str, int], here: str
) -> None:
    """With both values: one of them is perhaps the limit that the operator meant."""
    view = BudgetView(limit, 4.0, limit, 0.0, other_rate="5/1s")
    (finding,) = judge(minute(), replace(WELL, budgets={"acme": view}, limits=limits))

    assert (finding.level, finding.whose) == ("watch", "us")
    assert finding.says == (
        f"Replicas disagree about the limit of tenant acme: here {here} in 4 s, elsewhere 5/1s"
    )


def test_more_replicas_than_reserves_are_told() -> None:
    """Each of them adds a reserve; as many as expected are no finding."""
    (finding,) = judge(minute(), replace(WELL, replicas=5, expected_replicas=4))

    assert finding.says == "5 replicas are alive, and `redis.replicas` is 4"
    assert first(minute(), replace(WELL, replicas=4, expected_replicas=4)).level == "good"


@pytest.mark.parametrize("purpose", [Purpose.SWEEP, Purpose.WARM, Purpose.VERIFY])
def test_calls_of_the_sweep_that_are_denied_are_no_finding(purpose: Purpose) -> None:
    """While a cache is filled after a start, many are: no caller waits for one."""
    assert first(minute(denied=89, purpose=purpose)).level == "good"


def test_rows_that_are_no_trainings_are_told() -> None:
    """More than one in twenty are too many, however few calls brought them."""
    assert first(minute(rejected=5, rows=100)).level == "good"
    assert first(minute(rejected=2, rows=20)).says == (
        "The API's list had 2 invalid rows in the last minute"
    )
    failed = judge(minute(failures={FailureReason.INVALID: 2}, rejected=2), WELL)
    assert [each.runbook for each in failed] == ["GatewayPayloadsRejected"]
    assert failed[0].says.startswith("2 calls to the API failed in the last minute (invalid)")


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (FailureReason.INVALID, InvalidReason.TRUNCATED),
        (FailureReason.TOO_LARGE, InvalidReason.TOO_LARGE),
        (FailureReason.CHALLENGE, InvalidReason.CHALLENGE),
    ],
)
def test_a_body_that_failed_a_call_is_told_once(failure: FailureReason, why: InvalidReason) -> None:
    """As a failed call."""
    told = judge(minute(failures={failure: 2}, rejected=2, why=why, rows=2), WELL)

    assert len(told) == 1
    assert told[0].says.startswith("2 calls to the API failed")
    assert told[0].runbook != "GatewayCircuitOpen"


def test_a_refused_token_is_renewed_where_it_is_set() -> None:
    """In the mode `clients` the gateway does not start with an `upstream.token`."""
    remedy = REMEDIES[FailureReason.REFUSED]

    assert "clients file" in remedy
    assert "`upstream_token_file`" in remedy
    assert "`upstream.token-refused`" in remedy


def test_each_reason_says_what_to_do() -> None:
    """In words of its own, but for those of which the API's status page says more."""
    ours = {reason for reason in FailureReason if reason not in REMEDIES}

    assert ours == {FailureReason.STATUS_5XX}
