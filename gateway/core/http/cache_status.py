"""The `Cache-Status` of an answer (RFC 9211): how the cache dealt with a request, in one field."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.vocabulary import Detail, Forward, NotStoredReason


@dataclass(frozen=True, slots=True)
class Handling:
    """How the cache dealt with a request, as Cache-Status tells it (RFC 9211).

    `forward` None is a hit. `forward_status` is the upstream's, None where it sent none.
    `outdated`: the answer was ruled out since it was stored and only rescues, so that it is
    stale whatever its lifetime says.
    """

    detail: Detail | None = None
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    not_stored: NotStoredReason | None = None
    collapsed: bool = False
    outdated: bool = False


# Of answers for which nobody was asked: made once, since each hit has one.
HITS = {detail: Handling(detail) for detail in Detail}


def cache_status(handling: Handling, ttl: float | None) -> bytes:
    """The field's value; `ttl` in seconds, negative for a stale answer, None to leave it."""
    parts = ["gateway"]
    if handling.forward is None:
        parts.append("hit")
    else:
        parts.append(f"fwd={handling.forward}")
        if handling.forward_status is not None:
            parts.append(f"fwd-status={handling.forward_status}")
        if handling.stored:
            parts.append("stored")
        if handling.collapsed:
            parts.append("collapsed")
    if ttl is not None:
        parts.append(f"ttl={int(ttl // 1)}")
    if handling.not_stored is not None:
        parts.append(f"detail=not-stored-{handling.not_stored}")
    elif handling.detail is not None:
        parts.append(f"detail={handling.detail}")
    return "; ".join(parts).encode("ascii")
