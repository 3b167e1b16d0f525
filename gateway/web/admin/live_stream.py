"""The stream behind the live page: a line of JSON now, and another whenever there is news.

How it is told, to how many, and when it ends; what is told is for `Operations`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.core.vocabulary import Problem
from gateway.web.admin.guard import problem_response
from gateway.web.problems import ProblemAnswer

KIND: Final = "application/x-ndjson"
# Tabs that may be open: each costs a rendering a second.
MOST: Final = 32

_FULL: Final = ProblemAnswer(
    Problem.TOO_MANY_CONNECTIONS,
    f"{MOST} watch already; close a page of them",
    extra=((b"retry-after", b"5"),),
)
Place = tuple[int, int]


class Watched(Protocol):
    """What there is to see."""

    def tell(self, place: Place) -> tuple[dict[str, object], Place]:
        """What is new since that place, and the place after it; (0, 0) was told nothing."""
        ...

    async def pause(self) -> bool:
        """Wait until there is something new to tell; False where it is over."""
        ...


class Stream:
    """Answers those who watch."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.watchers = 0

    async def answer(self, request: Request) -> Response:
        """Lines until the caller leaves, or there is nothing more to see; a HEAD has none."""
        if request.method == "HEAD":
            return Response(media_type=KIND)
        if self.watchers >= MOST:
            return problem_response(request.scope, _FULL)
        # An nginx in between would else keep lines back until it has a buffer full of them.
        unbuffered = {"x-accel-buffering": "no"}
        return StreamingResponse(self._lines(), media_type=KIND, headers=unbuffered)

    async def _lines(self) -> AsyncIterator[bytes]:
        self.watchers += 1
        place, goes_on = (0, 0), True
        try:
            while goes_on:
                words, place = self._watched.tell(place)
                # What JSON has no form for is shown as text, as elsewhere on this plane.
                yield msgspec.json.encode(words, enc_hook=str) + b"\n"
                goes_on = await self._watched.pause()
        finally:
            self.watchers -= 1
