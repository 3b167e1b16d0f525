"""Answers requests for the list (`GET /training`): from the memory of this replica, or from the
API.

An answer of the API is kept for `freshness.lifetime`, for its partition and query, until the next
order. When it is stale, it is served only if the API fails, or takes longer than the soft wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from gateway.core.cache.content_coding import coded_body
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.policy import Plan
from gateway.core.errors import CallWithheld, OnlyIfCached, UpstreamFailure
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.list_query import ListQuery
from gateway.core.vocabulary import Detail, Forward, NotStoredReason, Outcome, Purpose, Tier
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.fill.fetch import Fetcher
from gateway.flow.request.response_selection import from_store, passed, rescued, untraced
from gateway.flow.singleflight import Flights
from gateway.ports import Held

# A flight is for one key, one set of header fields that are passed on, and one `Tiers.ordered_at`:
# requests after an order do not join a call from before it.
_Name = tuple[Key, Headers, float]
# Below this number of bytes, a body is compressed while other requests wait.
_LARGE = 65_536


class Lists:
    """Answers requests for the list. A request has the name of its query in place of an id.

    kept     the answers that are kept
    timeout  the longest time for a call, in seconds
    """

    def __init__(self, tiers: Tiers, fetcher: Fetcher, *, kept: LocalStore, timeout: float) -> None:
        self._tiers, self._clock, self._rules = tiers, tiers.clock, tiers.rules
        self._fetcher = fetcher
        self._kept = kept
        self._timeout = timeout
        self.flights: Flights[_Name, Answer] = Flights(tiers.clock)

    async def get(self, ask: Ask, query: ListQuery) -> Answer:
        """The answer to the request. Raises an error if nothing can be served."""
        held = self._usable(ask)
        if held is not None:
            match self._rules.plan(held.entry, self._clock.now()):
                case Plan.SERVE:
                    return from_store(_seen(held), Outcome.FRESH, Detail.LIST)
                case Plan.SERVE_STALE:
                    return from_store(_seen(held), Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED)
                case _:
                    pass
        if ask.only_if_cached:
            raise OnlyIfCached
        return await self._from_upstream(ask, query, held)

    async def coded(self, key: Key, held: Held) -> Held:
        """The compressed form of the list, or the list itself if compressing gains nothing."""
        if held.is_codable and held.coded is None:
            body = held.entry.body
            is_large = len(body) >= _LARGE
            held.code(await asyncio.to_thread(coded_body, body) if is_large else coded_body(body))
            if self._kept.peek(key) is held:
                self._kept.replace(key, held)  # it takes more memory now
        return held.coded or held

    async def land(self, patience: float) -> None:
        """As Flights.land."""
        await self.flights.land(patience)

    def _usable(self, ask: Ask) -> Held | None:
        """The kept list, fresh or not, if there was no order since the API was asked for it."""
        held = self._kept.get(ask.key)
        if held is None or not self._rules.selects(held.entry, ask.extra):
            return None
        spoke_at = held.checked_at - held.entry.initial_age
        return held if self._tiers.knows_orders_since(spoke_at) else None

    async def _from_upstream(self, ask: Ask, query: ListQuery, held: Held | None) -> Answer:
        name = ask.key, untraced(ask.extra), self._tiers.ordered_at
        flight = self.flights.under_way(name)
        is_collapsed = flight is not None
        if flight is None:
            flight = self.flights.start(name, lambda _: self._fetch(ask, query, held))
        follow = partial(self.flights.follow, flight) if is_collapsed else flight.join
        may_rescue = held is not None and self._rules.may_rescue(held.entry, self._clock.now())
        try:
            answer = await follow(self._rules.windows.soft_wait if may_rescue else None)
        except (UpstreamFailure, CallWithheld, TimeoutError) as error:
            if held is None or not may_rescue:
                raise
            if isinstance(error, TimeoutError):
                return from_store(_seen(held), Outcome.STALE_REFRESHING, Detail.STALE_REFRESHING)
            return rescued(_seen(held), error)
        return _collapsed(answer) if is_collapsed else answer

    async def _fetch(self, ask: Ask, query: ListQuery, held: Held | None) -> Answer:
        asked_at = self._clock.monotonic()
        ticket = FetchStart(self._clock.now())
        purpose = Purpose.MISS if held is None else Purpose.REVALIDATION
        fetch = self._fetcher.fetch_list(ask, query, purpose, asked_at + self._timeout)
        reply, page = await fetch
        forward = Forward.URI_MISS if held is None else Forward.STALE
        handling = Handling(Detail.LIST, forward, reply.status)
        if reply.status != 200:
            return passed(self._rules.passing(reply), handling)
        entry = self._rules.admit(reply, None, ticket, ask.extra, self._clock.jitter())
        found = self._tiers.render(entry, asked_at)
        reason = self._why_not_kept(entry, reply, page)
        if reason is None:
            self._kept.put(ask.key, found)
        told = replace(handling, stored=reason is None, not_stored=reason)
        return Answer(found, Outcome.FILLED, Tier.UPSTREAM, told)

    def _why_not_kept(
        self, entry: Entry, reply: Reply, page: Page | None
    ) -> NotStoredReason | None:
        if page is None or page.rejected:
            return NotStoredReason.DRIFT
        return self._rules.why_not_stored(entry, reply)


def _seen(held: Held) -> Seen:
    return Seen(held, Tier.L1, only_rescue=False)


def _collapsed(answer: Answer) -> Answer:
    """The answer for a request that joined the call of another request."""
    handling = replace(answer.handling, collapsed=True)
    outcome = Outcome.COLLAPSED if isinstance(answer.content, Held) else answer.outcome
    return answer._replace(outcome=outcome, handling=handling)
