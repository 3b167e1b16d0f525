"""What is read of a request in the same way on both planes: the id or partition that it names, and
its body, bounded in size and in time. Below that one request while it is answered (`Exchange`), and
what is told of it: to the log, and to the caller about its own rate.

Nothing is decided here. What lies at a path, and who may ask for it, is the planes' own business;
what the body of an order says is that of admin/orders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from gateway.core.access.caller import Caller
from gateway.core.access.registry import Allowance
from gateway.core.errors import BadId, BadRequest, TooLarge
from gateway.core.http.fields import Headers
from gateway.core.http.traceparent import sampled_trace_of, trace_id_of
from gateway.core.upstream.training import is_training_id
from gateway.core.vocabulary import Detail, Outcome, Part, Problem, Tier
from gateway.flow.timings import Spent
from gateway.ports import AccessLine, Deadline

ID_GRAMMAR = "an id has 1 to 128 characters from A-Z a-z 0-9 . _ ~ - and is not . or .."

TRAININGS: Final = b"/training/"
# As spans name it: without an id.
TRAINING_ROUTE: Final = "/training/{id}"

PARTITION = "[0-9a-f]{32}"

_PARTITION = re.compile(PARTITION)


def training_id(raw_path: bytes, prefix: bytes = TRAININGS) -> str | None:
    """The id that the undecoded path names, None where it is no path of a training.

    Raises BadId where it should be one and is not.
    """
    if not raw_path.startswith(prefix):
        return None
    raw = raw_path[len(prefix) :]
    if not raw or b"/" in raw:
        return None
    # Latin-1 reads every byte; those beyond ASCII are then in no id.
    decoded = unquote_to_bytes(raw).decode("latin-1")
    if not is_training_id(decoded):
        raise BadId(ID_GRAMMAR)
    return decoded


def raw_path(scope: Scope) -> bytes:
    """The path before decoding; ASGI servers may leave it out, then it needs none."""
    raw = scope.get("raw_path")
    if isinstance(raw, bytes):
        return raw
    path: str = scope["path"]
    return path.encode("utf-8")


def is_partition(text: str) -> bool:
    """Whether it can be the name of a partition (see `core.access.partition_of`)."""
    return _PARTITION.fullmatch(text) is not None


_PATIENCE: Final = 10.0


async def read_body(request: Request, most: int, patience: float = _PATIENCE) -> bytes:
    """The whole body, within so many seconds; raises TooLarge beyond `most` bytes, and BadRequest
    where it does not come to its end."""
    try:
        async with Deadline(patience):
            return await _gathered(request, most)
    except TimeoutError as error:
        raise BadRequest(f"the body did not arrive within {patience:g} s") from error
    except ClientDisconnect as error:
        raise BadRequest("the body broke off") from error


async def _gathered(request: Request, most: int) -> bytes:
    """What came, counted as it comes: `Content-Length` may be missing."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"a body has {most} bytes at most: split the order")
    return bytes(body)


class AccessLog(Protocol):
    """Where answered requests are written down, or not.

    Routine answers that took at most `brief` seconds have no line while `unlogged`, a list of one
    number, holds more than 0: they count it down, and need not be weighed.
    """

    unlogged: list[float]
    brief: float

    def is_routine(self, outcome: Outcome) -> bool:
        """Whether a success with that outcome is a routine answer."""
        ...

    def weigh(
        self, outcome: Outcome, status: int, seconds: float, detail: str | None = None
    ) -> int | None:
        """The weight of a line about such an answer, None where none is due; asked once each."""
        ...

    def put(self, line: AccessLine, weight: int) -> None:
        """Write it; never raises."""
        ...


@dataclass(slots=True)
class Exchange:
    """What is known of a request while it is being answered; `began` is monotonic, `fields`
    are what every answer to this caller carries, `spent` is where its time goes. `route` and
    `path` are those of the training, the first without its id."""

    request_id: str
    method: str
    began: float
    spent: Spent
    traceparent: bytes | None = None
    route: str | None = None
    path: str | None = None
    training_id: str | None = None
    caller: Caller | None = None
    fields: Headers = ()

    def name(self, training_id: str | None, path: str) -> None:
        """It is about that training, or trainings as a whole, whose path that is."""
        self.training_id, self.path, self.route = training_id, path, path
        if training_id is not None:
            self.route = TRAINING_ROUTE + path.removeprefix(f"/training/{training_id}")

    @property
    def trace_id(self) -> str | None:
        """The caller's trace, or one that began here."""
        return trace_id_of(self.traceparent)

    @property
    def sampled(self) -> bytes | None:
        """The same, where somebody keeps it."""
        return sampled_trace_of(self.traceparent)

    @property
    def parts(self) -> Mapping[Part, float] | None:
        """Seconds that were waited for each; None where nothing was."""
        return self.spent.seconds() or None


@dataclass(frozen=True, slots=True)
class End:
    """How a request ended, in the words of metrics and logs."""

    outcome: Outcome
    tier: Tier
    detail: Detail | Problem | None


def client_result(status: int, detail: Detail | Problem | None) -> str:
    """How the client is counted: `served`, `limited` by its own rate, or `refused`."""
    if detail is Problem.CLIENT_RATE_LIMITED:
        return "limited"
    return "refused" if status in (401, 403) else "served"


def rate_limit_fields(allowance: Allowance, now: float) -> Headers:
    """What a caller is told of its own rate (draft-ietf-httpapi-ratelimit-headers-10).

    The policy is told in whole seconds, as the draft has it; `r` may be asked for at once, and
    in `t` seconds all of the burst is there again.
    """
    rate = allowance.rate
    seconds = math.ceil(rate.window)
    quota = int(rate.limit * seconds / rate.window)
    remaining, full_in = allowance.remaining(now), math.ceil(allowance.full_in(now))
    return (
        (b"ratelimit-policy", b'"client";q=%d;w=%d' % (quota, seconds)),
        (b"ratelimit", b'"client";r=%d;t=%d' % (remaining, full_in)),
    )
