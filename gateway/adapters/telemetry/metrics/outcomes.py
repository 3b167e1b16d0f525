"""Which requests can end how: the (outcome, tier, status) series that exist from the start.

A statement about serve and web, kept as data; what contradicts it is counted all the same.
"""

from __future__ import annotations

from gateway.core.vocabulary import Outcome, Tier

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")

_STORED = (Tier.L1, Tier.L2)
_FETCHED = (Tier.UPSTREAM,)
_NOWHERE = (Tier.NONE,)

# 2xx the training, 3xx the 304 of a caller's condition, 4xx that there is none (404, 410).
_BODY = ("2xx", "3xx")
_ANSWER = ("2xx", "3xx", "4xx")

_CAN_END: tuple[tuple[Outcome, tuple[Tier, ...], tuple[str, ...]], ...] = (
    (Outcome.FRESH, _STORED, _BODY),
    (Outcome.STALE_REFRESHING, _STORED, _BODY),
    (Outcome.STALE_ERROR, _STORED, _BODY),
    (Outcome.STALE_SHIELDED, _STORED, _BODY),
    (Outcome.NEGATIVE, _STORED, ("4xx",)),
    (Outcome.FILLED, _FETCHED, _ANSWER),
    (Outcome.REVALIDATED, _FETCHED, _ANSWER),
    # From L2 where another replica fetched.
    (Outcome.COLLAPSED, (Tier.L2, *_FETCHED), _ANSWER),
    # Writes and the mode `bypass` pass whatever the API answers.
    (Outcome.BYPASSED, _FETCHED, STATUS_CLASSES),
    # What the API says against this caller.
    (Outcome.REJECTED, _FETCHED, ("4xx",)),
    # What we say against the request; 5xx is the 504 of `only-if-cached`.
    (Outcome.REJECTED, _NOWHERE, ("4xx", "5xx")),
    # 4xx is the 412 of a version that is not there yet.
    (Outcome.FAILED, _NOWHERE, ("4xx", "5xx")),
)

POSSIBLE: tuple[tuple[Outcome, Tier, str], ...] = tuple(
    (outcome, tier, status)
    for outcome, tiers, statuses in _CAN_END
    for tier in tiers
    for status in statuses
)

_AS_SET = frozenset(POSSIBLE)


def can_end(outcome: Outcome, tier: Tier, status: str) -> bool:
    """Whether a request can end so; `status` is a class such as `2xx`."""
    return (outcome, tier, status) in _AS_SET
