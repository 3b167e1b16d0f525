"""A record becomes one line: JSON for machines, console for people.

Values may come from whoever can reach the port: in neither form can one end a line, start
another or move a terminal's cursor. A line that cannot be written is lost, not raised.
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
# What error texts of drivers are known to quote: a bearer token, a URL with its password.
_SECRETS = re.compile(r"(?i)\bbearer\s+[^\s,;'\"]+|(?<=://)[^/\s@]+@")

_encoder = msgspec.json.Encoder(enc_hook=str)


class Sink(Protocol):
    """Where bytes go: a `LineWriter`, or any unbuffered file."""

    def write(self, line: bytes, /) -> object:
        """Take the whole line."""
        ...


class Lines:
    """Writes records as lines, `form` being `json` or `console`; `now` in Unix seconds."""

    def __init__(self, form: str, now: Callable[[], float], sink: Sink) -> None:
        self._render = render_json if form == "json" else render_console
        self._now = now
        self._sink = sink

    def write(self, record: Record) -> None:
        """Stamp the record (`level`, `event`, fields) with the time and write it."""
        with suppress(Exception):
            self._sink.write(self.line(record))

    def line(self, record: Record) -> bytes:
        """The record stamped with the time, as a line."""
        return self._render({"time": instant(self._now()), **record}) + b"\n"


def instant(now: float) -> str:
    """Seconds since the Unix epoch as ISO 8601 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def scrub(value: object) -> object:
    """A text without credentials, and no longer than a line bears; other values as they are."""
    if not isinstance(value, str):
        return value
    clean = conceal(value)
    return clean if len(clean) <= _LONGEST else clean[:_LONGEST] + "..."


def conceal(text: str) -> str:
    """The text without what looks like a credential in it."""
    return _SECRETS.sub("[removed]", text)


def render_json(record: Record) -> bytes:
    """One JSON object in ASCII: U+2028 and its like end a line for some readers."""
    with suppress(UnicodeEncodeError):  # a lone surrogate: json escapes it
        line = _encoder.encode(record)
        if line.isascii() and b"\x7f" not in line:
            return line
    return json.dumps(record, default=str).replace("\x7f", "\\u007f").encode()


def render_console(record: Record) -> bytes:
    """`time level event name=value …`, a traceback indented below."""
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
