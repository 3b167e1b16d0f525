from __future__ import annotations

import json

import pytest

from gateway.adapters.telemetry.log_lines import Lines, instant, render_console, render_json, scrub
from tests.unit.adapters.telemetry.stand_ins import BrokenSink, ListSink

HOSTILE = [
    'a\n{"level":"error","event":"forged"}',
    "a\r\nforged",
    "a\x1b[2J\x1b]0;owned\x07",
    "a\u2028forged\u2029\x85",
    "a\x7f\x9b31m",
    "a\ud800",
    'a" level=error b="',
    "\u202eesrever",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_json_holds_any_text(value: str) -> None:
    """A record is one line of printable ASCII, and gives back the very text."""
    line = render_json({"event": "request.answered", "id": value}).decode("ascii")

    assert line.isprintable()
    assert json.loads(line)["id"] == value


@pytest.mark.parametrize("value", HOSTILE)
def test_the_console_shows_any_text_on_its_line(value: str) -> None:
    """A value neither leaves its line nor its quotes, and cannot speak to the terminal."""
    record = {"time": instant(0.0), "level": "info", "event": "request.answered", "id": value}

    line = render_console(record).decode("ascii")

    assert line.isprintable()
    head, quoted = line.split(" id=", 1)
    assert head == "00:00:00.000Z info    request.answered"
    assert json.loads(quoted) == value


def test_the_console_leaves_plain_words_unquoted() -> None:
    """What cannot be misread is shown as it is."""
    record = {"event": "entry.changed", "id": "training-1", "count": 3, "up": True}

    assert render_console(record).endswith(b"entry.changed id=training-1 count=3 up=true")


def test_a_traceback_is_indented_below_its_line() -> None:
    """No row of it begins where a record begins, not even one that the message forged."""
    record = {"event": "request.broke", "exception": "ValueError: x\n12:00:00 error \x1b[2J"}

    rows = render_console(record).decode().splitlines()

    assert rows[1:] == ["    ValueError: x", "    12:00:00 error \\x1b[2J"]


def test_what_json_does_not_know_is_told_as_text() -> None:
    """An exception as a field is no reason to lose the line."""
    assert json.loads(render_json({"why": ValueError("x"), "to": b"y"}))["why"] == "x"


def test_a_line_is_stamped_in_utc() -> None:
    """Time comes first, to the millisecond."""
    sink = ListSink()

    Lines("json", lambda: 1_700_000_000.5, sink).write({"level": "info", "event": "a.happened"})

    assert sink.text == (
        '{"time":"2023-11-14T22:13:20.500Z","level":"info","event":"a.happened"}\n'
    )


def test_a_broken_sink_raises_nothing() -> None:
    """A line that cannot be written is lost."""
    Lines("json", lambda: 0.0, BrokenSink()).write({"event": "a.happened"})


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("got Bearer abc.def-123, sent", "got [removed], sent"),
        ("rediss://user:pass@host:6379/0", "rediss://[removed]host:6379/0"),
        ("no secret at a@b", "no secret at a@b"),
    ],
)
def test_what_looks_like_a_credential_is_removed(text: str, clean: str) -> None:
    """Bearer tokens and the user part of a URL do not reach a line."""
    assert scrub(text) == clean
    assert scrub([text, 5]) == [clean, 5]


def test_a_long_text_is_cut() -> None:
    """A body quoted in an error text is not logged at length; numbers are left alone."""
    assert scrub("x" * 301) == "x" * 300 + "..."
    assert scrub(["x" * 301]) == ["x" * 300 + "..."]
    assert scrub(5) == 5
    assert scrub(5.311699669999825) == 5.312
