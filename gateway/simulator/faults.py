"""The ways to misbehave and which call meets which. What each does is in distortion and wire."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from gateway.simulator.calls import Call, CallKind


class FaultMode(StrEnum):
    """Every way in which the simulator misbehaves."""

    # Another answer instead of the API's.
    STATUS_500 = "status-500"
    STATUS_502 = "status-502"
    STATUS_503 = "status-503"
    STATUS_204 = "status-204"
    HTML_200 = "html-200"
    HTML_401 = "html-401"
    HTML_403 = "html-403"
    HTML_503 = "html-503"
    HTML_520 = "html-520"
    RATE_LIMITED = "rate-limited"
    REDIRECT = "redirect"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    GONE = "gone"
    LIST_REFUSED = "list-refused"
    # Items of the list that are not what a single call answers.
    LIST_REFORMATTED = "list-reformatted"
    LIST_FIELD_MISSING = "list-field-missing"
    LIST_ROUNDED = "list-rounded"
    LIST_ROW_TWICE = "list-row-twice"
    # The API's answer with something wrong about it.
    STATUS_201 = "status-201"
    WRONG_ID = "wrong-id"
    MISSING_ID = "missing-id"
    MISSING_UPDATED_AT = "missing-updated-at"
    BAD_UPDATED_AT = "bad-updated-at"
    NAIVE_UPDATED_AT = "naive-updated-at"
    WRONG_TYPE = "wrong-type"
    REGRESS = "regress"
    MALFORMED_JSON = "malformed-json"
    NOT_AN_OBJECT = "not-an-object"
    TOO_LARGE = "too-large"
    TOO_LARGE_CHUNKED = "too-large-chunked"
    GZIP = "gzip"
    # The right answer, badly delivered or not at all.
    SLOW = "slow"
    LATE = "late"
    HELD = "held"
    HANG = "hang"
    DRIBBLE = "dribble"
    CUT_BODY = "cut-body"
    CUT_CHUNKED = "cut-chunked"
    CUT_NO_LENGTH = "cut-no-length"
    RESET = "reset"
    HANG_UP = "hang-up"


ITEM_MODES = frozenset(
    {
        FaultMode.WRONG_ID,
        FaultMode.MISSING_ID,
        FaultMode.MISSING_UPDATED_AT,
        FaultMode.BAD_UPDATED_AT,
        FaultMode.NAIVE_UPDATED_AT,
        FaultMode.WRONG_TYPE,
        FaultMode.REGRESS,
    }
)
"""These spoil a training wherever it appears, also as an item of a list."""

_LIST_MODES = frozenset(
    {
        FaultMode.LIST_REFUSED,
        FaultMode.LIST_REFORMATTED,
        FaultMode.LIST_FIELD_MISSING,
        FaultMode.LIST_ROUNDED,
        FaultMode.LIST_ROW_TWICE,
    }
)

_DELAYS = {
    FaultMode.SLOW: 1.0,
    FaultMode.LATE: 1.0,
    FaultMode.DRIBBLE: 0.05,
    FaultMode.RATE_LIMITED: 1.0,
    FaultMode.HANG_UP: 0.003,
}
_DELAY_IS_THEIRS = {
    FaultMode.LATE,
    FaultMode.DRIBBLE,
    FaultMode.RATE_LIMITED,
    FaultMode.HANG,
    FaultMode.HANG_UP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to misbehave, and for whom; `None` means all, for ever, or the mode's own measure."""

    mode: FaultMode
    ids: frozenset[str] | None = None
    on: frozenset[CallKind] | None = None
    delay: float | None = None
    """Seconds: before the answer, or, `late`, before it leaves as it was when asked for; per byte
    of a dribble; of a 429's `Retry-After`; of a hang; between an answer and the end of its
    connection, of which nothing was said."""
    size: int | None = None
    """Bytes of a body that is too large."""

    def concerns(self, call: Call) -> bool:
        """Whether the call meets this fault."""
        if self.on is not None and call.kind not in self.on:
            return False
        if self.mode in _LIST_MODES:
            return call.kind is CallKind.LIST
        if self.ids is None or call.training_id in self.ids:
            return True
        return call.kind is CallKind.LIST and self.mode in ITEM_MODES

    def spoils(self, training_id: object) -> bool:
        """Whether this training is spoilt where it appears."""
        return self.ids is None or training_id in self.ids

    @property
    def own_delay(self) -> float:
        """Seconds, as this mode means them."""
        return self.delay if self.delay is not None else _DELAYS.get(self.mode, 0.0)

    @property
    def delay_before(self) -> float:
        """Seconds to wait before anything else happens."""
        return 0.0 if self.mode in _DELAY_IS_THEIRS else self.own_delay


class FaultBoard:
    """The faults in force; where several concern a call, the newest one wins."""

    def __init__(self) -> None:
        self._posted: list[_Posted] = []
        self._lifted = asyncio.Event()

    @property
    def lifted(self) -> asyncio.Event:
        """Set when the faults now in force are cleared: what `held` calls wait for."""
        return self._lifted

    def post(self, fault: Fault, count: int | None = None) -> None:
        """Put a fault in force, for `count` calls or until cleared."""
        self._posted.insert(0, _Posted(fault, count))

    def clear(self) -> None:
        """Behave again, and let go the calls that are held."""
        self._posted.clear()
        self._lifted.set()
        self._lifted = asyncio.Event()

    def pick(self, call: Call) -> Fault | None:
        """The fault that this call meets; it is one fewer left of it."""
        posted = next((posted for posted in self._posted if posted.fault.concerns(call)), None)
        if posted is None:
            return None
        if posted.left is not None:
            posted.left -= 1
            self._posted = [each for each in self._posted if each.left != 0]
        return posted.fault


@dataclass(slots=True)
class _Posted:
    fault: Fault
    left: int | None
