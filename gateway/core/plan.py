"""Decides what happens to a request before a fetch. The first row that applies decides.

| request or state                     | stored response             | plan              |
| ------------------------------------ | --------------------------- | ----------------- |
| needs a version                      | none, older, ruled out      | FETCH_VERSION (*) |
| mode `frozen`                        | fresh                       | SERVE             |
|                                      | usable for rescue           | SERVE_FROZEN      |
|                                      | other                       | FROZEN            |
| directives refuse the response       | any                         | FETCH_ANEW (*)    |
| `max-stale` allows its age           | stale, usable for rescue    | SERVE_AND_REFRESH |
| any                                  | fresh                       | SERVE             |
|                                      | stale, just answered        | SERVE_STALE       |
|                                      | in stale-while-revalidate   | SERVE_AND_REFRESH |
| `no-store`                           | other                       | FETCH_ANEW (*)    |
| any                                  | in stale-if-error           | WAIT_SOFTLY (*)   |
|                                      | other                       | FETCH (*)         |

(*) ONLY_IF_CACHED if the request has `only-if-cached`. While the key is left alone,
SERVE_LEFT_ALONE takes the place of SERVE_AND_REFRESH, and of all that is planned in
stale-if-error for a response that the directives do not refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.policy import Plan, Rules
from gateway.core.http.cache_control import RequestDirectives
from gateway.core.http.fields import Headers
from gateway.core.instant import Instant

_LEAVES_ALONE: Final = (Plan.SERVE_AND_REFRESH, Plan.WAIT_SOFTLY)
_FETCHES: Final = (Plan.WAIT_SOFTLY, Plan.FETCH)


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


def plan(
    entry: Entry | None,
    ask: Ask,
    now: float,
    rules: Rules,
    *,
    only_rescue: bool = False,
    is_left_alone: bool = False,
    is_frozen: bool = False,
) -> Plan:
    """What happens to a request. `entry`: the stored response that fits it. `is_left_alone`: the
    last fetch of the key failed a short time ago. The table above says which plan is chosen."""
    if ask.at_least is not None and (only_rescue or not reaches(entry, ask.at_least)):
        return Plan.ONLY_IF_CACHED if ask.only_if_cached else Plan.FETCH_VERSION
    by_entry = Plan.FETCH if entry is None else rules.plan(entry, now, only_rescue=only_rescue)
    if is_frozen and by_entry is not Plan.SERVE:
        may_rescue = entry is not None and rules.may_rescue(entry, now)
        return Plan.SERVE_FROZEN if may_rescue else Plan.FROZEN
    if ask.directives is not None and entry is not None and not is_frozen:
        age, lifetime = entry.age(now), entry.freshness_lifetime
        if refuses(ask.directives, age, lifetime):
            return Plan.ONLY_IF_CACHED if ask.only_if_cached else Plan.FETCH_ANEW
        is_stale = by_entry is not Plan.SERVE and not only_rescue
        if is_stale and takes_stale(ask.directives, age, lifetime) and rules.may_rescue(entry, now):
            by_entry = Plan.SERVE_AND_REFRESH
    if is_left_alone and by_entry in _LEAVES_ALONE:
        return Plan.SERVE_LEFT_ALONE
    if by_entry not in _FETCHES:
        return by_entry
    if ask.only_if_cached:
        return Plan.ONLY_IF_CACHED
    is_apart = ask.directives is not None and ask.directives.no_store
    return Plan.FETCH_ANEW if is_apart else by_entry


def reaches(entry: Entry | None, wanted: Instant) -> bool:
    """Whether the entry has the version `wanted` or a later one."""
    return entry is not None and entry.updated_at is not None and entry.updated_at >= wanted


def refuses(directives: RequestDirectives, age: float, lifetime: float) -> bool:
    """Whether the directives refuse a stored response of this age and freshness lifetime.

    `max-age` also refuses a stale response, except if `max-stale` allows it (RFC 9111, 5.2.1.1).
    `min-fresh` refuses a stale response even if `max-stale` allows it.
    """
    if directives.no_cache or (directives.max_age is not None and age > directives.max_age):
        return True
    if directives.min_fresh is not None and lifetime - age < directives.min_fresh:
        return True
    is_stale = directives.max_age is not None and age >= lifetime
    return is_stale and not takes_stale(directives, age, lifetime)


def takes_stale(directives: RequestDirectives, age: float, lifetime: float) -> bool:
    """Whether `max-stale` allows this age."""
    return directives.max_stale is not None and age - lifetime <= directives.max_stale
