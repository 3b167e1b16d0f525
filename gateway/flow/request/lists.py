"""Answers requests for the list (`GET /training`): from the catalogue and the stored trainings,
from a kept answer, or from the API.

An answer of the API is kept for `freshness.lifetime`, for its partition and query, until the next
order. When it is stale, it is served only if the API fails, or takes longer than the soft wait.
After a failure, no call is made for some time while a kept list may be served (see fill/backoff).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gateway.core.cache.content_coding import coded_body
from gateway.core.cache.entry import FetchStart, Key
from gateway.core.cache.marks import is_older
from gateway.core.cache.policy import Plan
from gateway.core.errors import CallWithheld, OnlyIfCached, UpstreamFailure
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Headers, Reply
from gateway.core.sweep.catalogue import Catalogue, Row, page_of
from gateway.core.upstream.classification import is_from_api
from gateway.core.upstream.list_query import ListQuery
from gateway.core.vocabulary import Detail, Forward, NotStoredReason, Outcome, Purpose, Tier
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.fill.fetch import Fetcher
from gateway.flow.request.response_selection import (
    Serving,
    from_store,
    passed,
    rescued,
    untraced,
)
from gateway.flow.singleflight import Flights
from gateway.ports import Held

# A flight is for one key, one set of header fields that are passed on, and one `Tiers.ordered_at`:
# requests after an order do not join a call from before it.
_Name = tuple[Key, Headers, float]
# For this time (seconds) a made list is served again, unless a page or an order comes.
_STANDS = 1.0


class Lists:
    """Answers requests for the list. A request has the name of its query in place of an id. A list
    that was made from the catalogue has the catalogue's stamp as its `edition`.

    catalogue_of  returns the catalogue of a partition, if it may answer
    kept          the answers that are kept
    timeout       the longest time for a call, in seconds
    """

    def __init__(
        self,
        serving: Serving,
        tiers: Tiers,
        fetcher: Fetcher,
        catalogue_of: Callable[[str], Catalogue | None],
        *,
        kept: LocalStore,
        timeout: float,
    ) -> None:
        self._serving = serving
        self._tiers, self._clock, self._rules = tiers, tiers.clock, tiers.rules
        self._fetcher = fetcher
        self._catalogue_of = catalogue_of
        self._kept = kept
        self._timeout = timeout
        self.flights: Flights[_Name, Answer] = Flights(tiers.clock)

    async def get(self, ask: Ask, query: ListQuery) -> Answer:
        """The answer to the request. Raises an error if nothing can be served."""
        answer = self.at_hand(ask.key)
        if answer is not None:
            return answer
        held = await self._from_catalogue(ask.key, query)
        if held is not None:
            return self._answer(held)
        held = self._usable(ask)
        answer = self._at_once(ask.key, held) if held is not None and self._is_sure(held) else None
        if answer is not None:
            return answer
        if ask.only_if_cached:
            raise OnlyIfCached
        return await self._from_upstream(ask, query, held)

    def _at_once(self, key: Key, held: Held) -> Answer | None:
        """The answer with a kept list. None if a call is needed."""
        plan, failure = self._rules.plan(held.entry, self._clock.now()), self._serving.standing(key)
        if plan is Plan.SERVE:
            return self._answer(held)
        if plan is Plan.SERVE_STALE:
            return from_store(_seen(held), Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED)
        if failure is None or not self._may_rescue(held):
            return None
        return from_store(_seen(held), failure.outcome, failure.detail)

    def _may_rescue(self, held: Held) -> bool:
        is_in_time = self._rules.may_rescue(held.entry, self._clock.now())
        return is_in_time and not self._tiers.confirming.misses_orders()

    def _is_sure(self, held: Held) -> bool:
        """Whether the list may be served without a call. A list that was made from the catalogue
        may not, nor may any while this replica perhaps does not hear of orders."""
        return held.edition is None and self._tiers.confirming.hears_orders()

    async def coded(self, key: Key, held: Held) -> Held:
        """The compressed form of the list, or the list itself if compressing gains nothing."""
        if held.is_codable and held.coded is None:
            held.code(await asyncio.to_thread(coded_body, held.body))
            if self._kept.peek(key) is held:
                self._kept.replace(key, held)  # it takes more memory now
        return held.coded or held

    def at_hand(self, key: Key) -> Answer | None:
        """The answer to any request for this key, with a fresh list that is held. None if the list
        has to be made or fetched."""
        held, catalogue = self._kept.get(key), self._catalogue(key)
        if held is None or held.entry.selecting:
            return None
        if catalogue is not None:
            is_made = held.edition is catalogue.stamp and self._clock.monotonic() < held.until
            return self._answer(held) if is_made else None
        is_kept = self._is_sure(held) and self._is_usable(key, held)
        is_fresh = self._rules.plan(held.entry, self._clock.now()) is Plan.SERVE
        return self._answer(held) if is_kept and is_fresh else None

    def _answer(self, held: Held) -> Answer:
        """The answer with a fresh list."""
        detail = Detail.LIST if held.edition is None else Detail.CATALOGUE
        return from_store(_seen(held), Outcome.FRESH, detail)

    def _catalogue(self, key: Key) -> Catalogue | None:
        """The catalogue, if it may answer and this replica knows of all orders since."""
        catalogue = self._catalogue_of(key.partition)
        if catalogue is None:
            return None
        is_sure = self._tiers.knows_orders_since(key.partition, catalogue.spoke_at)
        return catalogue if is_sure else None

    async def _from_catalogue(self, key: Key, query: ListQuery) -> Held | None:
        """The list as the catalogue has it. None if the catalogue cannot answer, or if a training
        on the list has no fresh response that fits what the catalogue knows."""
        for _ in range(2):
            catalogue, now = self._catalogue(key), self._clock.now()
            if catalogue is None:
                return None
            rows, total = catalogue.select(query)
            if rows is None:
                return None
            keys = [Key(key.partition, each.id) for each in rows]
            found = [self._serving.fresh_in_l1(each, now) for each in keys]
            fit = [each for each in found if each is not None]
            if len(fit) == len(rows) and all(map(partial(_fits, query), rows, fit)):
                bodies = [each.body for each in fit]
                body = page_of(bodies, total, query.limit or 0, query.offset)
                return self._made(key, catalogue, fit, body)
            held = [self._tiers.held(each) for each in keys]
            if any(each is not None and not each.entry.is_fresh(now) for each in held):
                return None  # the list cannot be made, so no look-ups are needed
            missing = [each for each, held in zip(keys, found, strict=True) if held is None]
            await asyncio.gather(*map(self._serving.under_way.look_up, missing))
        return None

    def _made(self, key: Key, catalogue: Catalogue, found: list[Held], body: bytes) -> Held | None:
        """The list that has these responses, as old as the oldest of them. An empty list is as old
        as the catalogue. None: it is too old."""
        now, at = self._clock.now(), self._clock.monotonic()
        age = max([each.entry.age(now) for each in found], default=at - catalogue.spoke_at)
        lifetimes = [each.entry.freshness_lifetime for each in found]
        lifetime = min(lifetimes, default=self._rules.windows.lifetime)
        if age >= lifetime:
            return None
        start = FetchStart(now - age)
        entry = self._rules.admit(Reply(200, catalogue.fields, body), None, start, (), 0.0)
        digest = f"{catalogue.edition}-{entry.digest}"
        entry = entry.but(digest=digest, freshness_lifetime=lifetime)
        made = self._tiers.render(entry, catalogue.spoke_at)
        made.edition, made.until = catalogue.stamp, at + min(_STANDS, lifetime - age)
        self._kept.put(key, made)
        return made

    def _usable(self, ask: Ask) -> Held | None:
        """The kept list, fresh or not, if no order is known since the API was asked for it."""
        held = self._kept.get(ask.key)
        if held is None or not self._rules.selects(held.entry, ask.extra):
            return None
        return held if self._is_usable(ask.key, held) else None

    def _is_usable(self, key: Key, held: Held) -> bool:
        spoke_at = held.checked_at - held.entry.initial_age
        return spoke_at > self._tiers.ordered_at(key.partition)

    async def _from_upstream(self, ask: Ask, query: ListQuery, held: Held | None) -> Answer:
        name = ask.key, untraced(ask.extra), self._tiers.ordered_at(ask.key.partition)
        flight = self.flights.under_way(name)
        is_collapsed = flight is not None
        if flight is None:
            flight = self.flights.start(name, lambda _: self._fetch(ask, query, held))
        follow = partial(self.flights.follow, flight) if is_collapsed else flight.join
        waits_softly = held is not None and self._may_rescue(held) and self._is_sure(held)
        try:
            answer = await follow(self._rules.windows.soft_wait if waits_softly else None)
        except (UpstreamFailure, CallWithheld, TimeoutError) as error:
            held = self._usable(ask)  # perhaps there was an order
            may_serve = held is not None and self._may_rescue(held)
            if isinstance(error, TimeoutError) and waits_softly:
                if held is None or not (may_serve and self._is_sure(held)):
                    return await self._from_upstream(ask, query, held)
                return from_store(_seen(held), Outcome.STALE_REFRESHING, Detail.STALE_REFRESHING)
            if held is None or not may_serve or isinstance(error, TimeoutError):
                raise
            return rescued(_seen(held), error)
        if not is_collapsed:
            return answer
        outcome = Outcome.COLLAPSED if isinstance(answer.content, Held) else answer.outcome
        return answer._replace(outcome=outcome, handling=replace(answer.handling, collapsed=True))

    async def _fetch(self, ask: Ask, query: ListQuery, held: Held | None) -> Answer:
        asked_at = self._clock.monotonic()
        ticket = FetchStart(self._clock.now())
        purpose = Purpose.MISS if held is None else Purpose.REVALIDATION
        deadline, backoffs = asked_at + self._timeout, self._serving.filler.backoffs
        try:
            reply, page = await self._fetcher.fetch_list(ask, query, purpose, deadline)
        except (UpstreamFailure, CallWithheld) as error:
            if held is not None:
                backoffs.failed(ask.key, error)
            raise
        backoffs.succeeded(ask.key)
        forward = Forward.URI_MISS if held is None else Forward.STALE
        handling = Handling(Detail.LIST, forward, reply.status)
        if reply.status != 200:
            if is_from_api(reply):
                self._kept.drop(ask.key)
            return passed(self._rules.passing(reply), handling)
        entry = self._rules.admit(reply, None, ticket, ask.extra, self._clock.jitter())
        found = self._tiers.render(entry, asked_at)
        reason = self._rules.why_not_stored(entry, reply)
        if page is None or page.rejected:
            reason = NotStoredReason.DRIFT
        elif reason is None:
            self._kept.put(ask.key, found)
        told = replace(handling, stored=reason is None, not_stored=reason)
        return Answer(found, Outcome.FILLED, Tier.UPSTREAM, told)


def _fits(query: ListQuery, row: Row, held: Held) -> bool:
    """Whether the response may stand for the row: it has the version of the row, or a later one if
    the query does not ask for what an edit can change."""
    if held.entry.updated_at == row.version:
        return True
    asks = query.type is not None or query.is_draft is not None
    return not asks and is_older(row.version, held.entry.updated_at)


def _seen(held: Held) -> Seen:
    return Seen(held, Tier.L1, only_rescue=False)
