"""What is read of a request in the same way on both planes: the id or partition that it names, and
its body, bounded in size and in time.

What lies at a path, and who may ask for it, is the planes' own business; what the body of an order
says is that of admin/orders.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from gateway.core.errors import BadId, BadRequest, TooLarge
from gateway.core.upstream.training import is_training_id
from gateway.ports import Deadline

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
