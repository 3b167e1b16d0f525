"""Turns a record into one line of the log: as JSON for machines, as console text for people.

A value may come from any caller. In both forms a value cannot end its line, begin another line, or
move the cursor of a terminal. If a line cannot be written it is lost, and no error is raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import msgspec

Record = Mapping[str, object]

_LONGEST = 300
_HARMLESS = re.compile(r"[A-Za-z0-9_.:/~@%+*-]+")
# Secrets that the error texts of drivers may quote: a bearer token, a password in a URL.
_SECRETS = re.compile(r"(?i)\bbearer\s+[^\s,;'\"]+|(?<=://)[^/\s@]+@")

_encoder = msgspec.json.Encoder(enc_hook=str)


class Sink(Protocol):
    """What lines are written to: a `LineWriter`, or any unbuffered file."""

    def write(self, line: bytes, /) -> object:
        """Take the whole line."""
        ...


class Lines:
    """Writes records as lines. `form` is `json` or `console`; `now` returns Unix seconds."""

    def __init__(self, form: str, now: Callable[[], float], sink: Sink) -> None:
        self._render = render_json if form == "json" else render_console
        self._now = now
        self._sink = sink

    def write(self, record: Record) -> None:
        """Add the time to the record (`level`, `event`, fields), and write it."""
        with suppress(Exception):
            self._sink.write(self.line(record))

    def line(self, record: Record) -> bytes:
        """The record with the time, as a line."""
        return self._render({"time": instant(self._now()), **record}) + b"\n"


def instant(now: float) -> str:
    """Seconds since the Unix epoch as ISO 8601 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def scrub(value: object) -> object:
    """A text without credentials, shortened if it is long. Other values are returned unchanged."""
    if not isinstance(value, str):
        return value
    clean = conceal(value)
    return clean if len(clean) <= _LONGEST else clean[:_LONGEST] + "..."


def conceal(text: str) -> str:
    """The text with everything removed that looks like a credential."""
    return _SECRETS.sub("[removed]", text)


def render_json(record: Record) -> bytes:
    """One JSON object, in ASCII, because some readers take U+2028 and similar characters for the
    end of a line."""
    with suppress(UnicodeEncodeError):  # a lone surrogate; json.dumps below escapes it
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
