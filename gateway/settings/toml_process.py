"""TOML parsed in a process of its own, which can be ended.

`tomllib` takes minutes for some texts of a few kilobytes (a dotted key of many parts). A thread
that parses cannot be stopped, and shares the interpreter with the event loop meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

# It says the tables, or in which way the text has none. A date becomes null: no setting is one.
_CHILD = """
import json, os, sys, tomllib
os.nice(10)
try:
    answer = {"tables": tomllib.loads(sys.stdin.buffer.read().decode())}
    answer = json.dumps(answer, default=lambda _: None)
except tomllib.TOMLDecodeError as error:
    answer = json.dumps({"refused": str(error)})
except RecursionError:
    answer = json.dumps({"failed": "is nested too deeply"})
except ValueError:
    answer = json.dumps({"failed": "has a number that is too long"})
sys.stdout.write(answer)
"""


class TomlRefused(Exception):
    """It is not TOML; the message is tomllib's, and may quote the text."""


class TomlFailed(Exception):
    """It could not be parsed; the message says why, as "is nested too deeply", and quotes none."""


def parse_toml(text: str, seconds: float) -> Mapping[str, object]:
    """The tables of the text, within so many seconds; raises TomlRefused, TomlFailed."""
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD],
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=seconds,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )
    except subprocess.TimeoutExpired:
        raise TomlFailed(f"takes more than {seconds:g} s to parse") from None
    except (OSError, subprocess.CalledProcessError):
        raise TomlFailed("could not be parsed: the process that parses it failed") from None
    return _read(child.stdout)


def _read(answer: bytes) -> Mapping[str, object]:
    try:
        words = json.loads(answer)
    except RecursionError:
        raise TomlFailed("is nested too deeply") from None
    if "refused" in words:
        raise TomlRefused(words["refused"])
    if "failed" in words:
        raise TomlFailed(words["failed"])
    tables: dict[str, object] = words["tables"]
    return tables
