"""What is asked of the handler of requests, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.http.cache_control import RequestDirectives
from gateway.core.http.cache_status import HITS, Handling
from gateway.core.http.fields import Headers
from gateway.core.http.response import Reply
from gateway.core.instant import Instant
from gateway.core.vocabulary import Detail, Outcome, Tier
from gateway.ports import Held


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a training, its caller let in and its id found good; `directives` None where
    any stored answer will do, `at_least` where any version will."""

    key: Key
    caller: Caller
    only_if_cached: bool = False
    extra: Headers = field(default=(), repr=False)
    directives: RequestDirectives | None = None
    at_least: Instant | None = None


class Answer(NamedTuple):
    """What to send and how it came about; a Reply is the upstream's own word to the caller."""

    content: Held | Reply
    outcome: Outcome
    tier: Tier
    handling: Handling


# Of a fresh hit in L1, and the way to make one: names of enums are dear, and so is the
# constructor of a named tuple. Each hit would pay for all of them.
FRESH, L1, HIT = Outcome.FRESH, Tier.L1, HITS[Detail.L1]
new_answer: Final = tuple.__new__
