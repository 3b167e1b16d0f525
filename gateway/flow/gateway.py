"""Answers requests for trainings: `core/plan` decides what happens to each of them."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.cache.policy import Plan
from gateway.core.errors import Frozen, OnlyIfCached, VersionNotReached
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.mode import NORMAL, THAW, Modes
from gateway.flow.request.client_directives import Grants
from gateway.flow.request.min_version import Versions
from gateway.flow.request.response_selection import Serving


class Gateway:
    """Answers all requests for trainings. `grants` limits the calls that directives cause (None: no
    request has directives)."""

    def __init__(
        self,
        serving: Serving,
        modes: Modes,
        *,
        versions: Versions,
        grants: Grants | None,
    ) -> None:
        self._serving = serving
        self.modes = modes
        self._versions = versions
        self.grants = grants

    @property
    def is_frozen(self) -> bool:
        """Whether the mode is `frozen`. Directives are ignored then."""
        return self.modes.current is not NORMAL

    async def get(self, ask: Ask) -> Answer:
        """The answer to the request. Raises an error if nothing can be served.

        If the request needs a version, the answer has this version or a later one, or is a 404 or
        410. No older version is served in place of an error of the fetch.
        """
        is_plain = ask.directives is None and ask.at_least is None and not self.is_frozen
        answer = self._serving.peek(ask) if is_plain else None
        if answer is not None:
            return answer
        seen = await self._serving.seen(ask)
        match self._serving.planned(ask, seen, is_frozen=self.is_frozen):
            case Plan.ONLY_IF_CACHED:
                raise OnlyIfCached
            case Plan.FROZEN:
                what = "nothing usable is stored, and nothing may be fetched"
                raise Frozen(what, retry_after=THAW)
            case Plan.FETCH_VERSION:
                return await self._version(ask, seen)
            case Plan.FETCH_ANEW:
                answer = await self._anew(ask, seen)
            case planned:
                answer = await self._serving.as_planned(planned, ask, seen)
        return self._versions.checked(ask, answer)

    async def _version(self, ask: Ask, seen: Seen | None) -> Answer:
        try:
            answer = await self._versions.fetched(ask, seen)
        except VersionNotReached as not_reached:
            if not not_reached.is_negative:
                raise
            answer = await self.get(replace(ask, at_least=None))  # a stored 404 is an answer too
        return self._versions.reached(ask, answer)

    async def _anew(self, ask: Ask, seen: Seen | None) -> Answer:
        """The answer of a fetch that a directive causes. If it may not cause one, the answer is the
        same as without directives."""
        directives, serving = ask.directives, self._serving
        if directives is None or self.grants is None or not self.grants.take(ask.key, ask.caller):
            bare = replace(ask, directives=None, at_least=None)
            return serving.peek(bare) or await serving.as_planned(
                serving.planned(bare, seen), ask, seen
            )
        return await serving.from_upstream(ask, seen, keep=not directives.no_store)
