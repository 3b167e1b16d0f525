"""Tells an operator which response of a training each tier has, and when the next refresh comes.

The result has no body and no credential.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import Marks, State, better, state_of
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
        held = self._local.peek(key)
        local = None if held is None else held.entry
        try:
            found = await self._shared.lookup(key)
        except RedisUnavailable as away:
            told = self._entry(local, State.CURRENT)
            next_refresh = self._next_refresh(key, local, State.CURRENT)
            return self._words(key, told, None, None, next_refresh) | {"redis": str(away)}
        marks, facts = found.marks, None if local is None else local.facts
        best, state = better(marks, found.stored, facts)
        return self._words(
            key,
            self._entry(local, _state(local, marks)),
            self._entry(found.entry, _state(found.entry, marks)),
            marks,
            self._next_refresh(key, local if best is facts else found.entry, state),
        )

    def _words(
        self,
        key: Key,
        local: Words | None,
        shared: Words | None,
        marks: Marks | None,
        next_refresh: str,
    ) -> Words:
        state = self._list_state(key.partition)
        said: Words = {} if state is None else {"list": _OF_THE_LIST[state]}
        bound = None if marks is None or marks.training is None else marks.training.bound
        return said | {
            "id": key.training_id,
            "partition": key.partition,
            "l1": local,
            "l2": shared if self._shared.holds_bodies else None,
            "bound": None if bound is None else to_rfc3339(bound),
            "next_refresh": next_refresh,
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


def _state(entry: Entry | None, marks: Marks) -> State:
    return State.GONE if entry is None else state_of(entry.facts, marks)
