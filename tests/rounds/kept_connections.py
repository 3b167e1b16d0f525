"""Callers that keep their connections, ask on them without pause, and count what is lost.

None of them says `Connection: close`: each does what the answers tell it.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# Seconds after which an answer counts as lost.
_PATIENCE = 20.0


@dataclass
class Tally:
    """What became of the requests. `asked` leaves out those behind an answer that said it was the
    last. `told`: connections whose end was told by `Connection: close`. `lost`: sent on a
    connection that ended, or was silent, before the whole answer came."""

    asked: int = 0
    answered: int = 0
    told: int = 0
    lost: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)


class KeptCaller:
    """One caller. `burst` requests are sent at once; `half_closes`: it sends no more after them.

    `returns`: after a connection that ended it opens another one, until it is refused.
    """

    def __init__(
        self,
        url: str,
        requests: Sequence[bytes],
        tally: Tally,
        *,
        tls: ssl.SSLContext | None = None,
        burst: int = 1,
        half_closes: bool = False,
        returns: bool = True,
    ) -> None:
        where = urlsplit(url)
        self._address = where.hostname, where.port
        self._requests: Iterator[bytes] = itertools.cycle(requests)
        self.tally = tally
        self._tls = tls
        self._burst = burst
        self._half_closes = half_closes
        self._returns = returns

    async def run(self) -> None:
        """Ask until the address refuses connections, or until told to go elsewhere."""
        with suppress(ConnectionRefusedError, ConnectionResetError):
            await self._ask_on_one_connection()
            while self._returns:
                await self._ask_on_one_connection()

    async def _ask_on_one_connection(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address, ssl=self._tls)
        try:
            while await self._ask(reader, writer):
                pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be asked again."""
        requests = [next(self._requests) for _ in range(self._burst)]
        answered = 0
        try:
            self._send(writer, requests)
            for request in requests:
                is_last = await self._read(reader, is_head=request.startswith(b"HEAD"))
                answered += 1
                if is_last:
                    self.tally.told += 1
                    return False
        except (OSError, asyncio.IncompleteReadError) as error:
            self.tally.lost += [f"{each!r}: {error!r}" for each in requests[answered:]]
            self.tally.asked += len(requests) - answered
            return False
        finally:
            self.tally.asked += answered
        return not self._half_closes

    def _send(self, writer: asyncio.StreamWriter, requests: Sequence[bytes]) -> None:
        writer.write(b"".join(requests))
        if self._half_closes:
            writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader, *, is_head: bool) -> bool:
        """Read one answer; whether it is the last of the connection."""
        async with asyncio.timeout(_PATIENCE):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ", 2)[1])
            _, _, rest = head.partition(b"\r\ncontent-length:")
            if rest and not is_head and status not in (204, 304):
                await reader.readexactly(int(rest.partition(b"\r\n")[0]))
        self.tally.answered += 1
        self.tally.statuses.add(status)
        return b"\r\nconnection: close\r\n" in head
