"""Sets up logging: the gateway's events, which come through structlog, and the messages of
libraries become lines of one form.

Lines are made in `log_lines`. Events are named where they happen, except the two of this module.
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

from gateway.adapters.telemetry.log_lines import Lines, LineWriter, Record, Sink, conceal, scrub

logger = structlog.get_logger("gateway")

# Below this level the HTTP libraries log headers, which contain credentials.
_LIBRARIES_FROM = logging.WARNING
_STANDARD_OUTPUT = 1
# Seconds for which the process waits at its end until its last lines are written.
_LAST_LINES = 1.0
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def configure(form: str, level: str, *, now: Callable[[], float], sink: Sink) -> Lines:
    """Send all that is logged in this process to `sink` as lines.

    `form` is `json` or `console`, `level` is a word such as `info`, and `now` returns seconds since
    the Unix epoch. Returns the lines for `AccessLog`, which does not use structlog.
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
    """As `configure`, with standard output as the sink. Nothing waits for its reader: lines may be
    lost, and `on_lost` is called for each of them, in any thread."""
    writer = standard_output()
    lines = configure(form, level, now=now, sink=writer)
    writer.report(partial(_lost_line, lines), on_lost)
    return lines


@cache
def standard_output() -> LineWriter:
    """The only writer of this process. It writes its last lines when the process ends."""
    # If the process was started without standard output, descriptor 1 may be a connection by now.
    descriptor = os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else _STANDARD_OUTPUT
    writer = LineWriter(descriptor)
    atexit.register(writer.flush, _LAST_LINES)
    return writer


def _lost_line(lines: Lines, count: int) -> bytes:
    return lines.line({"level": "warning", "event": "log.lines-dropped", "count": count})


class _Out:
    """Receives finished records from structlog; the same method for each level."""

    def __init__(self, lines: Lines) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = lines.write
        self.msg = self.log = lines.write


class _Libraries(logging.Handler):
    """Receives what libraries log through the standard module `logging`."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message as the event `library.said`. Never raises."""
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
