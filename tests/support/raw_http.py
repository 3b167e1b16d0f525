"""Bytes on a socket, as they are written, and whole answers out of them: httpx would mend both."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

PATIENCE = 20.0
GOOD = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response as it came; names in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def word(self) -> str:
        """The word of a problem response that is one in every respect."""
        assert self.fields["content-type"] == "application/problem+json", self
        assert self.fields["cache-control"] == "no-store"
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.fields["x-request-id"]
        assert problem["title"]
        assert problem["detail"]
        return str(problem["type"]).removeprefix("urn:gateway:problem:")


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *chunks: bytes, pause: float = 0.01) -> Self:
        """Send the chunks, each as a segment of its own; a closed connection is no error here."""
        with suppress(ConnectionError):
            for number, chunk in enumerate(chunks):
                if number:
                    await asyncio.sleep(pause)
                self._writer.write(chunk)
                await self._writer.drain()
        return self

    def end(self) -> Self:
        """Send no more, and go on reading."""
        self._writer.write_eof()
        return self

    def reset(self) -> None:
        """Go without a word, as a machine that fails does."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def answer(self, *, head: bool = False) -> Answer | None:
        """The next answer (to a HEAD: its head), None where the connection ended before it."""
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await self._reader.readuntil(b"\r\n\r\n")
                lines = raw.decode("latin-1").split("\r\n")[:-2]
                fields = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:])
                }
                length = 0 if head else int(fields.get("content-length", "0"))
                body = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Answer(int(lines[0].split()[1]), fields, body)

    async def told(self) -> Answer:
        """The next answer, which has to come."""
        answer = await self.answer()
        assert answer is not None, "the connection was closed without an answer"
        return answer

    async def is_closed(self) -> bool:
        """Whether the connection ends without another byte."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._reader.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Caller]:
    """A connection to a plane's base URL."""
    where = urlsplit(url)
    caller = Caller(*await asyncio.open_connection(where.hostname, where.port))
    try:
        yield caller
    finally:
        await caller.close()


async def asked(url: str, *chunks: bytes) -> list[Answer]:
    """All that is answered to these bytes until the connection is closed."""
    async with calling(url) as caller:
        await caller.send(*chunks, pause=0)
        answers: list[Answer] = []
        while (answer := await caller.answer()) is not None:
            answers.append(answer)
        return answers


async def is_well(url: str) -> bool:
    """Whether a good request on a new connection is answered."""
    async with calling(url) as caller:
        answer = await (await caller.send(GOOD)).answer()
    return answer is not None and answer.status == 200
