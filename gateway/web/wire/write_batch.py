"""Answers of one turn of the event loop, written together when it ends.

To read, judge and render for all who asked in this turn, and then to write to all of them, keeps
the processor at one kind of work: one part in twenty-five of a hit was what it lost in between.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

# Bytes that may wait: some hundred answers of the usual size.
_MOST: Final = 262_144
# Answers written at once after one that was alone in its turn: to have a turn ended is another call
# to the system, which whoever asks one by one need not pay for.
_ALONE: Final = 31

_logger = logging.getLogger(__name__)


class Outbox:
    """For all connections of one plane. Code that writes, closes or ends something by another way
    calls `flush` before, so that answers leave in their order."""

    def __init__(self) -> None:
        # Two lists: pairs would be a reason to run for the collector of cycles.
        self._transports: list[asyncio.Transport] = []
        self._answers: list[bytes] = []
        self._size = 0
        self._is_due = False  # the end of this turn was asked for
        self._at_once = 0  # answers that do not wait

    def put(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Write it within this turn of the running loop."""
        self._transports.append(transport)
        self._answers.append(answer)
        self._size += len(answer)
        if self._size > _MOST:
            self.flush()
        elif not self._is_due:
            self._have_it_ended()

    def flush(self) -> None:
        """Write all of them now, but to callers that have gone. Raises nothing: the code that calls
        it has nothing to do with most of them."""
        if not self._answers:
            return
        transports, answers = self._transports, self._answers
        self._transports, self._answers, self._size = [], [], 0
        for transport, answer in zip(transports, answers, strict=True):
            try:
                if not transport.is_closing():
                    transport.write(answer)
            except Exception:
                _logger.exception("an answer could not be written")
                transport.abort()

    def _have_it_ended(self) -> None:
        if self._at_once:
            self._at_once -= 1
            self.flush()
        else:
            asyncio.get_running_loop().call_soon(self._end_turn)
            self._is_due = True

    def _end_turn(self) -> None:
        self._is_due = False
        if len(self._answers) == 1:
            self._at_once = _ALONE
        self.flush()
