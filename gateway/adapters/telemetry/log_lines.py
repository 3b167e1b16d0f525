"""Writes the log as JSON or text: events (through structlog), the access log, and messages of
libraries.

A thread writes the lines, so no request waits for a slow reader of the log.

A value can come from any caller. No value can end its line, begin another line, or move the cursor
of a terminal.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import select
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from typing import Final, Protocol

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

logger = structlog.get_logger("gateway")

# Messages of libraries are logged from this level on. At lower levels HTTP libraries log header
# fields, which can contain credentials.
_LIBRARIES_FROM = logging.WARNING
_STANDARD_OUTPUT = 1
# At its end the process waits for its last lines to be written, for at most this many seconds.
_LAST_LINES = 1.0
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def configure(form: str, level: str, *, now: Callable[[], float], sink: Sink) -> Lines:
    """Send all that is logged in this process to `sink` as lines. Returns the `Lines` for
    `AccessLog`.

    form   `json` or `console`
    level  a word such as `info`
    now    returns seconds since the Unix epoch
    """
    lines = Lines(form, now, sink)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            partial(_write_event, lines),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: None,  # structlog's own needs a standard output
        cache_logger_on_first_use=False,
    )
    _route_libraries(lines)
    return lines


def configure_standard_output(
    form: str, level: str, *, now: Callable[[], float], on_lost: Callable[[], None]
) -> Lines:
    """As `configure`, with standard output as the sink. For `on_lost` see
    `LineWriter.report_losses_with`."""
    writer = standard_output()
    lines = configure(form, level, now=now, sink=writer)
    writer.report_losses_with(partial(_lost_line, lines), on_lost)
    return lines


@cache
def standard_output() -> LineWriter:
    """The `LineWriter` for standard output. All calls return the same one. At its end
    the process waits for all lines to be written, for `_LAST_LINES` seconds at most."""
    # If the process has no standard output, descriptor 1 perhaps belongs to a connection. So the
    # lines go to the null device then.
    descriptor = os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else _STANDARD_OUTPUT
    writer = LineWriter(descriptor)
    atexit.register(writer.flush, _LAST_LINES)
    return writer


def _lost_line(lines: Lines, count: int) -> bytes:
    return lines.line({"level": "warning", "event": "log.lines-dropped", "count": count})


class _Libraries(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self._lines.write(_of_library(record))


def _write_event(lines: Lines, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The last processor of structlog. The event needs no logger behind it."""
    head = {"level": event.pop("level"), "event": event.pop("event")}
    trace = event.pop("exception", None)
    below = {} if trace is None else {"exception": conceal(trace)}
    lines.write({**head, **{name: scrub(value) for name, value in event.items()}, **below})
    raise structlog.DropEvent


def _route_libraries(lines: Lines) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Libraries(lines)]
    root.setLevel(_LIBRARIES_FROM)
    for name in _SERVERS:
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
        server.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = True


def _of_library(record: logging.LogRecord) -> Record:
    said: dict[str, object] = {
        "level": record.levelname.lower(),
        "event": "library.said",
        "library": record.name,
        "message": scrub(record.getMessage()),
    }
    request_id = getattr(record, "request_id", None)
    if request_id is not None:
        said["request_id"] = request_id
    if record.exc_info and record.exc_info[1] is not None:
        said["exception"] = conceal("".join(traceback.format_exception(record.exc_info[1])))
    return said


Record = Mapping[str, object]

_LONGEST = 300
_HARMLESS = re.compile(r"[A-Za-z0-9_.:/~@%+*-]+")
# Secrets that the error texts of drivers can quote: a bearer token, a password in a URL.
_SECRETS = re.compile(r"(?i)\bbearer\s+[^\s,;'\"]+|(?<=://)[^/\s@]+@")

_encoder = msgspec.json.Encoder(enc_hook=str)


class Sink(Protocol):
    """A place for lines: a `LineWriter`, or any unbuffered file."""

    def write(self, line: bytes, /) -> object:
        """Take the whole line."""


class Lines:
    """Writes records as lines. For `form` and `now` see `configure`."""

    def __init__(self, form: str, now: Callable[[], float], sink: Sink) -> None:
        self._render = render_json if form == "json" else render_console
        self._now = now
        self._sink = sink

    def write(self, record: Record) -> None:
        """Write the record (`level`, `event`, fields) with the time. Never raises."""
        with suppress(Exception):
            self._sink.write(self.line(record))

    def line(self, record: Record) -> bytes:
        """The record with the time, as a line."""
        return self._render({"time": instant(self._now()), **record}) + b"\n"


def instant(now: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def scrub(value: object) -> object:
    """The value without credentials. A long text is also shortened, and a number has three decimals
    at most. In a list, each item is treated in the same way. Other values stay unchanged."""
    if isinstance(value, list):
        return [scrub(each) for each in value]
    if isinstance(value, float):
        return round(value, 3)
    if not isinstance(value, str):
        return value
    clean = conceal(value)
    return clean if len(clean) <= _LONGEST else clean[:_LONGEST] + "..."


def conceal(text: str) -> str:
    """The text without bearer tokens, and without user names and passwords in URLs."""
    return _SECRETS.sub("[removed]", text)


def render_json(record: Record) -> bytes:
    """One JSON object, in ASCII: some readers take U+2028 and similar characters for the end of a
    line."""
    with suppress(UnicodeEncodeError):  # a lone surrogate, which json.dumps escapes
        line = _encoder.encode(record)
        if line.isascii() and b"\x7f" not in line:
            return line
    return json.dumps(record, default=str).replace("\x7f", "\\u007f").encode()


def render_console(record: Record) -> bytes:
    """`time level event name=value …`; a traceback follows, indented, on lines of its own."""
    fields = dict(record)
    time, level, event = (str(fields.pop(name, "")) for name in ("time", "level", "event"))
    trace = fields.pop("exception", None)
    parts = [time[11:], f"{level:<7}", _plain(event)]
    parts += [f"{name}={_plain(value)}" for name, value in fields.items()]
    below = [] if trace is None else [f"    {_printable(row)}" for row in str(trace).splitlines()]
    return "\n".join([" ".join(parts), *below]).encode()


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if not isinstance(value, str) or _HARMLESS.fullmatch(text):
        return text
    return json.dumps(text).replace("\x7f", "\\u007f")


def _printable(row: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in row)


# The size of a `LineWriter`'s buffer in bytes.
_MOST: Final = 4 * 2**20
# A pipe does not divide a write of this many bytes or fewer, even if several processes write to it.
_PIECE: Final = select.PIPE_BUF


class LineWriter:
    """A sink whose `write` never waits for the descriptor: a thread writes the lines.

    If the buffer is full, lines are dropped until it is empty. Lines that cannot be written (a
    closed pipe, a full disk) are lost too. When no more lines are lost, a line says how many were.
    """

    def __init__(self, descriptor: int, *, most: int = _MOST) -> None:
        self._descriptor = descriptor
        self._most = most
        self._lost_line: Callable[[int], bytes] = lambda _: b""
        self._on_lost: Callable[[], None] = lambda: None
        # A finalizer can write a log line in a thread that has locked this condition. That is no
        # deadlock, because the same thread can lock a Condition again (Python's default).
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._is_dropping = False
        self._is_idle = True  # everything is written
        self._thread: threading.Thread | None = None

    def report_losses_with(
        self, lost_line: Callable[[int], bytes], on_lost: Callable[[], None]
    ) -> None:
        """Set how lost lines are reported. `lost_line` makes the line that says how many lines were
        lost. `on_lost` is called for each lost line, in the thread that lost it."""
        with self._changed:
            self._lost_line, self._on_lost = lost_line, on_lost

    def write(self, line: bytes, /) -> None:
        """Buffer the line, or drop it if the buffer is full."""
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
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the system allows no more threads
                    self._thread = None  # the next call of `write` tries again

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
        """The next lines to write, and how many lost lines to report first (0 while lines are
        dropped). Waits until a line is buffered or dropped."""
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
    """Write the whole block, however long that takes. False if that fails."""
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
