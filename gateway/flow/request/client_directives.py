"""Requests that say what stored answer they would take, and whether they are granted it.

Lives here: `freshness.client_directives`. What such a directive is stands in
core/cache/request_directives, what is answered without one in handler.
"""

from __future__ import annotations

from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.errors import OnlyIfCached
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.request.call_share import CallShare
from gateway.flow.request.handler import Serving
from gateway.ports import Clock

# Seconds for which an entry that was fetched for a directive is good enough for the next one.
_AGAIN_AFTER: Final = 10.0
_MOST: Final = 10_000


class Grants:
    """Which directives may cost a call: at most one in ten seconds for a key, counted in this
    replica, and those that the share pays for."""

    def __init__(self, clock: Clock, share: CallShare) -> None:
        self._clock = clock
        self._share = share
        self._last: dict[Key, float] = {}

    def take(self, key: Key, caller: Caller) -> bool:
        """Whether this one may; counted as made if so."""
        now = self._clock.monotonic()
        if now - self._last.get(key, now - _AGAIN_AFTER) < _AGAIN_AFTER:
            return False
        if self._share.take(caller) is None:
            return False
        self._last.pop(key, None)
        self._last[key] = now
        if len(self._last) > _MOST:
            del self._last[next(iter(self._last))]
        return True


class DirectiveHandler:
    """Answers requests with directives; `grants` None: all of them are granted."""

    def __init__(self, serving: Serving, clock: Clock, grants: Grants | None) -> None:
        self._serving = serving
        self._clock = clock
        self._grants = grants

    async def get(self, ask: Ask) -> Answer:
        """As Serving.get, by the caller's directives where they are granted."""
        directives = ask.directives
        if directives is None:
            return await self._serving.get(ask)
        seen, now = await self._serving.seen(ask), self._clock.now()
        if seen is not None and not directives.refuse(seen.held.entry, now):
            if directives.take_stale(seen.held.entry, now) and self._serving.may_be_stale(seen):
                return self._serving.stale_refreshing(ask, seen)
            return await self._serving.get(ask)
        if (seen is None and not directives.no_store) or not self._granted(ask):
            return await self._serving.get(ask)
        return await self._fetched(ask, seen)

    def _granted(self, ask: Ask) -> bool:
        return self._grants is None or self._grants.take(ask.key, ask.caller)

    async def _fetched(self, ask: Ask, seen: Seen | None) -> Answer:
        if ask.only_if_cached:
            raise OnlyIfCached
        assert ask.directives is not None, "only a directive is fetched for"
        return await self._serving.from_upstream(ask, seen, keep=not ask.directives.no_store)
