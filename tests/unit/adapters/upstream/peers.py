"""Whoever the adapter may meet on the wire: a server of raw bytes, and what calls it need."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.adapters.upstream import HttpxUpstream
from gateway.core.http.fields import Headers
from gateway.core.vocabulary import Purpose
from gateway.ports import Call

CERTIFICATE = Path(__file__).with_name("loopback.pem")
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class LoopClock:
    """The loop's own time: what a real deadline is measured by."""

    offset = 0.0

    def now(self) -> float:
        return 1_700_000_000.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def jitter(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Watching:
    """The part of an observer that the adapter talks to."""

    def __init__(self) -> None:
        self.started: list[Purpose] = []
        self.ended: list[tuple[Purpose, int | None]] = []
        self.traces: list[bytes | None] = []

    def call_started(self, purpose: Purpose) -> None:
        self.started.append(purpose)

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        assert seconds >= 0
        self.ended.append((purpose, status))
        self.traces.append(trace)


class Peer:
    """A server on the loopback interface that answers every request with the same bytes."""

    def __init__(self, answer: bytes = HELLO, *, closes: bool = False) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.connections = 0
        self._closes = closes
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until somebody closes it."""
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await self.reply(writer)
        writer.close()

    async def reply(self, writer: asyncio.StreamWriter) -> None:
        """What happens once a request's head has come."""
        writer.write(self.answer)
        await writer.drain()
        if self._closes:
            writer.close()

    @contextlib.asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Its address while the block runs."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        finally:
            server.close()
            for writer in self._writers:
                with contextlib.suppress(AttributeError):  # Python 3.11.2: of TLS that has ended
                    writer.transport.abort()
            await settle()
            await server.wait_closed()

    def fields(self) -> list[tuple[str, str]]:
        """The fields of the last request, in order."""
        lines = self.heads[-1].decode().split("\r\n")[1:-2]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


class Silent(Peer):
    """Takes requests and answers none."""

    async def reply(self, writer: asyncio.StreamWriter) -> None:
        del writer


class Dribbling(Peer):
    """Gives its answer byte by byte, each well within any read timeout."""

    async def reply(self, writer: asyncio.StreamWriter) -> None:
        for byte in self.answer:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.01)


class Mute(Peer):
    """Accepts connections and neither reads nor writes, so that no handshake ends."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)


class Blunt(Peer):
    """Says its piece before it has heard anything, and closes."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self.reply(writer)
        writer.close()


@contextlib.contextmanager
def swallowing() -> Iterator[str]:
    """The address of a listener with a full backlog: connecting neither succeeds nor fails."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.asynccontextmanager
async def upstream(
    url: str,
    *,
    timeout: float = 5.0,
    connect_timeout: float = 2.0,
    max_body: int = 1000,
    connections: int = 8,
    observer: Watching | None = None,
    tls: ssl.SSLContext | None = None,
    passes_codings: bool = False,
) -> AsyncIterator[HttpxUpstream]:
    """The adapter in front of a peer, closed at the end."""
    adapter = HttpxUpstream(
        url,
        timeout=timeout,
        connect_timeout=connect_timeout,
        max_body=max_body,
        clock=LoopClock(),
        observer=observer or Watching(),  # type: ignore[arg-type]
        user_agent="training-gateway/1.2.3",
        connections=connections,
        tls=tls,
        passes_codings=passes_codings,
    )
    try:
        yield adapter
    finally:
        await adapter.close()


def request(
    training_id: str = "t1",
    *,
    token: str = "secret-token",
    within: float = 5.0,
    etag: bytes | None = None,
    last_modified: bytes | None = None,
    extra: Headers = (),
) -> Call:
    """A call that is to end within so many seconds from now."""
    deadline = asyncio.get_running_loop().time() + within
    return Call(training_id, token, Purpose.MISS, deadline, etag, last_modified, extra)


def answer(*lines: bytes, status: bytes = b"200 OK", body: bytes = b"") -> bytes:
    """An HTTP/1.1 message; the framing is among the lines."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", body])


async def settle() -> None:
    """Let the other end of a loopback connection see what was sent or closed."""
    for _ in range(50):
        await asyncio.sleep(0)


def server_tls() -> ssl.SSLContext:
    """For a peer that is called localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def trusting() -> ssl.SSLContext:
    """For an adapter that believes it."""
    return ssl.create_default_context(cafile=CERTIFICATE)
