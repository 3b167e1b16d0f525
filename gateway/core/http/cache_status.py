"""The field `Cache-Status` of a response (RFC 9211): how the cache handled the request."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.vocabulary import Detail, Forward, NotStoredReason


@dataclass(frozen=True, slots=True)
class Handling:
    """How the cache handled a request, in the terms of Cache-Status (RFC 9211).

    `forward` None: a hit. `forward_status` None: the upstream sent no response, or a body that is
    no training. `outdated`: the stored response was invalidated, and is used for rescue, so it
    counts as stale.
    """

    detail: Detail | None = None
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    not_stored: NotStoredReason | None = None
    collapsed: bool = False
    outdated: bool = False


# The handling of hits. The values are made in advance, because many hits share them.
HITS = {detail: Handling(detail) for detail in Detail}


def cache_status(handling: Handling, ttl: float | None) -> bytes:
    """The field's value. `ttl` is in seconds, and negative for a stale response (None: left
    out)."""
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
