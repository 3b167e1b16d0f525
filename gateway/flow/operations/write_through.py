"""Passes each write of a caller to the upstream, once and without changes.

Before the caller gets the answer, the responses that the write made outdated are invalidated, and
all replicas are told. The answer waits for their confirmations for a short time, and is the
upstream's in any case. If one is missing, operators are told (`Observer.write_unconfirmed`).
If Redis does not accept the invalidation, only this replica invalidates. What Redis and the other
replicas hold is then bounded by its own freshness, as after an edit that did not pass through here.

A write without an answer has perhaps been done, so its training is invalidated too. This includes a
write that is under way when this process ends.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.cache.rfc9111 import verbatim
from gateway.core.errors import (
    InvalidPayload,
    RedisUnavailable,
    ShuttingDown,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.upstream.classification import LAST_STATUS, is_from_api, is_refusal, rate_limited
from gateway.core.upstream.training import is_training_id, parse
from gateway.core.vocabulary import FailureReason, Forward, Outcome, Purpose, Tier
from gateway.flow.answer import Answer
from gateway.flow.fill.credentials import Credentials
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.operations.invalidation import Invalidation
from gateway.flow.singleflight import Flights
from gateway.ports import Call, Clock, Write

# A write that creates a training has no id. Its call and the log have this text in place of an id.
_COLLECTION = "-"

# Seconds before each attempt to invalidate. With these pauses an attempt usually succeeds if Redis
# was only slow for a moment.
_PAUSES: Final = (0.0, 0.05, 0.1, 0.1)


@dataclass(frozen=True, slots=True)
class Order:
    """One write of a caller whose access was checked. This is not an order of an operator.
    `training_id` None: the write creates a training."""

    caller: Caller
    training_id: str | None
    write: Write

    @property
    def name(self) -> str:
        """What the call and the log have as the id."""
        return self.training_id or _COLLECTION


class Writing:
    """Passes writes on to the upstream. `timeout` is in seconds."""

    def __init__(
        self,
        outbound: Outbound,
        invalidation: Invalidation,
        credentials: Credentials,
        clock: Clock,
        *,
        timeout: float,
    ) -> None:
        self._outbound = outbound
        self._invalidation = invalidation
        self._credentials = credentials
        self._clock = clock
        self._timeout = timeout
        # Each call is a flight, so that `land` can end it. No other write joins this flight.
        self._calls: Flights[object, Reply] = Flights(clock)
        self._is_ending = False  # True after `land`: no call is started any more

    async def hand_on(self, order: Order) -> Answer:
        """Pass the write on, and return the upstream's answer. Raises UpstreamFailure (also for a
        429, for a 401 to the gateway's own token, and as a timeout for a call that `land` ended
        after it was perhaps sent), CallWithheld, AccessRefused, and ShuttingDown (after `land`, for
        a write that was not sent)."""
        if self._is_ending:
            raise ShuttingDown
        caller, began = order.caller, self._clock.monotonic()
        self._credentials.turn_away(caller.partition)
        try:
            reply = await self._sent(order, began + self._timeout)
            self._judge(reply, caller)
        except UpstreamFailure as failure:
            failure.conceal(caller.token)
            if not self._is_ending:  # `land` ended the call: this says nothing about the upstream
                await self._outbound.failed(caller, order.name, failure)
            if _may_have_happened(failure):
                ids = () if order.training_id is None else (order.training_id,)
                await self._outdate(ids, caller.partition)
            raise
        if is_from_api(reply):
            self._credentials.judged(caller, reply.status, began)
        if reply.status >= 500:
            await self._outbound.failed(caller, order.name, _failed(reply))
        else:
            await self._outbound.answered(caller)
        await self._apply(order, reply)
        handling = Handling(forward=Forward.METHOD, forward_status=reply.status)
        return Answer(verbatim(reply), Outcome.BYPASSED, Tier.UPSTREAM, handling)

    async def _sent(self, order: Order, deadline: float) -> Reply:
        caller, is_sent = order.caller, False

        async def note_sent() -> None:
            nonlocal is_sent
            is_sent = True

        call = Call(
            training_id=order.name,
            token=caller.token,
            purpose=Purpose.WRITE,
            deadline=deadline,
            write=order.write,
            who=caller.who,
            before_send=note_sent,
        )
        try:
            flight = self._calls.start(object(), lambda _: self._outbound.ask(caller, call))
            return await flight.join()
        except ShuttingDown:
            if not is_sent:
                raise
            what = "this process ended before the upstream answered a write"
            raise UpstreamTimeout(what, FailureReason.READ_TIMEOUT, sent=True) from None

    async def _apply(self, order: Order, reply: Reply) -> None:
        """Do what the upstream's answer means for stored responses."""
        partition = order.caller.partition
        if reply.status == 401 and is_refusal(reply):
            await self._invalidation.refused(partition)
        elif 200 <= reply.status < 400:  # a 3xx counts as success too (RFC 9111, 4.4)
            ids = dict.fromkeys((order.training_id, _id_in(reply.body)))
            await self._outdate(tuple(filter(None, ids)), partition)

    def _judge(self, reply: Reply, caller: Caller) -> None:
        """Raise an error if the answer concerns the gateway instead of the caller, or if the
        answer's status cannot be passed on."""
        if reply.status == 429:
            raise rate_limited(reply, "a write", self._clock.now())
        if reply.status == 401 and not caller.owns_token:
            raise UpstreamRefused("upstream refused the gateway's own token", status=401)
        if reply.status > LAST_STATUS:
            raise _failed(reply)

    async def _outdate(self, training_ids: tuple[str, ...], partition: str) -> None:
        """Invalidate these trainings, in this replica alone if Redis does not answer."""
        if not training_ids:
            return
        for pause in _PAUSES:
            if pause:
                await self._clock.sleep(pause)
            with suppress(RedisUnavailable):
                await self._invalidation.written(training_ids, partition)
                return
        self._invalidation.written_here(training_ids, partition)

    async def land(self, patience: float) -> None:
        """As Flights.land, for the calls of writes. No call is started from now on. After a call
        has ended, `hand_on` invalidates the trainings that the write has perhaps changed."""
        self._is_ending = True
        await self._calls.land(patience)


def _id_in(body: bytes) -> str | None:
    """The id of the training in the body. None if the body is no training."""
    try:
        training_id = parse(body, None).id
    except InvalidPayload:
        return None
    return training_id if is_training_id(training_id) else None


def _failed(reply: Reply) -> UpstreamError:
    what = f"upstream answered {reply.status} to a write"
    return UpstreamError(what, FailureReason.STATUS_5XX, status=reply.status)


def _may_have_happened(failure: UpstreamFailure) -> bool:
    """Whether the upstream has perhaps done the write, although no usable answer came back."""
    if isinstance(failure, UpstreamTimeout | UpstreamUnreachable):
        return failure.sent
    return not isinstance(failure, UpstreamRateLimited | UpstreamRefused)
