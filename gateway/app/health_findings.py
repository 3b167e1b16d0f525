"""Findings: what is wrong, whose fault it is, and what to do, in sentences.

They tell a person about the last minute of one process. The alerts of `dashboards/` notify people,
and use figures of longer periods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.adapters.telemetry.live_figures import EVERY, History, Totals
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.core.budget.priority import has_a_caller
from gateway.core.sweep.progress import SweepState
from gateway.core.vocabulary import SWEEPS, Circuit, FailureReason, InvalidReason, Mode, Outcome
from gateway.ports import Clock

# There is a finding if one of these bounds is exceeded.

# The share of a minute's requests that may fail. This is ten times the share that the objective for
# availability (99.9 %) allows.
_BEARABLE: Final = 0.01
# Seconds by which the event loop may be late.
_SLUGGISH: Final = 0.25
# The share of the list's rows that may be invalid. Only the rows read in the last minute count.
_STRANGE: Final = 0.05
# So many answers 404 in a row, and no other answer, are probably no chance.
_ALL_MISSING: Final = 30

BAD, WATCH, GOOD = "bad", "watch", "good"
_US, _UPSTREAM, _REDIS, _NOBODY = "us", "upstream", "redis", "nobody"

REMEDIES: Final[Mapping[FailureReason, str]] = {
    FailureReason.CHALLENGE: "The CDN in front of the API turns this gateway away: ask the API's "
    "operators to allow the gateway's address.",
    FailureReason.REFUSED: "The API refuses a token of the gateway: `upstream.token-refused` in "
    "the log names the tenant. In the mode `clients`, renew the token in the clients file or in "
    "`upstream_token_file`, otherwise renew `upstream.token`.",
    FailureReason.RATE_LIMITED: "Somebody else uses the same limit: find them, or lower "
    "`upstream.rate_limit`.",
    FailureReason.TLS: "The API's certificate is not trusted, or is not for the host in "
    "`upstream.base_url`: check this setting and the certificate.",
    FailureReason.CONNECT: "No connection to the API: check network, DNS and `upstream.base_url`.",
    FailureReason.CONNECT_TIMEOUT: "No connection to the API in time: check network and firewall.",
    FailureReason.POOL_TIMEOUT: "All connections to the API are busy: it answers slowly.",
    FailureReason.INVALID: "`payload.rejected` in the log says why a training is not valid. "
    "Stored responses are kept.",
    FailureReason.TOO_LARGE: "A training is larger than `upstream.max_body`, or a page of the list "
    "is larger than `upstream.max_list_body`: raise this setting.",
    FailureReason.RESET: "The API, or a proxy in between, ends connections without a response: see "
    "the API's status page, and ask the operators of proxies and firewalls.",
    FailureReason.PROTOCOL: "The server that answers is probably not the API: check "
    "`upstream.base_url`, and proxies in between.",
    FailureReason.READ_TIMEOUT: "The API answers too slowly: see its status page, or raise "
    "`upstream.timeout`.",
}
_SECTIONS: Final[Mapping[FailureReason, str]] = {
    FailureReason.CHALLENGE: "GatewayUpstreamBlocked",
    FailureReason.REFUSED: "GatewayTokenRefused",
    FailureReason.RATE_LIMITED: "GatewayUpstreamRateLimited",
    FailureReason.INVALID: "GatewayPayloadsRejected",
    FailureReason.TOO_LARGE: "GatewayPayloadsRejected",
}
# The reasons that the gateway's operators can mend. The others are the fault of the upstream.
_OURS: Final = frozenset({FailureReason.REFUSED, FailureReason.TOO_LARGE})
_FROZEN: Final = (
    "The mode is frozen, by an operator's order: nothing is fetched, stored responses are served"
)
_ANY_REMEDY: Final = "See the API's status page. Stored responses are served meanwhile."


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: what is wrong (or that nothing is wrong), and what to do.

    level        `good`, `watch` or `bad`
    whose        whose fault it is: `us` (the gateway or its operators), `upstream`, `redis` or
                 `nobody`
    runbook      the section of the runbook
    runbook_url  its address, relative to the admin plane if `admin.docs_url` is not set
    since        when the finding began, in seconds since the Unix epoch; None for the level `good`,
                 and in results of `judge`
    """

    level: str
    whose: str
    says: str
    do: str
    runbook: str | None = None
    runbook_url: str | None = None
    since: float | None = None


def judge(minute: Totals, now: GaugeReadings) -> list[Finding]:
    """The findings, at least one, the worst first. In the mode `frozen` the finding about the mode
    comes first."""
    failed = [*_of_upstream(minute, now), *_of_missing(now)]
    withheld = [*_of_gates(now), *_of_lowered(now), *_of_budget(minute, now), *_of_redis(now)]
    withheld += [*_of_replicas(now)]
    here = [*_of_this_replica(now), *_of_connections(minute), *_of_sweep(now)]
    found = [*here, *failed, *withheld]
    refused = minute.requests[Outcome.REJECTED]
    asked = sum(minute.requests.values()) - refused
    found.sort(key=lambda each: each.level != BAD)
    if now.mode is Mode.FROZEN:
        return [_frozen(minute, asked), *found]
    if minute.errors > _BEARABLE * asked:
        cause = _cause(minute, now, failed, withheld)
        others = [each for each in found if each is not cause]
        return [_failing(minute, cause, asked), *others]
    if refused and not asked:
        found.append(_all_refused(refused))
    return found or [_all_well(asked)]


def _cause(
    minute: Totals, now: GaugeReadings, failed: list[Finding], withheld: list[Finding]
) -> Finding | None:
    """The most likely cause of failed requests, by what happened to more calls. `failed` has the
    findings about failed calls, `withheld` those about calls that were not made. None: neither
    explains the failed requests."""
    failures = sum(minute.failures.values())
    denied = sum(count for purpose, count in minute.denied.items() if has_a_caller(purpose))
    if now.circuit is Circuit.CLOSED and denied > failures:
        return withheld[0]
    return failed[0] if failures or now.circuit is not Circuit.CLOSED else None


def _failing(minute: Totals, cause: Finding | None, asked: int) -> Finding:
    share = f"{100 * minute.errors / asked:.0f} %" if minute.errors < asked else "All"
    says = f"{share} of the requests of the last minute failed"
    if cause is None:
        see = "See `request.answered` with level error in the log."
        return Finding(BAD, _US, says, see, "GatewayAvailabilityBurn")
    do = f"Most likely: {cause.says}. {cause.do}"
    return Finding(BAD, cause.whose, says, do, cause.runbook)


def _frozen(minute: Totals, asked: int) -> Finding:
    """This finding is not `bad`, because the operator who ordered the mode accepted failing
    requests."""
    says = _FROZEN
    if minute.errors:
        says += f"; {minute.errors} of {_counted(asked, 'request')} failed in the last minute"
    return Finding(WATCH, _US, says, "`gateway mode normal` ends this mode.", "GatewayModeLeft")


def _all_refused(refused: int) -> Finding:
    return Finding(
        WATCH,
        _NOBODY,
        f"Nobody is served: {_counted(refused, 'request')} came in the last minute, all refused",
        "`access.refused` or `request.answered` in the log says why, for example an unknown "
        "credential.",
    )


def _all_well(asked: int) -> Finding:
    if not asked:
        return Finding(
            GOOD, _NOBODY, "Ready, but no requests came in the last minute", "Nothing to do."
        )
    return Finding(GOOD, _NOBODY, "Callers are served", "Nothing to do.")


def _of_this_replica(now: GaugeReadings) -> Iterator[Finding]:
    if now.draining:
        yield Finding(
            WATCH,
            _US,
            "This replica is stopping",
            "Nothing to do: it finishes the requests in flight.",
        )
    elif not now.ready:
        yield Finding(
            BAD,
            _US,
            "This replica is not ready",
            "It fills its cache first (`sweep.warm`). This takes 30 s at most.",
            "GatewayNoReplicaReady",
        )
    if now.loop_lag is not None and now.loop_lag > _SLUGGISH:
        yield Finding(
            WATCH,
            _US,
            f"This replica is slow: its event loop was {now.loop_lag:.2f} s late",
            "Give this process more CPU, or add replicas.",
            "GatewayLoopLag",
        )
    if now.clients_reloaded is False:
        yield Finding(
            WATCH,
            _US,
            "The clients file has a fault: the previous version stays in force",
            "Correct what `clients.refused` in the log names.",
            "GatewayClientsFileRefused",
        )
    if now.tokens_reloaded is False:
        yield Finding(
            WATCH,
            _US,
            "The file of operators' tokens has a fault: the previous version stays in force",
            "Correct what `tokens.refused` in the log names.",
            "GatewayTokensFileRefused",
        )


def _of_connections(minute: Totals) -> Iterator[Finding]:
    refused = minute.turned_away
    if refused:
        yield Finding(
            BAD if refused > _BEARABLE * sum(minute.requests.values()) else WATCH,
            _US,
            f"This replica refused {_counted(refused, 'connection')} in the last minute: it had as "
            "many as `limits.max_connections` allows",
            "Let callers use a connection for many requests, run more replicas, or raise "
            "`limits.max_connections`.",
            "GatewayConnectionsExhausted",
        )


def _of_upstream(minute: Totals, now: GaugeReadings) -> Iterator[Finding]:
    failed = {reason: count for reason, count in minute.failures.items() if count}
    if now.circuit is not Circuit.CLOSED and not _lacked_calls(minute):
        yield Finding(
            WATCH,
            _UPSTREAM,
            "The breaker is open, but no call to the API was needed in the last minute",
            "Nothing to do: the next call tries the API. If it succeeds, the breaker closes.",
            "GatewayCircuitOpen",
        )
    elif now.circuit is not Circuit.CLOSED:
        yield Finding(
            BAD,
            _UPSTREAM,
            "The breaker is open: the API failed again and again, and is left alone for a while",
            _remedy(failed),
            "GatewayCircuitOpen",
        )
    elif failed:
        worst = max(failed, key=lambda reason: failed[reason])
        which = worst if len(failed) == 1 else f"most often: {worst}"
        yield Finding(
            WATCH,
            _US if worst in _OURS else _UPSTREAM,
            f"{_counted(sum(failed.values()), 'call')} to the API failed in the last minute "
            f"({which})",
            _remedy(failed),
            _SECTIONS.get(worst, "GatewayCircuitOpen"),
        )
    # If a whole body was rejected, its call already counts as failed. All other rejections are of
    # single rows of the list.
    bodies = minute.rejected[InvalidReason.CHALLENGE] + minute.rejected[InvalidReason.TOO_LARGE]
    bodies += failed.get(FailureReason.INVALID, 0)
    rejected = sum(minute.rejected.values()) - bodies
    if rejected > _STRANGE * minute.rows:
        yield Finding(
            WATCH,
            _UPSTREAM,
            f"The API's list had {_counted(rejected, 'invalid row')} in the last minute",
            REMEDIES[FailureReason.INVALID],
            "GatewayPayloadsRejected",
        )


def _of_missing(now: GaugeReadings) -> Iterator[Finding]:
    if now.missing >= _ALL_MISSING:
        yield Finding(
            WATCH,
            _US,
            f"The last {now.missing} answers of the API were all 404: it knows no training "
            "that callers want",
            "Check `upstream.base_url` and, in the mode `clients` or `open`, whether the token "
            "belongs to the right organisation. Otherwise callers ask for trainings that do not "
            "exist.",
        )


def _of_gates(now: GaugeReadings) -> Iterator[Finding]:
    for tenant, view in now.budgets.items():
        seconds = view.gate_closed_for
        if seconds > 0.0:
            yield Finding(
                WATCH,
                _UPSTREAM,
                f"The API said 429: no calls for tenant {tenant} for another {seconds:.0f} s",
                REMEDIES[FailureReason.RATE_LIMITED],
                "GatewayGateClosed",
            )


def _of_lowered(now: GaugeReadings) -> Iterator[Finding]:
    # While Redis is away, the limit in `budgets` is the last one known.
    budgets = {} if now.redis_up is False else now.budgets
    for tenant, view in budgets.items():
        full = now.limits.get(tenant)
        if full is not None and view.limit is not None and view.limit < full:
            yield Finding(
                WATCH,
                _UPSTREAM,
                f"A 429 lowered the limit of tenant {tenant} from {full} to {view.limit} calls",
                "It rises by a twentieth in each window without a 429. "
                f"{REMEDIES[FailureReason.RATE_LIMITED]}",
                "GatewayUpstreamRateLimited",
            )


def _of_budget(minute: Totals, now: GaugeReadings) -> Iterator[Finding]:
    closed = any(view.gate_closed_for for view in now.budgets.values())
    denied = sum(count for purpose, count in minute.denied.items() if purpose not in SWEEPS)
    # While Redis is away, calls are denied because this replica has only its share of the limit.
    is_whole = now.redis_up is not False and now.circuit is Circuit.CLOSED
    if now.is_warming:
        so_far = f": the budget denied {_counted(denied, 'call')} in the last minute"
        yield Finding(
            WATCH,
            _US,
            "The cache began empty, and is being filled" + (so_far if denied else ""),
            "Nothing to do but wait, for ten minutes at most. Until then callers get 503 with "
            "`Retry-After` for trainings that are not stored yet.",
            "GatewayWarming",
        )
    elif denied and is_whole and not closed:
        yield Finding(
            WATCH,
            _US,
            "The limit is spent: the budget denied "
            f"{_counted(denied, 'call')} to the API in the last minute",
            "Callers get a stored response, or 503 if there is none. A longer `freshness.lifetime` "
            "needs fewer calls; a higher limit helps if the API grants one.",
            "GatewayBudgetShort",
        )


def _of_replicas(now: GaugeReadings) -> Iterator[Finding]:
    if now.replicas > now.expected_replicas:
        yield Finding(
            WATCH,
            _US,
            f"{now.replicas} replicas are alive, and `redis.replicas` is {now.expected_replicas}",
            "Set `redis.replicas` to the largest number of replicas: while Redis is away, they may "
            "exceed the limit of the API.",
            "GatewayBudgetShort",
        )
    for tenant, view in now.budgets.items():
        if view.other_rate is not None:
            own = "unlimited" if tenant not in now.limits else f"{now.limits[tenant]} calls"
            yield Finding(
                WATCH,
                _US,
                f"Replicas disagree about the limit of tenant {tenant}: here {own} "
                f"in {view.window:g} s, elsewhere {view.other_rate}",
                "Give all replicas the same `upstream.rate_limit` and clients file.",
                "GatewayBudgetShort",
            )


def _of_redis(now: GaugeReadings) -> Iterator[Finding]:
    if now.redis_up is False:
        yield Finding(
            WATCH,
            _REDIS,
            "Redis is away: this replica goes on alone",
            "Bring Redis back: `redis.failed` in the log says why it failed (perhaps it is full). "
            "Until then each replica has only its reserve of calls, and orders are refused.",
            "GatewayRedisAway",
        )
    elif now.bus_connected is False:
        yield Finding(
            WATCH,
            _REDIS,
            "This replica gets no messages from the others",
            "Check pub/sub in Redis. Until then this replica notices within `l1.lifetime` what "
            "others invalidate.",
            "GatewayRedisAway",
        )


def _of_sweep(now: GaugeReadings) -> Iterator[Finding]:
    if SweepState.OFF in now.sweep_states:
        yield Finding(
            WATCH,
            _UPSTREAM,
            "The API refuses the list of trainings, so edits are found later",
            "`sweep.off` in the log says why. The gateway asks again, after an hour at most. Let "
            "the token read the list, or set `sweep.enabled` to false.",
            "GatewaySweepOff",
        )
    if SweepState.BEHIND in now.sweep_states:
        yield Finding(
            WATCH,
            _UPSTREAM,
            "The list of trainings is older than answers for single trainings",
            "The list confirms nothing until it has caught up; single calls refresh what is read. "
            "`sweep.list` in the log names a training.",
            "GatewaySweepBehind",
        )


def _lacked_calls(minute: Totals) -> bool:
    """Whether a call failed, or a call that was needed was not made."""
    stale = minute.requests[Outcome.STALE_ERROR] + minute.requests[Outcome.STALE_SHIELDED]
    return any((minute.errors, stale, *minute.failures.values(), *minute.denied.values()))


def _remedy(failed: Mapping[FailureReason, int]) -> str:
    if not failed:
        return _ANY_REMEDY
    return REMEDIES.get(max(failed, key=lambda reason: failed[reason]), _ANY_REMEDY)


def _counted(count: int, one: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


# A finding that comes back within this time (in seconds) is still the same finding.
_SAME: Final = 20.0

# Relative to `docs_url`, or to the admin plane if there is no `docs_url`.
_RUNBOOK: Final = "dashboards/RUNBOOK.md"

_Topic = tuple[str, str | None]


class Findings:
    """Judges the figures. `docs_url` is the address of the documents (None: the gateway serves
    them). `warn` logs what a finding says, and what to do, if replicas are set up differently.

    Findings with the same section of the runbook and the same `whose` are the same finding. So
    `since` stays when only the sentence changes.
    """

    def __init__(
        self,
        history: History,
        readings: Callable[[], GaugeReadings],
        clock: Clock,
        docs_url: str | None = None,
        *,
        warn: Callable[[str, str], None],
    ) -> None:
        self._history = history
        self._readings = readings
        self._clock = clock
        self._runbook = _RUNBOOK if docs_url is None else f"{docs_url}/{_RUNBOOK}"
        self._warn = warn
        self._warned: set[str] = set()  # what the findings say that were logged and still hold
        # When each finding was seen first (Unix time) and last (monotonic).
        self._seen: dict[_Topic, tuple[float, float]] = {}

    async def watch(self) -> None:
        """Judge every two seconds until cancelled. So `since` is right even if nobody reads the
        findings."""
        while True:
            self.now()
            self._warn_of(list(_of_replicas(self._readings())))
            await self._clock.sleep(EVERY)

    def _warn_of(self, findings: list[Finding]) -> None:
        for each in findings:
            if each.says not in self._warned:
                self._warn(each.says, each.do)
        self._warned = {each.says for each in findings}

    def now(self) -> list[Finding]:
        """The findings in the order of `judge`, with `since` and `runbook_url`."""
        found = judge(self._history.minute(), self._readings())
        moment = self._clock.monotonic()
        for topic in [each for each, (_, last) in self._seen.items() if moment - last > _SAME]:
            del self._seen[topic]
        return [self._since(self._linked(each), moment) for each in found]

    def _linked(self, finding: Finding) -> Finding:
        if finding.runbook is None:
            return finding
        return replace(finding, runbook_url=f"{self._runbook}#{finding.runbook.lower()}")

    def _since(self, finding: Finding, moment: float) -> Finding:
        if finding.level == GOOD:
            return finding
        topic = (finding.whose, finding.runbook)
        first, _ = self._seen.get(topic, (self._clock.now(), moment))
        self._seen[topic] = (first, moment)
        return replace(finding, since=round(first, 3))
