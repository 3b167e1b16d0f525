"""Makes one call to upstream: asks breakers and budget, and sends the call, twice if needed.

A read is tried once more in two cases: nothing was sent, or upstream had already closed the idle
connection that the read used (RFC 9112, 9.3.1). A write is never tried again.

Each partition (a tenant, or a token that a caller brings) has a breaker, and all partitions have
one together. If only the calls of one partition fail, for example because the API fails at one
training, the calls of other partitions go on. In an outage the common breaker opens, so that not
every partition has to fail ten times. The trainings take turns to make the probes of a partition's
breaker, and the partitions take turns to make those of the common one.

The budget is charged before a call is sent. The charge is given back if the call was certainly not
sent. Other modules judge the reply, and report their verdict here.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from cachetools import LRUCache

from gateway.core.access.caller import Caller
from gateway.core.budget.breaker import SHORTEST_HOLD, Breaker, BreakerRule, Turns
from gateway.core.budget.window_log import transit
from gateway.core.errors import (
    CallWithheld,
    CircuitOpen,
    Frozen,
    GatewayError,
    InvalidPayload,
    RedisUnavailable,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.http.fields import Reply
from gateway.core.upstream.classification import rejection
from gateway.core.vocabulary import Circuit, FailureReason, Mode, NoticeKind, Part, Purpose
from gateway.flow.budget.call_permits import Paying
from gateway.flow.mode import THAW, Modes
from gateway.flow.timings import on
from gateway.ports import Budget, Bus, Call, Clock, Notice, Observer, Upstream

_RETRY_PAUSE = 0.05
_FAILURES = 10
# Calls that were sent and failed count this often at most for each partition, before the common
# breaker opens. So one or two partitions do not open it.
_MOST_OF_ONE_PARTITION: Final = 4
_MOST_PARTITIONS: Final = 1_000
# If no call was needed for so many seconds after the pause of a breaker, it counts as closed.
_IDLE: Final = 60.0
_CLOSED: Final = Breaker()
_WORST_LAST: Final = (Circuit.CLOSED, Circuit.HALF_OPEN, Circuit.OPEN)


@dataclass(slots=True)
class _Guard:
    """A breaker, the turns of those that ask it, and which of them made the last probe. `partition`
    and `scope` are those of its callers (None: it is the common one)."""

    partition: str | None = None
    scope: str | None = None
    breaker: Breaker = _CLOSED
    turns: Turns = field(default_factory=Turns)
    prober: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A call that both breakers allowed, and the states of the breakers before and after that. The
    first one is the breaker of the partition."""

    caller: Caller
    before: tuple[Breaker, Breaker]
    after: tuple[Breaker, Breaker]


class Breakers:
    """Decides whether a call of a partition may be made. Both breakers have to allow it: the one of
    its partition and the common one."""

    def __init__(self, rule: BreakerRule, clock: Clock, observer: Observer) -> None:
        self._rule = rule
        self._clock = clock
        self._observer = observer
        self._common = _Guard()
        # By partition. A breaker without failures has no record.
        self._own: LRUCache[str, _Guard] = LRUCache(_MOST_PARTITIONS)
        # For each partition, the failures since a call of any partition succeeded.
        self._failures: Counter[str] = Counter()

    @property
    def circuit(self) -> Circuit:
        """The state of the breaker that is worst off. A breaker that no call has needed for a
        minute counts as closed, because nobody misses a call. Its next call is a probe all the
        same."""
        now = self._clock.monotonic()
        circuits = {_shown(each.breaker, now) for each in (self._common, *self._own.values())}
        return max(circuits, key=_WORST_LAST.index)

    def enter(self, caller: Caller, training_id: str) -> Allowed:
        """Ask whether a call may be made, perhaps as the probe. Raises CircuitOpen."""
        now = self._clock.monotonic()
        own, common = self._own_of(caller), self._common
        wait = max(
            own.turns.wait(training_id, own.breaker, now),
            common.turns.wait(caller.partition, common.breaker, now),
        )
        next_own, next_common = (each.breaker.try_call(self._rule, now) for each in (own, common))
        if next_own is None:
            own.turns.refused(training_id, now)
        if next_common is None:
            common.turns.refused(caller.partition, now)
        if next_own is None or next_common is None or wait > 0.0:
            raise CircuitOpen(
                "the API failed repeatedly, and is not called for a while", retry_after=wait
            )
        before = own.breaker, common.breaker
        own.prober, common.prober = training_id, caller.partition
        self._move(own, next_own)
        self._move(common, next_common)
        return Allowed(caller, before, (next_own, next_common))

    def leave(self, allowed: Allowed) -> None:
        """Undo `enter`, because the call said nothing about the upstream. If this call was the
        probe, the next call can be the probe instead."""
        guards = self._own_of(allowed.caller), self._common
        for guard, before, after in zip(guards, allowed.before, allowed.after, strict=True):
            if guard.breaker is after:
                self._move(guard, before)

    def succeeded(self, caller: Caller) -> None:
        """The upstream answered a call."""
        self._failures.clear()
        for guard in (self._own_of(caller), self._common):
            self._move(guard, guard.breaker.record_success())

    def failed(self, caller: Caller, jitter: float, *, sent: bool) -> None:
        """A call failed. A call that was not sent says that the upstream cannot be reached, so it
        counts only for the common breaker, unless it was the probe of its partition. `jitter` is in
        [0, 1)."""
        own, common = self._own_of(caller), self._common
        if sent or own.breaker.circuit is Circuit.HALF_OPEN:
            self._fail(own, jitter)
        if sent:
            self._failures[caller.partition] += 1
        is_one_of_many = sent and self._failures[caller.partition] > _MOST_OF_ONE_PARTITION
        if common.breaker.circuit is not Circuit.CLOSED or not is_one_of_many:
            self._fail(common, jitter)

    def _fail(self, guard: _Guard, jitter: float) -> None:
        now = self._clock.monotonic()
        if guard.breaker.circuit is Circuit.HALF_OPEN:
            guard.turns.failed(guard.prober, now)
        self._move(guard, guard.breaker.record_failure(self._rule, now, jitter))

    def _own_of(self, caller: Caller) -> _Guard:
        return self._own.get(caller.partition) or _Guard(caller.partition, caller.scope)

    def _move(self, guard: _Guard, breaker: Breaker) -> None:
        """Set the state of a breaker, and tell the observer if its name changes."""
        before, guard.breaker = guard.breaker, breaker
        if breaker == _CLOSED:
            guard.turns = Turns()
        if guard.partition is not None:
            if breaker == _CLOSED:
                self._own.pop(guard.partition, None)
            else:
                self._own[guard.partition] = guard
        if breaker.circuit is not before.circuit:
            self._observer.circuit_moved(breaker.circuit, guard.scope)


class Outbound:
    """The only way to the upstream. Each call is paid from the budget. Each call, except a second
    try, has to pass the breakers."""

    def __init__(
        self,
        upstream: Upstream,
        budget: Budget,
        clock: Clock,
        observer: Observer,
        *,
        timeout: float,
        modes: Modes,
        bus: Bus,
    ) -> None:
        self._upstream = upstream
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._bus = bus
        self._paying = Paying(budget, clock, observer)
        self._modes = modes
        patience = timeout * 2 + _RETRY_PAUSE
        rule = BreakerRule(threshold=_FAILURES, base=1.0, cap=30.0, patience=patience)
        self._breakers = Breakers(rule, clock, observer)

    @property
    def circuit(self) -> Circuit:
        """As Breakers.circuit."""
        return self._breakers.circuit

    async def ask(self, caller: Caller, call: Call) -> Reply:
        """Send the call and return the whole reply. Raises UpstreamFailure, CallWithheld."""
        self._refuse_by_mode()
        return await self._ask(caller, call)

    def _refuse_by_mode(self) -> None:
        if self._modes.current is Mode.FROZEN:
            raise Frozen("the gateway answers from its cache only", retry_after=THAW)

    async def _ask(self, caller: Caller, call: Call) -> Reply:
        allowed = self._breakers.enter(caller, call.training_id)
        try:
            return await self._ask_with_retry(caller.scope, call)
        except GatewayError as error:
            if _says_nothing(error):
                self._breakers.leave(allowed)
            raise

    async def _ask_with_retry(self, scope: str, call: Call) -> Reply:
        try:
            return await self._ask_once(scope, call)
        except (UpstreamUnreachable, UpstreamTimeout) as failure:
            if call.write is not None or (failure.sent and not _was_kept(failure)):
                raise
            # No pause after a closed idle connection: it is no failure of the upstream.
            pause = 0.0 if failure.sent else _RETRY_PAUSE * (1.0 + self._clock.jitter())
            if self._clock.monotonic() + pause >= call.deadline:
                raise
            return await self._ask_again(scope, call, pause, failure)

    async def _ask_again(
        self, scope: str, call: Call, pause: float, failure: UpstreamUnreachable | UpstreamTimeout
    ) -> Reply:
        """Try the call again, without asking the breakers."""
        if pause:
            await self._clock.sleep(pause)
        try:
            return await self._ask_once(scope, replace(call, purpose=Purpose.RETRY))
        except CallWithheld:
            raise failure from None
        except (UpstreamUnreachable, UpstreamTimeout) as again:
            again.sent |= failure.sent  # the first attempt perhaps arrived
            raise

    async def _ask_once(self, scope: str, call: Call) -> Reply:
        """Send the call once, if the mode allows calls."""
        with on(Part.BUDGET):
            paid = await self._paying.pay(scope, call)
        paid_at = self._clock.monotonic()

        async def before_send() -> None:
            nonlocal paid, paid_at
            if self._is_late(scope, paid_at):
                paid = await self._paying.pay_again(scope, call, paid)
                paid_at = self._clock.monotonic()
            self._refuse_by_mode()  # the mode has perhaps changed while the call waited
            if call.before_send is not None:
                await call.before_send()

        try:
            with on(Part.UPSTREAM) as span:
                return await self._upstream.call(
                    replace(call, span=span or call.span, before_send=before_send)
                )
        except (UpstreamUnreachable, UpstreamTimeout, Frozen) as failure:
            if isinstance(failure, Frozen) or not failure.sent:
                await self._budget.give_back(scope, paid)
            raise

    def _is_late(self, scope: str, paid_at: float) -> bool:
        """Whether the call waited so long for a connection that its charge has to be renewed. The
        gateway counts a call from its charge, the upstream from its arrival. With an old charge,
        the gateway would stop counting the call before the upstream does."""
        window = self._budget.view(scope).window
        return self._clock.monotonic() - paid_at > transit(window) / 4

    async def failed(self, caller: Caller, training_id: str, failure: UpstreamFailure) -> None:
        """Tell budget, breakers and observer that the call brought no usable answer of the API."""
        scope = caller.scope
        rejected = rejection(failure)
        if rejected is not None:
            self._observer.payload_rejected(rejected, training_id, failure.what)
        self._observer.upstream_failed(failure.reason, training_id, failure.what)
        if isinstance(failure, UpstreamRefused):
            self._observer.token_refused(scope)
        match failure:
            case UpstreamRateLimited():
                # The upstream answers: a 429 concerns the gate, not the breakers.
                self._breakers.succeeded(caller)
                failure.retry_after = await self._close_gate(scope, failure.retry_after)
            case UpstreamRefused() | InvalidPayload():
                await self.answered(caller)  # an unusable answer, but no failure for the breakers
            case UpstreamError():
                self._breakers.failed(caller, self._clock.jitter(), sent=True)
                await self._open_gate(scope)  # because an answer came that is no 429
            case UpstreamUnreachable() | UpstreamTimeout() if not _says_nothing(failure):
                self._breakers.failed(caller, self._clock.jitter(), sent=failure.sent)

    async def answered(self, caller: Caller) -> None:
        """Tell breakers and budget that the API answered."""
        self._breakers.succeeded(caller)
        await self._open_gate(caller.scope)

    async def _close_gate(self, scope: str, retry_after: float | None) -> float:
        closed = await self._budget.close(scope, retry_after)
        self._observer.gate_closed(scope, closed.seconds, closed.limit)
        self._paying.gate_closed(scope)
        if closed.is_longer:
            await self._tell(scope, closed.seconds)
        return closed.seconds

    async def _tell(self, scope: str, seconds: float) -> None:
        """Tell the other replicas that the gate is closed. A replica that misses the notice finds
        the gate closed in Redis."""
        notice = Notice(NoticeKind.GATE_CLOSED, scope=scope, until=self._clock.now() + seconds)
        with suppress(RedisUnavailable):
            await self._bus.announce(notice)

    def gate_closed_elsewhere(self, scope: str, until: float) -> None:
        """Make no call before `until` (shared clock), because another replica got a 429."""
        seconds = until - self._clock.now()
        if seconds < SHORTEST_HOLD:
            return
        self._budget.hold(scope, seconds)
        self._observer.gate_closed(scope, seconds)
        self._paying.gate_closed(scope)

    async def _open_gate(self, scope: str) -> None:
        """Open the gate after an answer, if the gate is due to reopen, or if a probe is under way.
        Otherwise a closed gate stays closed: the answer belongs to a call that was sent before the
        gate closed."""
        if await self._budget.reopen(scope):
            self._observer.gate_opened(scope)


def _was_kept(failure: UpstreamFailure) -> bool:
    """Whether the upstream closed an idle connection, so that the call perhaps never arrived."""
    return isinstance(failure, UpstreamUnreachable) and failure.was_kept


def _says_nothing(error: GatewayError) -> bool:
    """Whether the error says nothing about the upstream: no call was made, no connection was free
    for the call, or the gateway could not write its request."""
    if isinstance(error, UpstreamUnreachable | UpstreamTimeout):
        if error.reason is FailureReason.POOL_TIMEOUT:
            return True
        return error.reason is FailureReason.PROTOCOL and not error.sent
    return isinstance(error, CallWithheld)


def _shown(breaker: Breaker, now: float) -> Circuit:
    until = breaker.open_until
    is_idle = until is not None and now - until > _IDLE
    return Circuit.CLOSED if is_idle else breaker.circuit
