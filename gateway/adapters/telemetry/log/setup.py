"""Setting up: events through structlog, the libraries' own messages, all as the same lines.

No line is made here (see `lines`), and no event is named here but the libraries'.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial

import structlog
from structlog.typing import EventDict, WrappedLogger

from gateway.adapters.telemetry.log.line_writer import LineWriter
from gateway.adapters.telemetry.log.lines import Lines, Record, Sink, conceal, scrub

logger = structlog.get_logger("gateway")

# Below this the HTTP libraries tell headers, and with them credentials.
_LIBRARIES_FROM = logging.WARNING
_STANDARD_OUTPUT = 1
# Seconds that the end of the process waits for the reader of its last lines.
_LAST_LINES = 1.0
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def configure(form: str, level: str, *, now: Callable[[], float], sink: Sink) -> Lines:
    """Send all that is logged in this process to `sink` as lines.

    `form` is `json` or `console`, `level` a word such as `info`, `now` in seconds since the Unix
    epoch. The lines are returned for `AccessLog`, which writes past structlog.
    """
    lines = Lines(form, now, sink)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _as_record,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Out(lines),
        cache_logger_on_first_use=False,
    )
    _route_libraries(lines)
    return lines


def configure_standard_output(
    form: str, level: str, *, now: Callable[[], float], on_lost: Callable[[], None]
) -> Lines:
    """The same to standard output, without waiting for its reader; `on_lost` is called for each
    line that is lost, in any thread."""
    writer = standard_output()
    lines = configure(form, level, now=now, sink=writer)
    writer.report(partial(_lost_line, lines), on_lost)
    return lines


@cache
def standard_output() -> LineWriter:
    """The one writer of this process; its last lines are written when the process ends."""
    # A closed descriptor 1 may be a caller's connection by now.
    descriptor = os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else _STANDARD_OUTPUT
    writer = LineWriter(descriptor)
    atexit.register(writer.flush, _LAST_LINES)
    return writer


def _lost_line(lines: Lines, count: int) -> bytes:
    return lines.line({"level": "warning", "event": "log.lines-dropped", "count": count})


class _Out:
    """What structlog hands finished records to, whatever their level."""

    def __init__(self, lines: Lines) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = lines.write
        self.msg = self.log = lines.write


class _Libraries(logging.Handler):
    """Takes what libraries say through the standard logging."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write it as `library.said`; never raises."""
        with suppress(Exception):
            self._lines.write(_of_library(record))


def _as_record(_: WrappedLogger, __: str, event: EventDict) -> tuple[tuple[Record], EventDict]:
    head = {"level": event.pop("level"), "event": event.pop("event")}
    trace = event.pop("exception", None)
    below = {} if trace is None else {"exception": conceal(trace)}
    return ({**head, **{name: scrub(value) for name, value in event.items()}, **below},), {}


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
