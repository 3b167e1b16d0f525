from __future__ import annotations

import os
import signal
import subprocess
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.settings.access_files import parse_toml
from gateway.settings.files import Unreadable

_PATIENCE = 60.0


def test_it_is_parsed_as_here() -> None:
    """What tomllib makes of it, but for dates, which become a value that no setting takes."""
    text = '[[a]]\nb = "ä\\u0000"\nc = [1, 1.5, true]\n[d.e]\nf = {g = "h"}\n'

    assert parse_toml(text, _PATIENCE) == tomllib.loads(text)
    assert parse_toml("a = 2026-01-31\n", _PATIENCE) == {"a": {}}


def test_what_is_no_toml_is_refused_with_its_place() -> None:
    """And without a word of it."""
    with pytest.raises(Unreadable, match=r"^is not TOML \(at line 2, column 3\)$"):
        parse_toml("a = 1\nb c", _PATIENCE)


@pytest.mark.parametrize(
    ("text", "why"),
    [("a = " + "[" * 5_000, "nested too deeply"), ("a = " + "1" * 5_000, "too long")],
)
def test_what_cannot_be_parsed_says_why(text: str, why: str) -> None:
    """Limits of Python's own."""
    with pytest.raises(Unreadable, match=why):
        parse_toml(text, _PATIENCE)


def test_a_text_that_takes_too_long_is_given_up() -> None:
    """A dotted key of 100,000 parts takes minutes; its process ends at the deadline."""
    with pytest.raises(Unreadable, match=r"takes more than 0\.5 s to parse"):
        parse_toml(".".join("a" * 100_000) + " = 1", 0.5)


@pytest.mark.skipif(os.getpriority(os.PRIO_PROCESS, 0) > 9, reason="nothing is left to give way by")
def test_a_text_that_takes_long_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short one does not: its process has the priority of this one for a moment."""
    started: list[int] = []
    popen = subprocess.Popen

    def noted(*given: object, **named: object) -> subprocess.Popen[bytes]:
        child = popen(*given, **named)  # type: ignore[call-overload]
        started.append(child.pid)
        return child  # type: ignore[no-any-return]

    monkeypatch.setattr(subprocess, "Popen", noted)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with ThreadPoolExecutor() as pool:
        parsing = pool.submit(parse_toml, ".".join("a" * 100_000) + " = 1", _PATIENCE)
        seen = [own]
        while seen[-1] == own:
            time.sleep(0.01)
            seen += [os.getpriority(os.PRIO_PROCESS, each) for each in started]
        os.kill(started[0], signal.SIGKILL)
        with pytest.raises(Unreadable):
            parsing.result()

    assert seen[-1] == own + 10
    assert len(seen) > 2, "it gave way before it took long"
