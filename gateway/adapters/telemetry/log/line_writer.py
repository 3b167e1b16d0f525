"""Writes lines to a file descriptor from a thread of its own, so that the code that logs never
waits for the reader of the log.

The buffer in between is bounded: lines that do not fit are dropped and counted. No line is made
here, except by the function that is handed in.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

# The most bytes that may wait to be written.
_MOST: Final = 4 * 2**20
# A pipe keeps so many bytes together, even if several processes write to it.
_PIECE: Final = select.PIPE_BUF


def _say_nothing(_count: int) -> bytes:
    return b""


def _count_nothing() -> None: ...


class LineWriter:
    """A sink whose `write` never waits for the descriptor.

    After a line was dropped, all further lines are dropped until the buffer is empty. Lines that
    cannot be written (a closed pipe, a full disk) are lost too. As soon as lines can be written
    again, one line says how many were lost.
    """

    def __init__(self, descriptor: int, *, most: int = _MOST) -> None:
        self._descriptor = descriptor
        self._most = most
        self._lost_line: Callable[[int], bytes] = _say_nothing
        self._on_lost: Callable[[], None] = _count_nothing
        # Reentrant: a finalizer that logs may interrupt this thread while it holds the condition.
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._is_dropping = False
        self._is_idle = True
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def report(self, lost_line: Callable[[int], bytes], on_lost: Callable[[], None]) -> None:
        """Set what is done about lost lines: `lost_line` makes the line that says how many there
        were, and `on_lost` is called for each of them, in any thread."""
        with self._changed:
            self._lost_line, self._on_lost = lost_line, on_lost

    def write(self, line: bytes, /) -> None:
        """Buffer the line, or drop it."""
        with self._changed:
            if self._is_dropping or self._size + len(line) > self._most:
                self._is_dropping = True
                self._lose(1)
            else:
                self._lines.append(line)
                self._size += len(line)
            if self._is_idle:
                self._is_idle = False
                self._changed.notify_all()

    def flush(self, patience: float) -> None:
        """Wait until all lines are written, for `patience` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle, patience)

    def _write_all(self) -> None:
        while True:
            lines, lost = self._take()
            notice = [self._lost_line(lost)] if lost else []
            is_written = _put(self._descriptor, b"".join([*notice, *lines]))
            with self._changed:
                if is_written:
                    self._lost -= lost
                else:
                    self._lose(len(lines))

    def _take(self) -> tuple[list[bytes], int]:
        """The next lines to write, and how many lost lines have not been reported yet; waits until
        there is a line or a loss."""
        with self._changed:
            if not self._lines and not self._is_dropping:
                self._is_idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._is_idle)
            self._is_dropping = self._is_dropping and bool(self._lines)
            return self._next_piece(), 0 if self._is_dropping else self._lost

    def _next_piece(self) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while self._lines and (not lines or size + len(self._lines[0]) <= _PIECE):
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        self._size -= size
        return lines

    def _lose(self, count: int) -> None:
        self._lost += count
        for _ in range(count):
            self._on_lost()


def _put(descriptor: int, block: bytes) -> bool:
    """Write the whole block, however long that takes. Returns False if it cannot be written."""
    rest = memoryview(block)
    try:
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # another process made the pipe or terminal non-blocking
                select.select([], [descriptor], [])
    except OSError:
        return False
    return True
