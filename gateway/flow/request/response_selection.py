"""Selects the response to a request, and decides whether upstream is called.

For each key there is at most one look-up and one fetch that requests can join. After a failed
fetch, the key is *left alone*: for some time it is not fetched, if requests can be answered without
a fetch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.core.budget.priority import has_a_caller
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import is_later
from gateway.core.cache.policy import Plan, Rules
from gateway.core.errors import (
    AccessRefused,
    BudgetExhausted,
    CallWithheld,
    Frozen,
    UpstreamError,
    UpstreamFailure,
    VersionDoubted,
)
from gateway.core.http.cache_status import HITS, Handling
from gateway.core.http.fields import Headers, Reply
from gateway.core.plan import plan
from gateway.core.vocabulary import (
    Detail,
    Forward,
    Outcome,
    Purpose,
    StoreVerdict,
    Tier,
)
from gateway.flow.answer import FRESH, HIT, L1, Answer, Ask, new_answer
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.fill.backoff import is_news, stale_word
from gateway.flow.fill.cold_start import ColdStart
from gateway.flow.fill.collapse import Collapsing, Elsewhere, Landed
from gateway.flow.fill.fetch import Filled, Passed, Want, came_of, failing, fruitless
from gateway.flow.fill.refresher import Errand, Refresher
from gateway.flow.fill.under_way import UnderWay
from gateway.flow.singleflight import Flight
from gateway.ports import NEVER, Clock, Held, Observer

# While a refresh of the key is under way or queued, or none is due, L1 may repeat a stale answer
# with one of these plans, for at most _STANDS seconds.
_STANDS: Final = 1.0
_REFRESHED: Final[tuple[Plan, ...]] = (Plan.SERVE_STALE, Plan.SERVE_AND_REFRESH)
# While the key is left alone, L1 may repeat a stale answer with one of these plans.
_LEFT_ALONE: Final[tuple[Plan, ...]] = (*_REFRESHED, Plan.WAIT_SOFTLY)

_OF_REVALIDATION = {
    StoreVerdict.CHANGED: Detail.CHANGED,
    StoreVerdict.BELIEVED: Detail.CHANGED,
    StoreVerdict.UNCHANGED: Detail.UNCHANGED,
}

__all__ = ["Answer", "Ask", "Serving"]


class Serving:
    """Answers requests from the tiers and from upstream."""

    def __init__(
        self,
        tiers: Tiers,
        filler: Collapsing,
        clock: Clock,
        observer: Observer,
        rules: Rules,
        *,
        under_way: UnderWay,
        refresher: Refresher,
        cold_start: ColdStart,
    ) -> None:
        self._tiers = tiers
        self.filler = filler
        self._clock = clock
        self._observer = observer
        self._rules, self.fits = rules, partial(fits, rules)
        self.refresher = refresher
        self.cold_start = cold_start
        self.held, self.coded, self.confirming = tiers.held, tiers.coded, tiers.confirming
        self._backoffs, self.standing = filler.backoffs, filler.backoffs.standing
        self.under_way, self.fills = under_way, under_way.fills

    def peek(self, ask: Ask) -> Answer | None:
        """The answer that L1 may give without asking Redis, or None. A stale answer can start or
        queue a refresh."""
        held = self._tiers.peek(ask.key)
        if held is None:
            return None
        held.reads += 1
        if held.is_plain and held.entry.is_fresh(self._clock.now()):
            # `planned` would lead to the same answer more slowly.
            return new_answer(Answer, (held, FRESH, L1, HIT))
        if not self._rules.selects(held.entry, ask.extra):
            return None
        seen = Seen(held, Tier.L1, only_rescue=False)
        return self._from_stored(self.planned(ask, seen), ask, seen)

    def fresh_in_l1(self, key: Key, now: float) -> Held | None:
        """The fresh response for any request for this key that L1 may give without asking Redis, or
        None."""
        held = self._tiers.peek(key)
        if held is None or not held.is_plain or not held.entry.is_fresh(now):
            return None
        held.reads += 1
        return held

    def planned(self, ask: Ask, seen: Seen | None, *, is_frozen: bool = False) -> Plan:
        """What `core/plan` says of this request and this stored response."""
        entry, now = None if seen is None else seen.held.entry, self._clock.now()
        is_fresh = entry is not None and entry.is_fresh(now)
        return plan(
            entry,
            ask,
            now,
            self._rules,
            only_rescue=seen is not None and seen.only_rescue,
            is_left_alone=not is_fresh and self.standing(ask.key) is not None,
            is_frozen=is_frozen,
        )

    async def as_planned(self, planned: Plan, ask: Ask, seen: Seen | None) -> Answer:
        """The answer with the response `seen`, or of upstream."""
        if seen is not None:
            seen.held.reads += 1
            answer = self._from_stored(planned, ask, seen)
            if answer is not None:
                return answer
        return await self.from_upstream(ask, seen)

    def _from_stored(self, planned: Plan, ask: Ask, seen: Seen) -> Answer | None:
        """The answer with the response `seen`. None if it may not be served as `planned`."""
        match planned:
            case Plan.SERVE | Plan.SERVE_STALE if seen.held.entry.is_negative:
                return from_store(seen, Outcome.NEGATIVE, Detail.NEGATIVE)
            case Plan.SERVE:
                return from_store(seen, Outcome.FRESH, detail_of(seen.tier))
            case Plan.SERVE_STALE:
                return from_store(seen, Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED)
            case Plan.SERVE_AND_REFRESH | Plan.SERVE_LEFT_ALONE:
                return self.stale_refreshing(ask, seen)
            case Plan.SERVE_FROZEN:
                return from_store(seen, Outcome.STALE_SHIELDED, Detail.FROZEN)
            case _:
                return None

    def _plan(self, seen: Seen) -> Plan:
        now = self._clock.now()
        return self._rules.plan(seen.held.entry, now, only_rescue=seen.only_rescue)

    def stale_refreshing(self, ask: Ask, seen: Seen) -> Answer:
        """The answer with the stale response `seen`. If a refresh is due, it is started or
        queued."""
        failure = self.standing(ask.key)
        if failure is not None:
            return from_store(seen, failure.outcome, failure.detail)
        is_due = not ask.only_if_cached and self.fills.under_way(ask.key) is None
        if is_due:
            self._refresh(ask, seen)
            if self.refresher.is_short(ask):
                return from_store(seen, Outcome.STALE_SHIELDED, Detail.STALE_SHIELDED)
        return from_store(seen, Outcome.STALE_REFRESHING, Detail.STALE_REFRESHING)

    def _refresh(self, ask: Ask, seen: Seen) -> None:
        """Refresh the response `seen`, now or later."""
        fetch = partial(self._fetch_in_background, ask, Purpose.REFRESH)
        errand = Errand(ask, Purpose.REFRESH, fetch)
        self.refresher.want(errand, lambda: self.start(ask, seen, Purpose.REFRESH).join())

    def send(self, ask: Ask, purpose: Purpose, then: Callable[[Landed | None], None]) -> None:
        """Make a call for which no caller waits, now or later, and give its result to `then`: None
        if there is none."""
        fetch = partial(self._fetch_in_background, ask, purpose)
        self.refresher.want(Errand(ask, purpose, fetch, [then]))

    async def _fetch_in_background(self, ask: Ask, purpose: Purpose) -> Landed | None:
        """The result of a fetch that no caller waits for. None if the key is left alone, or if a
        refresh is not needed any more."""
        if self.has_failed(ask.key):
            return None
        found = await self.under_way.look_up(ask.key)
        is_fresh = found is not None and self._plan(found) is Plan.SERVE
        if is_fresh and purpose is Purpose.REFRESH:
            return None
        flight = self.fills.under_way(ask.key)
        if flight is None:
            return await self.start(ask, chosen(self._rules, ask, found), purpose).join()
        if flight.is_paid or purpose is Purpose.REFRESH:
            return await flight.join()
        return await self._fetch_beside(ask, purpose)

    async def _fetch_beside(self, ask: Ask, purpose: Purpose) -> Landed:
        """Make a call of the sweep although a request waits for a fetch of the key: perhaps the
        request waits for the sweep. Its answer is then this one."""
        want = Want(ask.key, ask.caller, purpose, alone=True)
        flight = self.fills.start_apart(ask.key, lambda flight: self._fill(want, flight))
        flight.is_unhurried = True
        landed = await flight.join()
        if isinstance(landed, Filled) and landed.not_stored is None:
            self.under_way.bring(ask.key, landed.held)
        return landed

    async def from_upstream(self, ask: Ask, seen: Seen | None, *, keep: bool = True) -> Answer:
        """The answer of upstream, from the fetch under way or a new one. If `stand_in` has an
        answer, no fetch is needed. If the fetch fails or takes too long, the response `seen` may be
        served instead.

        `keep` False: a new fetch is made for this request alone, and its result is not stored.
        """
        stand_in = self.stand_in(ask, seen)
        if stand_in is not None:
            return stand_in
        joined = self.fills.under_way(ask.key) if keep else None
        collapsed, purpose = joined is not None, Purpose.REVALIDATION if seen else Purpose.MISS
        flight = joined or (self.start(ask, seen, purpose) if keep else self._unkept_flight(ask))
        try:
            landed = await self._follow(flight, seen, collapsed=collapsed)
            if not self.fits(ask, landed):
                collapsed, flight = False, self.own_flight(ask)
                landed = await self._follow(flight, seen, collapsed=False)
        except (UpstreamFailure, CallWithheld, TimeoutError) as error:
            return await self._without_result(ask, seen, error, flight, keep=keep)
        return self.landed(ask, seen, landed, collapsed=collapsed)

    async def _without_result(
        self,
        ask: Ask,
        seen: Seen | None,
        error: UpstreamFailure | CallWithheld | TimeoutError,
        flight: Flight[Landed],
        *,
        keep: bool,
    ) -> Answer:
        """The answer if the fetch failed, or took longer than the soft wait (TimeoutError)."""
        if isinstance(error, TimeoutError):
            if seen is None or seen.only_rescue:
                return await self.from_upstream(ask, seen, keep=keep)
            return from_store(seen, Outcome.STALE_REFRESHING, Detail.STALE_REFRESHING)
        if flight.is_unhurried and isinstance(error, BudgetExhausted | Frozen):
            # No caller waited when the fetch began, and no call was made. A fetch for a waiting
            # caller perhaps gets a call, because it has a higher priority.
            return await self.from_upstream(ask, seen, keep=keep)
        if seen is None or not self._may_rescue(seen):
            if isinstance(error, VersionDoubted):
                # Another replica fetched a version that is not believed yet. This replica makes its
                # own call, as if nothing were stored.
                return await self.from_upstream(ask, None, keep=keep)
            return passed_on(error, ask)
        return rescued(seen, error)

    def stand_in(self, ask: Ask, seen: Seen | None) -> Answer | None:
        """The answer while the key is left alone. None if the key is not left alone, or if nothing
        may be served without a call."""
        failure = self.standing(ask.key)
        if not failure or seen is None or seen.only_rescue or not self._may_rescue(seen):
            return None
        return from_store(seen, failure.outcome, failure.detail)

    def own_flight(self, ask: Ask, purpose: Purpose = Purpose.MISS) -> Flight[Landed]:
        """A new fetch with its own call."""
        self.fills.retire(ask.key)
        return self.start(ask, None, purpose, alone=True)

    def _unkept_flight(self, ask: Ask) -> Flight[Landed]:
        """A new fetch whose result is not stored. No other request joins it."""
        want = Want(ask.key, ask.caller, Purpose.MISS, None, ask.extra, alone=True)
        flight = self.fills.start_apart(ask.key, lambda flight: self._fill(want, flight))
        flight.is_current = flight.may_store = False
        return flight

    def start(
        self, ask: Ask, seen: Seen | None, purpose: Purpose, *, alone: bool = False
    ) -> Flight[Landed]:
        """Start a fetch. The key must have no other fetch that requests can join. `alone`: see
        `Want`."""
        held, below = (seen.held, seen.only_rescue) if seen else (None, False)
        want = Want(ask.key, ask.caller, purpose, held, ask.extra, alone=alone, only_rescue=below)
        flight = self.fills.start(ask.key, lambda flight: self._fill(want, flight))
        flight.is_unhurried = not has_a_caller(purpose)
        flight.is_paid = alone  # its own call is wanted
        return flight

    async def _fill(self, want: Want, flight: Flight[Landed]) -> Landed:
        try:
            may_wait = want.purpose is Purpose.MISS and not want.alone
            async with self.cold_start.before(want.caller) if may_wait else nullcontext():
                filled = await self.filler.fill(want, flight)
        except Exception as error:
            self._failed(want, error)
            raise
        if not isinstance(filled, Elsewhere):
            self._observer.fetched(want.key, want.purpose, *came_of(filled))
        lookups = self.under_way.lookups
        (lookups.forget if drops_stored(filled) else lookups.retire)(want.key)
        vain = None if isinstance(filled, Elsewhere) else failing(want, filled)
        if vain is None:
            self._backoffs.succeeded(want.key)
        else:
            self._failed(want, vain)
        return filled

    def _failed(self, want: Want, error: Exception) -> None:
        held = self._tiers.held(want.key)
        if held is not None:
            # Without this, L1 could repeat an answer that was selected before the failure.
            held.until = NEVER
        if isinstance(error, AccessRefused):
            return  # the credential was refused, which says nothing about the key
        why = str(error) or repr(error)
        self._observer.noted(want.key, "fetch.failed", purpose=want.purpose, why=why)
        if _says_nothing(want, error):
            return
        again_in = self._backoffs.failed(want.key, error)
        if want.purpose is Purpose.REFRESH and is_news(error):
            self._observer.refresh_failed(want.key, why, again_in)

    async def _follow(
        self, flight: Flight[Landed], seen: Seen | None, *, collapsed: bool
    ) -> Landed:
        softly = seen is not None and self._plan(seen) is Plan.WAIT_SOFTLY
        patience = self._rules.windows.soft_wait if softly else None
        return await (self.fills.follow(flight, patience) if collapsed else flight.join(patience))

    def landed(self, ask: Ask, seen: Seen | None, landed: Landed, *, collapsed: bool) -> Answer:
        """The answer to a request that waited for a fetch. `seen`: the response that was stored
        before the fetch."""
        forward = forward_of(ask, seen)
        if isinstance(landed, Passed):
            handling = Handling(None, forward, landed.reply.status, collapsed=collapsed)
            return passed(landed.reply, handling)
        if isinstance(landed, Elsewhere):
            return from_elsewhere(landed, forward)
        handling = handling_of(landed, forward, collapsed=collapsed)
        if seen is not None and self._is_better(seen, landed):
            told = replace(handling, collapsed=False, outdated=seen.only_rescue)
            return Answer(seen.held, Outcome.STALE_ERROR, seen.tier, told)
        return Answer(landed.held, outcome_of(handling), Tier.UPSTREAM, handling)

    def _is_better(self, seen: Seen, landed: Filled) -> bool:
        """Whether the stored response is served instead of `landed`, whose version was refused."""
        if fruitless(landed) is None or not self._may_rescue(seen):
            return False
        is_ahead = landed.verdict is StoreVerdict.AHEAD
        return is_ahead or is_later(seen.held.entry.facts, landed.held.entry.facts)

    async def seen(self, ask: Ask) -> Seen | None:
        """The stored response for this request, fresh or not, or None."""
        return chosen(self._rules, ask, await self.under_way.look_up(ask.key))

    def _may_rescue(self, seen: Seen) -> bool:
        return self._rules.may_rescue(seen.held.entry, self._clock.now())

    def stale_stands_for(self, ask: Ask, answer: Answer) -> float:
        """For how many seconds L1 may repeat the stale answer that `ask` just got. 0.0 or less: not
        at all.

        A repeated answer starts no refresh. So a refresh has to be under way or queued, or none may
        be due, or the key has to be left alone.
        """
        held = answer.content
        is_stale_hit = answer.tier is Tier.L1 and answer.handling.forward is None
        if not is_stale_hit or isinstance(held, Reply) or held.entry.selecting:
            return 0.0
        failure = self.standing(ask.key)
        if failure is not None:
            rests, plans = failure.until - self._clock.monotonic(), _LEFT_ALONE
        else:
            rests, plans = 0.0 if ask.only_if_cached else _STANDS, _REFRESHED
        stands = min(rests, self.confirming.quiet_for(ask.key, held))
        until = self._clock.now() + stands
        return stands if self._rules.plan(held.entry, until) in plans else 0.0

    def has_failed(self, key: Key) -> bool:
        """Whether the key is left alone because upstream failed. False if no call was made."""
        failure = self.standing(key)
        return failure is not None and failure.outcome is not Outcome.STALE_SHIELDED


def chosen(rules: Rules, ask: Ask, seen: Seen | None) -> Seen | None:
    """The stored response, if it fits the fields of the request (`Vary`). Otherwise None."""
    if seen is None or not rules.selects(seen.held.entry, ask.extra):
        return None
    return seen


def fits(rules: Rules, ask: Ask, landed: Landed) -> bool:
    """Whether the result of a fetch for another request fits this request too (`Vary`).

    With `freshness.source = "origin"`, a result that was not offered to the store fits only a
    request with the same fields: it is perhaps for one user alone (RFC 9111, 4).
    """
    if isinstance(landed, Elsewhere):
        return _is_chosen(rules, ask, landed.seen.held)
    is_unstored = rules.is_verbatim and drops_stored(landed)
    if is_unstored and untraced(landed.extra) != untraced(ask.extra):
        return False
    return isinstance(landed, Passed) or _is_chosen(rules, ask, landed.held)


def _is_chosen(rules: Rules, ask: Ask, held: Held) -> bool:
    return held.is_plain or rules.selects(held.entry, ask.extra)


def untraced(fields: Headers) -> Headers:
    """The fields without `traceparent`."""
    return tuple(pair for pair in fields if pair[0] != b"traceparent")


def drops_stored(landed: Landed) -> bool:
    """Whether the fetch has perhaps removed the stored response. If so, a look-up under way could
    bring that response back."""
    return isinstance(landed, Passed) or (isinstance(landed, Filled) and landed.verdict is None)


def forward_of(ask: Ask, seen: Seen | None) -> Forward:
    """Why upstream was called (RFC 9211, 2.2)."""
    if seen is None:
        return Forward.URI_MISS
    return Forward.STALE if ask.directives is None else Forward.REQUEST


def handling_of(filled: Filled, forward: Forward, *, collapsed: bool) -> Handling:
    """The contents of `Cache-Status` after a fetch of this replica."""
    verdict = None if forward is Forward.URI_MISS else filled.verdict
    return Handling(
        detail=None if verdict is None else _OF_REVALIDATION.get(verdict),
        forward=forward,
        forward_status=filled.forward_status,
        stored=filled.not_stored is None,
        not_stored=filled.not_stored,
        collapsed=collapsed,
    )


def outcome_of(handling: Handling) -> Outcome:
    """The outcome of a request for which this replica made a fetch."""
    if handling.collapsed:
        return Outcome.COLLAPSED
    return Outcome.REVALIDATED if handling.detail is Detail.UNCHANGED else Outcome.FILLED


def detail_of(tier: Tier) -> Detail:
    """The word for a hit in this tier."""
    return Detail.L2 if tier is Tier.L2 else Detail.L1


def from_store(seen: Seen, outcome: Outcome, detail: Detail) -> Answer:
    """The answer with a stored response, if no call was made."""
    handling = Handling(detail, outdated=True) if seen.only_rescue else HITS[detail]
    return Answer(seen.held, outcome, seen.tier, handling)


def from_elsewhere(landed: Elsewhere, forward: Forward) -> Answer:
    """The answer with a response that another replica fetched."""
    held = landed.seen.held
    if landed.awaited:
        handling = Handling(forward=forward, collapsed=True)
        return Answer(held, Outcome.COLLAPSED, Tier.L2, handling)
    if held.entry.is_negative:
        return from_store(landed.seen, Outcome.NEGATIVE, Detail.NEGATIVE)
    return from_store(landed.seen, Outcome.FRESH, detail_of(landed.seen.tier))


def rescued(seen: Seen, error: UpstreamFailure | CallWithheld) -> Answer:
    """The answer with a stored response, because upstream failed or could not be called."""
    outcome, detail = stale_word(error)
    if isinstance(error, CallWithheld):
        return from_store(seen, outcome, detail)
    handling = Handling(detail, Forward.STALE, error.status, outdated=seen.only_rescue)
    return Answer(seen.held, outcome, seen.tier, handling)


def passed_on(error: UpstreamFailure | CallWithheld, ask: Ask) -> Answer:
    """The error response of upstream, if it may be passed on to this request. Otherwise raises the
    error. As in `fits`, the response is perhaps for one user alone."""
    if not isinstance(error, UpstreamError) or error.reply is None:
        raise error
    if untraced(error.extra) != untraced(ask.extra):
        raise error
    return passed(error.reply, Handling(None, Forward.URI_MISS, error.reply.status))


def passed(reply: Reply, handling: Handling) -> Answer:
    """The answer that passes on a response of upstream. The outcome is FAILED for a 5xx, and
    REJECTED for any other status."""
    outcome = Outcome.FAILED if reply.status >= 500 else Outcome.REJECTED
    return Answer(reply, outcome, Tier.UPSTREAM, handling)


def _says_nothing(want: Want, error: Exception) -> bool:
    """Whether the error says nothing about later fetches of the key: the mode forbids the call, or
    no call was free for a fetch that no caller waits for. One is perhaps free for a caller, who has
    a higher priority."""
    is_denied = isinstance(error, CallWithheld) and not has_a_caller(want.purpose)
    return isinstance(error, Frozen) or is_denied
