"""`Ask` and `Answer`: a request for a training, and the content that answers the request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.http.cache_control import RequestDirectives
from gateway.core.http.cache_status import HITS, Handling
from gateway.core.http.fields import Headers, Reply
from gateway.core.instant import Instant
from gateway.core.vocabulary import Detail, Outcome, Tier
from gateway.ports import Held


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a training, with a known caller and a valid id.

    `directives` None: no cache directives apply, except `only_if_cached`. `at_least` None: any
    version may be served.
    """

    key: Key
    caller: Caller
    only_if_cached: bool = False
    extra: Headers = field(default=(), repr=False)
    directives: RequestDirectives | None = None
    at_least: Instant | None = None


class Answer(NamedTuple):
    """The content to send, and its source. A `Reply` is a response of the upstream, passed on."""

    content: Held | Reply
    outcome: Outcome
    tier: Tier
    handling: Handling


# Fresh hits in L1 use these names: an enum's look-up and a named tuple's constructor are slow.
FRESH, L1, HIT = Outcome.FRESH, Tier.L1, HITS[Detail.L1]
new_answer: Final = tuple.__new__
