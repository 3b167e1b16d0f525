"""Reading the body of an order: bounded in size and in time. What it says is the business of
admin/orders."""

from __future__ import annotations

from typing import Final

from starlette.requests import ClientDisconnect, Request

from gateway.core.errors import BadRequest, TooLarge
from gateway.ports import Deadline

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
