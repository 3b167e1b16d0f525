"""Lets all replicas share one fetch of a key: one replica leads, and the others follow.

The leader has the lease of the key. A lost lease costs a call, and nothing else.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.core.cache.entry import Key
from gateway.core.errors import (
    FailedElsewhere,
    RedisUnavailable,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.vocabulary import EndingKind, FailureReason, Part, Purpose, StoreVerdict
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.fill.backoff import Backoffs
from gateway.flow.fill.fetch import Fetcher, Filled, Passed, Want
from gateway.flow.singleflight import Course
from gateway.flow.timings import on
from gateway.ports import Clock, Ending, Lease, Taken

# A follower waits for a message that the leader's fetch has ended. If no message comes, the
# follower asks Redis about the lease: first after _FIRST_WAIT seconds, and then again and again.
# Each wait is _GROWTH times as long as the one before, but not longer than _LONGEST_WAIT.
_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 1.0
_GROWTH: Final = 1.5

# A flight (a fetch that requests share) takes part in at most this many elections of a leader.
_ELECTIONS: Final = 2
# After these verdicts, followers look up the stored answer. After BELIEVED, they elect a leader
# again, as after an invalidation: both change the words of the mark.
_STORED: Final = (StoreVerdict.FIRST, StoreVerdict.CHANGED, StoreVerdict.UNCHANGED)
# Renewals in one lifetime of a lease. One lost renewal does not end the lease.
_RENEWALS: Final = 3


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A response that another replica fetched. `awaited`: this replica followed that fetch."""

    seen: Seen
    awaited: bool


Landed = Filled | Passed | Elsewhere


class Collapsing:
    """Fetches keys. All requests for a key share the fetch of one replica."""

    def __init__(
        self,
        tiers: Tiers,
        fetcher: Fetcher,
        lease: Lease,
        clock: Clock,
        *,
        timeout: float,
        backoffs: Backoffs,
    ) -> None:
        self._tiers = tiers
        self._fetcher = fetcher
        self._lease = lease
        self._clock = clock
        self._timeout = timeout
        self.backoffs = backoffs
        self.waiters = 0

    async def fill(self, want: Want, flight: Course) -> Landed:
        """Fetch the key here, or wait for the replica that fetches it.

        Raises UpstreamFailure, CallWithheld or AccessRefused.
        """
        deadline = math.inf
        for _ in range(0 if want.alone else _ELECTIONS):
            with on(Part.LEASE):
                taken = await self._take(want)
            # The deadline counts from the first answer of Redis. A slow Redis does not shorten the
            # time for the call.
            deadline = min(deadline, self._clock.monotonic() + self._timeout)
            if taken is None:
                break
            if taken.leads:
                return await self._lead(want, taken, flight, deadline)
            with on(Part.LEASE):
                ending = await self._follow(want, taken.token, deadline)
            seen = await self._stored_elsewhere(ending, want, flight)
            if seen is not None:
                return Elsewhere(seen, awaited=True)
        deadline = min(deadline, self._clock.monotonic() + self._timeout)
        start = await self._tiers.begin(want.key)
        return await self._fetcher.fetch(want, start, flight, deadline)

    async def _take(self, want: Want) -> Taken | None:
        try:
            return await self._lease.take(want.key)
        except RedisUnavailable:
            return None

    async def _lead(self, want: Want, taken: Taken, flight: Course, deadline: float) -> Landed:
        ending = Ending(EndingKind.GONE)  # also if this flight is cancelled
        try:
            renew = partial(self._renew, want.key, taken.token)
            async with renewing(self._lease.lifetime, renew):
                landed = await self._landed_before(want, taken, flight) or (
                    await self._fetcher.fetch(want, taken.start, flight, deadline)
                )
            if _is_stored(landed):
                ending = Ending(EndingKind.DONE)
            return landed
        except UpstreamFailure as failure:
            if _is_for_all(failure):
                told = failure.reason, failure.status, failure.retry_after
                ending = Ending(EndingKind.FAILED, *told)
            raise
        finally:
            with suppress(RedisUnavailable):  # the lease ends later by itself
                await self._lease.release(want.key, taken.token, ending)

    async def _renew(self, key: Key, token: str) -> None:
        holds = True
        while holds:
            await self._clock.sleep(self._lease.lifetime / _RENEWALS)
            with suppress(RedisUnavailable):  # perhaps Redis is back in time
                holds = await self._lease.renew(key, token)

    async def _landed_before(self, want: Want, taken: Taken, flight: Course) -> Elsewhere | None:
        """A fresh response that was stored between this flight's look-up and its lease. None:
        there is no such response."""
        if taken.confirmed <= _known(want):
            return None
        seen = await self._tiers.lookup(want.key, flight)
        if seen is None or seen.only_rescue or not seen.held.entry.is_fresh(self._clock.now()):
            return None
        if seen.held.entry.confirmed_at <= _known(want):
            return None  # this response is known
        return Elsewhere(seen, awaited=False)

    async def _follow(self, want: Want, token: str, deadline: float) -> Ending:
        """How the leader's fetch ended. GONE also if Redis goes away.

        Raises UpstreamTimeout at the deadline, and FailedElsewhere.
        """
        callers = 0 if want.purpose is Purpose.REFRESH else 1
        self.waiters += callers
        try:
            ending = await self._await_ending(want.key, token, deadline)
        except RedisUnavailable:
            return Ending(EndingKind.GONE)
        finally:
            self.waiters -= callers
        if ending.reason is not None:
            raise FailedElsewhere(
                ending.reason, status=ending.status, retry_after=ending.retry_after
            )
        return ending

    async def _await_ending(self, key: Key, token: str, deadline: float) -> Ending:
        pause = _FIRST_WAIT
        while (left := deadline - self._clock.monotonic()) > 0.0:
            ending = await self._lease.watch(key, token, min(pause, left))
            if ending is not None:
                return ending
            pause = min(pause * _GROWTH, _LONGEST_WAIT)
        what = f"another replica is still fetching training {key.training_id}"
        raise UpstreamTimeout(what, FailureReason.READ_TIMEOUT, sent=True)

    async def _stored_elsewhere(self, ending: Ending, want: Want, flight: Course) -> Seen | None:
        """The response that the leader stored, if it was confirmed later than the one in `want`.
        Otherwise None."""
        if ending.kind is not EndingKind.DONE:
            return None
        seen = await self._tiers.lookup(want.key, flight)
        if seen is None or seen.only_rescue or seen.held.entry.confirmed_at <= _known(want):
            return None
        return seen


@asynccontextmanager
async def renewing(
    lifetime: float, renew: Callable[[], Coroutine[object, object, None]]
) -> AsyncIterator[None]:
    """Renew a lease until the block ends."""
    if math.isinf(lifetime):
        yield
        return
    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _known(want: Want) -> float:
    """The time when the stored response in `want` was last confirmed. 0.0: `want` has none."""
    return 0.0 if want.held is None else want.held.entry.confirmed_at


def _is_stored(landed: Landed) -> bool:
    return isinstance(landed, Elsewhere) or (
        isinstance(landed, Filled) and landed.verdict in _STORED
    )


def _is_for_all(failure: UpstreamFailure) -> bool:
    """Whether a call of another replica would fail too. Otherwise the leader's connection failed,
    which says nothing about those of others, or the API answered 429: then the gate withholds the
    calls of all replicas."""
    if isinstance(failure, UpstreamTimeout):
        return failure.reason is FailureReason.READ_TIMEOUT
    return not isinstance(failure, UpstreamUnreachable | UpstreamRateLimited)
