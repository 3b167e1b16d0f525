"""Makes one call to upstream: asks breaker and budget, and sends the call, twice if needed.

A read is tried once more in two cases: nothing was sent, or upstream had already closed the idle
connection that the read used (RFC 9112, 9.3.1). A write is never tried again.

The budget is charged before a call is sent. The charge is given back if the call was certainly not
sent. Other modules judge the reply, and report their verdict here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from gateway.core.access.caller import Caller
from gateway.core.errors import (
    CallWithheld,
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
from gateway.core.upstream.breaker import SHORTEST_HOLD, Breaker
from gateway.core.upstream.classification import rejection
from gateway.core.vocabulary import Circuit, FailureReason, Mode, NoticeKind, Part, Purpose
from gateway.flow.budget.call_permits import Paying
from gateway.flow.mode import THAW, Modes
from gateway.flow.timings import on
from gateway.ports import Budget, Bus, Call, Clock, Notice, Observer, Upstream

_RETRY_PAUSE = 0.05


class Outbound:
    """The only way to the upstream. Each call is paid from the budget. Each call, except a second
    try, has to pass the breaker."""

    def __init__(
        self,
        upstream: Upstream,
        budget: Budget,
        clock: Clock,
        observer: Observer,
        *,
        modes: Modes,
        bus: Bus,
    ) -> None:
        self._upstream = upstream
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._bus = bus
        self._paying = Paying(budget, clock, observer, lambda: bus.replicas)
        self._modes = modes
        self._breaker = Breaker(clock.jitter)
        self._circuit = Circuit.CLOSED  # the state that the observer was told

    @property
    def circuit(self) -> Circuit:
        return self._breaker.circuit(self._clock.monotonic())

    async def ask(self, caller: Caller, call: Call) -> Reply:
        """Send the call and return the whole reply. Raises UpstreamFailure, CallWithheld."""
        self._refuse_by_mode()
        return await self._ask(caller, call)

    def _refuse_by_mode(self) -> None:
        if self._modes.current is Mode.FROZEN:
            raise Frozen("the gateway answers from its cache only", retry_after=THAW)

    async def _ask(self, caller: Caller, call: Call) -> Reply:
        training = caller.partition, call.training_id
        entered = self._breaker.enter(training, self._clock.monotonic())
        try:
            return await self._ask_with_retry(caller.scope, call)
        except GatewayError as error:
            if _says_nothing(error):
                self._breaker.leave(entered, self._clock.monotonic())
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
        """Try the call again, without asking the breaker."""
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
        if call.when_paid is not None:
            call.when_paid()

        async def before_send() -> None:
            nonlocal paid
            now = self._clock.monotonic()
            if paid.is_late(now):
                # The call had to wait for a connection for too long. It occupies the connection, so
                # it does not wait for a free call.
                await self._budget.give_back(scope, paid)
                paid = await self._paying.pay(scope, replace(call, deadline=now))
            self._refuse_by_mode()  # the mode has perhaps changed while the call waited
            if call.before_send is not None:
                await call.before_send()

        try:
            with on(Part.UPSTREAM) as span:
                return await self._upstream.call(replace(call, span=span, before_send=before_send))
        except (UpstreamUnreachable, UpstreamTimeout, Frozen) as failure:
            if isinstance(failure, Frozen) or not failure.sent:
                await self._budget.give_back(scope, paid)
            raise

    async def failed(self, caller: Caller, training_id: str, failure: UpstreamFailure) -> None:
        """Tell budget, breaker and observer that the call brought no usable answer of the API."""
        scope = caller.scope
        rejected = rejection(failure)
        if rejected is not None:
            self._observer.payload_rejected(rejected, training_id, failure.what)
        self._observer.upstream_failed(failure.reason, training_id, failure.what)
        if isinstance(failure, UpstreamRefused):
            self._observer.token_refused(scope)
        match failure:
            case UpstreamRateLimited():
                # The upstream answers: a 429 concerns the gate, not the breaker.
                self._succeeded()
                failure.retry_after = await self._close_gate(scope, failure.retry_after)
            case UpstreamRefused() | InvalidPayload():
                await self.answered(caller)  # an unusable answer, but no failure for the breaker
            case UpstreamError():
                if not _is_about_the_request(failure):
                    self._failed(caller, training_id, sent=True)
                await self._open_gate(scope)  # because an answer came that is no 429
            case UpstreamUnreachable() | UpstreamTimeout() if not _says_nothing(failure):
                self._failed(caller, training_id, sent=failure.sent)

    async def answered(self, caller: Caller) -> None:
        """Tell breaker and budget that the API answered."""
        self._succeeded()
        await self._open_gate(caller.scope)

    def _succeeded(self) -> None:
        self._breaker.succeeded()
        self._tell_circuit()

    def _failed(self, caller: Caller, training_id: str, *, sent: bool) -> None:
        training = caller.partition, training_id
        self._breaker.failed(training, self._clock.monotonic(), sent=sent)
        self._tell_circuit()

    def _tell_circuit(self) -> None:
        """Tell the observer that the breaker has opened or closed."""
        circuit = Circuit.CLOSED if self.circuit is Circuit.CLOSED else Circuit.OPEN
        if circuit is not self._circuit:
            self._circuit = circuit
            self._observer.circuit_moved(circuit)

    async def _close_gate(self, scope: str, retry_after: float | None) -> float:
        closed = await self._budget.close(scope, retry_after)
        self._observer.gate_closed(scope, closed.seconds, closed.limit)
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

    async def _open_gate(self, scope: str) -> None:
        """Open the gate after an answer, if the gate is due to reopen, or if a probe is under way.
        Otherwise a closed gate stays closed: the answer belongs to a call that was sent before the
        gate closed."""
        if await self._budget.reopen(scope):
            self._observer.gate_opened(scope)


def _was_kept(failure: UpstreamFailure) -> bool:
    """Whether the upstream closed an idle connection, so that the call perhaps never arrived."""
    return isinstance(failure, UpstreamUnreachable) and failure.was_kept


def _is_about_the_request(failure: UpstreamFailure) -> bool:
    """Whether a proxy refused the request with a 4xx, for example because of its token. Many such
    requests are no outage. (An HTML page of a CDN refuses all requests.)"""
    is_page = failure.reason is FailureReason.CHALLENGE
    return not is_page and failure.status is not None and 400 <= failure.status < 500


def _says_nothing(error: GatewayError) -> bool:
    """Whether the error says nothing about the upstream: no call was made, no connection was free
    for the call, or the gateway could not write its request."""
    if isinstance(error, UpstreamUnreachable | UpstreamTimeout):
        if error.reason is FailureReason.POOL_TIMEOUT:
            return True
        return error.reason is FailureReason.PROTOCOL and not error.sent
    return isinstance(error, CallWithheld)
