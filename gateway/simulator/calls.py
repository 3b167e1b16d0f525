"""One call to the API as the simulator looks at it: whose, of which kind, for which training."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from starlette.datastructures import Headers, QueryParams


class CallKind(StrEnum):
    """What a call is about, as far as faults care."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read to its end; `endpoint` is the method and the route's template."""

    method: str
    path: str
    endpoint: str
    kind: CallKind
    training_id: str | None
    token: str | None
    query: QueryParams
    headers: Headers
    body: bytes
