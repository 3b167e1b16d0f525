"""Tells an operator which response of a training each tier has, and when the next refresh comes.

The result has no body and no credential.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.cache.entry import Entry, Floor, Key
from gateway.core.cache.policy import Candidate, Rules, reconcile
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
        """What each tier has for the key, the key's version floor, and when the next refresh
        comes."""
        held = self._local.peek(key)
        local = None if held is None else held.entry
        try:
            found = await self._shared.lookup(key)
        except RedisUnavailable as away:
            candidate = None if local is None else Candidate(local, below_floor=False)
            told = self._entry(local, below=False)
            return self._words(key, told, None, None, candidate) | {"redis": str(away)}
        shared, floor = found.entry, found.floor
        return self._words(
            key,
            self._entry(local, below=_is_below(local, floor)),
            self._entry(shared, below=_is_below(shared, floor)),
            floor,
            reconcile(local, shared, floor),
        )

    def _words(
        self,
        key: Key,
        local: Words | None,
        shared: Words | None,
        floor: Floor | None,
        candidate: Candidate | None,
    ) -> Words:
        state = self._list_state(key.partition)
        said: Words = {} if state is None else {"list": _OF_THE_LIST[state]}
        return said | {
            "id": key.training_id,
            "partition": key.partition,
            "l1": local,
            "l2": shared if self._shared.holds_bodies else None,
            "floor": None if floor is None else _floor(floor),
            "next_refresh": self._next_refresh(key, candidate),
        }

    def _entry(self, entry: Entry | None, *, below: bool) -> Words | None:
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
            "generation": entry.generation,
            "below_floor": below,
            "plan": self._rules.plan(entry, now, below_floor=below).value,
        }

    def _next_refresh(self, key: Key, candidate: Candidate | None) -> str:
        if self._serving.fills.under_way(key) is not None:
            return "now: a fetch is under way"
        place = self._serving.refresher.place(key)
        if place is not None:
            return "as soon as a call is free: place {} of {} in the queue".format(*place)
        failure = self._serving.standing(key)
        return self._planned(key, candidate) if failure is None else self._left_alone(failure)

    def _left_alone(self, failure: Failure) -> str:
        left = failure.until - self._clock.monotonic()
        many = failure.attempts > 1
        failed = f"the last {failure.attempts} fetches failed" if many else "the last fetch failed"
        return f"on the first request after {left:.1f} s: {failed} ({failure.detail})"

    def _planned(self, key: Key, candidate: Candidate | None) -> str:
        if candidate is None:
            return "on the first request: nothing is stored"
        if candidate.below_floor:
            return "on the next request: the response is below the floor, or the floor is lost"
        entry = candidate.entry
        left = entry.freshness_lifetime - entry.age(self._clock.now())
        if left > 0:
            return f"on the first request after {left:.1f} s, when the response is stale"
        return "on the next request: the response is stale"


def _is_below(entry: Entry | None, floor: Floor | None) -> bool:
    return entry is not None and (floor is None or entry.is_below(floor))


def _floor(floor: Floor) -> Words:
    updated_at = None if floor.updated_at is None else to_rfc3339(floor.updated_at)
    return {
        "epoch": floor.epoch,
        "generation": floor.generation,
        "updated_at": updated_at,
        "digest": floor.digest or None,
        "confirmed_at": floor.started or None,
    }
