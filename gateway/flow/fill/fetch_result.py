"""What is asked of a fetch, and what it brings. Which of it is served is the handler's business."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.errors import UpstreamError, VersionDoubted
from gateway.core.http.fields import Headers
from gateway.core.http.response import Reply
from gateway.core.vocabulary import FailureReason, NotStoredReason, Purpose, StoreVerdict
from gateway.ports import Held

_DOUBTED: dict[StoreVerdict | None, str] = {
    StoreVerdict.OLDER: "an older version came than the one known",
    StoreVerdict.AHEAD: "a version came that is far in the future",
}


@dataclass(frozen=True, slots=True)
class Want:
    """What is to be fetched, for whom and why; `held` is what is stored of it already.

    `alone`: this replica is to ask, whoever else does; `bypass`: nothing is to be kept.
    """

    key: Key
    caller: Caller
    purpose: Purpose
    held: Held | None = None
    extra: Headers = field(default=(), repr=False)
    alone: bool = False
    bypass: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """An answer that can be given; `verdict` None where it was not offered to the store."""

    held: Held
    forward_status: int
    verdict: StoreVerdict | None
    not_stored: NotStoredReason | None


@dataclass(frozen=True, slots=True)
class Passed:
    """The upstream's own 4xx to this caller; nothing is stored."""

    reply: Reply


def failing(want: Want, landed: Filled | Passed) -> UpstreamError | None:
    """Why the key is left alone for a while although an answer came; None where it is not."""
    vain = fruitless(landed)
    is_doubted = isinstance(vain, VersionDoubted)
    return vain if is_doubted or want.purpose is Purpose.REFRESH else None


def fruitless(landed: Filled | Passed) -> UpstreamError | None:
    """Why what was stored is still there and no younger; None where it was dealt with."""
    if isinstance(landed, Filled):
        what = _DOUBTED.get(landed.verdict)
        if what is None:
            return None
        return VersionDoubted(what, FailureReason.PROTOCOL, status=landed.forward_status)
    status = landed.reply.status
    if status in (401, 403):
        return None
    what = f"status {status} came, which neither renews nor replaces"
    return UpstreamError(what, FailureReason.PROTOCOL, status=status)
