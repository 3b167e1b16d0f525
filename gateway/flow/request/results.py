"""How what was fetched is marked: the words of Cache-Status and of the outcome.

Pure; which answer is given is handler's business.
"""

from __future__ import annotations

from gateway.core.errors import CallWithheld, UpstreamError, UpstreamFailure
from gateway.core.http.cache_status import HITS, Handling
from gateway.core.vocabulary import Detail, Forward, NotStoredReason, Outcome, StoreVerdict, Tier
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.fill.backoff import stale_word
from gateway.flow.fill.collapse import Elsewhere, Landed
from gateway.flow.fill.fetch import Filled, Passed
from gateway.ports import Held

_OF_REVALIDATION = {
    StoreVerdict.CHANGED: Detail.CHANGED,
    StoreVerdict.BELIEVED: Detail.CHANGED,
    StoreVerdict.UNCHANGED: Detail.UNCHANGED,
}


def rescued(seen: Seen, error: UpstreamFailure | CallWithheld) -> Answer:
    """What is stored, in the place of what upstream could not be asked for, or failed at."""
    outcome, detail = stale_word(error)
    if isinstance(error, CallWithheld):
        return from_store(seen, outcome, detail)
    handling = Handling(detail, Forward.STALE, error.status, outdated=seen.below_floor)
    return Answer(seen.held, outcome, seen.tier, handling)


def bypassed(landed: Filled | Passed) -> Answer:
    """What upstream said past the cache, in which nothing was looked for or kept."""
    if isinstance(landed, Passed):
        handling = Handling(None, Forward.BYPASS, landed.reply.status)
        return Answer(landed.reply, Outcome.BYPASSED, Tier.UPSTREAM, handling)
    not_stored = NotStoredReason.BYPASS
    handling = Handling(None, Forward.BYPASS, landed.forward_status, not_stored=not_stored)
    return Answer(landed.held, Outcome.BYPASSED, Tier.UPSTREAM, handling)


def detail_of(tier: Tier) -> Detail:
    """The word for a hit in that tier."""
    return Detail.L2 if tier is Tier.L2 else Detail.L1


def forward_of(ask: Ask, seen: Seen | None) -> Forward:
    """Why upstream was asked (RFC 9211, 2.2)."""
    if seen is None:
        return Forward.URI_MISS
    return Forward.STALE if ask.directives is None else Forward.REQUEST


def handling_of(filled: Filled, forward: Forward, *, collapsed: bool) -> Handling:
    """How a fetch of this replica is told; only what was stored before can have changed."""
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
    """How a request ended for which this replica fetched."""
    if handling.collapsed:
        return Outcome.COLLAPSED
    return Outcome.REVALIDATED if handling.detail is Detail.UNCHANGED else Outcome.FILLED


def came_of(fetched: Filled | Passed) -> tuple[int, StoreVerdict | NotStoredReason | None]:
    """The upstream's status, and what the store said to it or why it was not asked; None where
    the answer concerned the caller alone."""
    if isinstance(fetched, Passed):
        return fetched.reply.status, None
    return fetched.forward_status, fetched.not_stored or fetched.verdict


def drops_stored(landed: Landed) -> bool:
    """Whether it took away what is stored, which a look-up under way may bring back."""
    return isinstance(landed, Passed) or (isinstance(landed, Filled) and landed.verdict is None)


def from_store(seen: Seen, outcome: Outcome, detail: Detail) -> Answer:
    """What is stored, without asking."""
    handling = Handling(detail, outdated=True) if seen.below_floor else HITS[detail]
    return Answer(seen.held, outcome, seen.tier, handling)


def given_again(held: Held, outcome: Outcome) -> Answer:
    """What was refused for its version a moment ago: marked as not stored, as it was then."""
    ahead = held.entry.is_ahead
    reason = NotStoredReason.FUTURE_VERSION if ahead else NotStoredReason.OLDER_VERSION
    return Answer(held, outcome, Tier.L1, Handling(not_stored=reason))


def passed_on(error: UpstreamFailure | CallWithheld) -> Answer:
    """The upstream's own words, where they are to pass; else the error is raised."""
    reply = error.reply if isinstance(error, UpstreamError) else None
    if reply is None:
        raise error
    handling = Handling(None, Forward.URI_MISS, reply.status)
    return Answer(reply, Outcome.REJECTED, Tier.UPSTREAM, handling)


def from_elsewhere(landed: Elsewhere, forward: Forward) -> Answer:
    """Another replica asked upstream: this one waited for it, or found it by then."""
    held = landed.seen.held
    if landed.awaited:
        handling = Handling(forward=forward, collapsed=True)
        return Answer(held, Outcome.COLLAPSED, Tier.L2, handling)
    if held.entry.is_negative:
        return from_store(landed.seen, Outcome.NEGATIVE, Detail.NEGATIVE)
    return from_store(landed.seen, Outcome.FRESH, detail_of(landed.seen.tier))
