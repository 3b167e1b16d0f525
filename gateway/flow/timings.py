"""What the time of a request went into: the parts that are waited for, each as a stretch.

A fetch is shared, and its callers join and leave as they please: the fetch notes its stretches
once, and each caller takes those that fell into its own wait. The task that is watched stands
in a context variable, since what is waited for lies several calls below whoever wants to know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from gateway.core.vocabulary import Part
from gateway.ports import Clock


@dataclass(slots=True)
class Interval:
    """From when to when (monotonic) a part took; it has no end while it lasts."""

    part: Part
    began: float
    ended: float = math.inf


@dataclass(slots=True, eq=False)
class Spent:
    """The stretches of one request, or of one fetch."""

    clock: Clock
    stretches: list[Interval] = field(default_factory=list)

    def begin(self, part: Part) -> Interval:
        """That part is waited for from now on."""
        stretch = Interval(part, self.clock.monotonic())
        self.stretches.append(stretch)
        return stretch

    def end(self, stretch: Interval) -> None:
        """It is over."""
        stretch.ended = self.clock.monotonic()

    def seconds(self) -> dict[Part, float]:
        """How long each part took in all, in the order in which they began."""
        sums: dict[Part, float] = {}
        now = self.clock.monotonic()
        for each in self.stretches:
            sums[each.part] = sums.get(each.part, 0.0) + min(each.ended, now) - each.began
        return sums

    def share(self, shared: Spent, since: float) -> None:
        """Take what of another's stretches falls between `since` and now."""
        now = self.clock.monotonic()
        for each in shared.stretches:
            began, ended = max(each.began, since), min(each.ended, now)
            if ended >= began:
                self.stretches.append(Interval(each.part, began, ended))


_watched: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def watched(spent: Spent | None) -> Iterator[None]:
    """What is waited for inside is noted there, or nowhere."""
    before = _watched.set(spent)
    try:
        yield
    finally:
        _watched.reset(before)


@contextmanager
def sharing(shared: Spent | None) -> Iterator[None]:
    """What another one notes while inside is noted for who waits here, too."""
    mine = _watched.get()
    if mine is None or shared is None:
        yield
        return
    since = mine.clock.monotonic()
    try:
        yield
    finally:
        mine.share(shared, since)


@contextmanager
def on(part: Part) -> Iterator[None]:
    """What is waited for inside is that part of the whole."""
    spent = _watched.get()
    if spent is None:
        yield
        return
    stretch = spent.begin(part)
    try:
        yield
    finally:
        spent.end(stretch)
