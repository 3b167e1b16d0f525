"""The parameters and the result of request/response_selection."""

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
    """One request for a training, whose caller is known and whose id is valid.

    `directives` None: any stored answer may be served. `at_least` None: any version may be served.
    """

    key: Key
    caller: Caller
    only_if_cached: bool = False
    extra: Headers = field(default=(), repr=False)
    directives: RequestDirectives | None = None
    at_least: Instant | None = None


class Answer(NamedTuple):
    """What to send, and where it came from. A Reply is the upstream's own response to the
    caller."""

    content: Held | Reply
    outcome: Outcome
    tier: Tier
    handling: Handling


# The parts of a fresh hit in L1, and the fast way to make an Answer. Looking up members of enums
# and the constructor of a named tuple are expensive, and each hit would need them.
FRESH, L1, HIT = Outcome.FRESH, Tier.L1, HITS[Detail.L1]
new_answer: Final = tuple.__new__
