"""Tells an operator which response of a training each tier has, and when the next refresh comes.

The result has no body and no credential.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import State, better, states
from gateway.core.cache.policy import Rules
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import to_rfc3339
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.fill.backoff import Failure
from gateway.flow.request.response_selection import Serving
from gateway.ports import Clock, SharedStore

Words = dict[str, object]

_OF_THE_LIST: Final = {
    "unproven": "unproven: its items are not stored until more of them were compared",
    "equal": "equal to single answers: its items are stored",
    "different": "different: its items have other bytes than single answers, and are not stored",
    "behind": "behind: it is older than single answers, so it confirms and stores nothing",
}


class Explainer:
    """Reads both tiers without changing them."""

    def __init__(
        self,
        local: LocalStore,
        shared: SharedStore,
        clock: Clock,
        rules: Rules,
        serving: Serving,
        *,
        list_state: Callable[[str], str | None],
    ) -> None:
        self._list_state = list_state
        self._serving = serving
        self._local = local
        self._shared = shared
        self._clock = clock
        self._rules = rules

    def partitions(self, training_id: str) -> list[str]:
        """The partitions in which this replica holds the training."""
        return sorted(key.partition for key in self._local.keys(training_ids={training_id}))

    async def explain(self, key: Key) -> Words:
        """What each tier has for the key, the lowest version that may be served, and when the next
        refresh comes."""
        list_state, held = self._list_state(key.partition), self._local.peek(key)
        said: Words = {} if list_state is None else {"list": _OF_THE_LIST[list_state]}
        said |= {"id": key.training_id, "partition": key.partition}
        local = None if held is None else held.entry
        try:
            found = await self._shared.lookup(key)
        except RedisUnavailable as away:
            said |= {"l1": self._entry(local, State.CURRENT), "l2": None, "bound": None}
            said |= {"next_refresh": self._next_refresh(key, local, State.CURRENT)}
            return said | {"redis": str(away)}
        marks, facts = found.marks, None if local is None else local.facts
        best, state = better(marks, found.stored, facts)
        in_l2, in_l1 = states(marks, found.stored, facts)
        bound = marks.training.bound if marks.training else None
        next_read = local if best is facts else found.entry
        return said | {
            "l1": self._entry(local, in_l1),
            "l2": self._entry(found.entry, in_l2) if self._shared.holds_bodies else None,
            "bound": None if bound is None else to_rfc3339(bound),
            "next_refresh": self._next_refresh(key, next_read, state),
        }

    def _entry(self, entry: Entry | None, state: State) -> Words | None:
        if entry is None:
            return None
        now = self._clock.now()
        return {
            "status": entry.status,
            "updated_at": entry.updated_at_text or None,
            "digest": entry.digest,
            "bytes": len(entry.body),
            "age": round(entry.age(now), 3),
            "freshness_lifetime": round(entry.freshness_lifetime, 3),
            "state": state.name.lower(),
            "plan": self._rules.plan(entry, now, only_rescue=state is not State.CURRENT).value,
        }

    def _next_refresh(self, key: Key, entry: Entry | None, state: State) -> str:
        if self._serving.fills.under_way(key) is not None:
            return "now: a fetch is under way"
        place = self._serving.refresher.place(key)
        if place is not None:
            return "as soon as a call is free: place {} of {} in the queue".format(*place)
        failure = self._serving.standing(key)
        return self._planned(entry, state) if failure is None else self._left_alone(failure)

    def _left_alone(self, failure: Failure) -> str:
        left = failure.until - self._clock.monotonic()
        many = failure.attempts > 1
        failed = f"the last {failure.attempts} fetches failed" if many else "the last fetch failed"
        return f"on the first request after {left:.1f} s: {failed} ({failure.detail})"

    def _planned(self, entry: Entry | None, state: State) -> str:
        if entry is None:
            return "on the first request: nothing is stored"
        if state is not State.CURRENT:
            return "on the next request: an order ruled the response out, or a mark is lost"
        left = entry.freshness_lifetime - entry.age(self._clock.now())
        if left > 0:
            return f"on the first request after {left:.1f} s, when the response is stale"
        return "on the next request: the response is stale"
