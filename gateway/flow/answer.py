"""`Ask` and `Answer`: a request for a training, and the content that answers the request."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.core.http.cache_status import HITS, Handling
from gateway.core.http.fields import Reply
from gateway.core.plan import Ask
from gateway.core.vocabulary import Detail, Outcome, Tier
from gateway.ports import Held

__all__ = ["FRESH", "HIT", "L1", "Answer", "Ask", "new_answer"]


class Answer(NamedTuple):
    """The content to send, and its source. If `content` is a `Reply`, a response of the upstream is
    passed on."""

    content: Held | Reply
    outcome: Outcome
    tier: Tier
    handling: Handling


# Fresh hits in L1 use these names, because it is slow to find a member of an enum, or to call the
# constructor of a named tuple.
FRESH, L1, HIT = Outcome.FRESH, Tier.L1, HITS[Detail.L1]
new_answer: Final = tuple.__new__
