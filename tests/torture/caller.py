"""One request on a connection of its own, and what came of it, however badly it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11
import msgspec

PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` 0 is no answer in time; `is_whole` False, it broke off.

    Field names are in lower case; `seconds` counts from the connection to the last byte.
    """

    status: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False
    seconds: float = PATIENCE

    @property
    def training(self) -> Mapping[str, object]:
        """The training that it brings, whole; nothing where it brings none."""
        if self.status != 200 or not self.is_whole:
            return {}
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}

    @property
    def age(self) -> float | None:
        """The seconds of its `Age`, None where it states none."""
        text = self.fields.get("age", "")
        return float(text) if text.isdecimal() else None

    @property
    def retry_after(self) -> float | None:
        """The seconds of its `Retry-After`, None where it has none in seconds."""
        text = self.fields.get("retry-after", "")
        return float(text) if text.isdecimal() else None


async def ask(
    url: str,
    path: str,
    fields: Mapping[str, str],
    *,
    method: str = "GET",
    body: bytes = b"",
    patience: float = PATIENCE,
) -> Answer:
    """Send it and take the answer; to cancel this hangs up."""
    began = time.monotonic()
    exchange = _Exchange()
    try:
        async with asyncio.timeout(patience):
            await exchange.run(url, method, path, fields, body)
    except (TimeoutError, OSError, h11.RemoteProtocolError):
        pass  # what came until then tells
    return Answer(
        exchange.status,
        exchange.fields,
        bytes(exchange.body),
        exchange.is_whole,
        time.monotonic() - began,
    )


class _Exchange:
    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = bytearray()
        self.is_whole = False
        self._parser = h11.Connection(h11.CLIENT)

    async def run(
        self, url: str, method: str, path: str, fields: Mapping[str, str], body: bytes
    ) -> None:
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        sized = {"Content-Length": str(len(body))} if body else {}
        headers = {"Host": where.netloc, "Connection": "close", **sized, **fields}
        try:
            writer.write(self._request(method, path, headers, body))
            while not self.is_whole:
                self._take(await reader.read(65_536))
        finally:
            writer.close()

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        request = h11.Request(method=method, target=path, headers=list(headers.items()))
        events = (request, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self._parser.send(event) or b"" for event in events)

    def _take(self, data: bytes) -> None:
        self._parser.receive_data(data)
        while True:
            match self._parser.next_event():
                case h11.Response() as response:
                    self.status = response.status_code
                    self.fields = {k.decode(): v.decode("latin-1") for k, v in response.headers}
                case h11.Data() as part:
                    self.body += part.data
                case h11.EndOfMessage():
                    self.is_whole = True
                    return
                case h11.InformationalResponse():
                    pass
                case _:
                    return
