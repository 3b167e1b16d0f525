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

    extra       the header fields of the request that are passed on to the upstream
    directives  the cache directives that apply in addition to `only_if_cached` (None: no others)
    at_least    the lowest version that may be served (None: any version may be served)
    """

    key: Key
    caller: Caller
    only_if_cached: bool = False
    extra: Headers = field(default=(), repr=False)
    directives: RequestDirectives | None = None
    at_least: Instant | None = None

    def for_id(self, training_id: str) -> Ask:
        """The same request for another training. `dataclasses.replace` takes five times as long."""
        key = Key(self.key.partition, training_id)
        rest = (self.only_if_cached, self.extra, self.directives, self.at_least)
        return Ask(key, self.caller, *rest)


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
