"""TOML parsed in a process of its own, which can be ended.

`tomllib` takes minutes for some texts of a few kilobytes (a dotted key of many parts). A thread
that parses cannot be stopped, and shares the interpreter with the event loop meanwhile.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping

from gateway.settings.files import Unreadable

# It says the tables, or in which way the text has none. A date becomes null: no setting is one.
# A text that takes long gives way to requests. Others do not: on a busy machine a revoked key would
# be served for seconds more.
_CHILD = """
import json, os, signal, sys, tomllib
signal.signal(signal.SIGPROF, lambda *_: os.nice(10))
signal.setitimer(signal.ITIMER_PROF, 0.2)
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
_PLACE = re.compile(r" \(at [a-z0-9 ,]+\)")


def parse_toml(text: str, seconds: float) -> Mapping[str, object]:
    """The tables of the text, within so many seconds.

    Raises Unreadable in words that fit behind "a file that", and that quote nothing.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD],
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=seconds,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )
        answer = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        raise Unreadable(f"takes more than {seconds:g} s to parse") from None
    except (OSError, subprocess.CalledProcessError):
        raise Unreadable("could not be parsed: the process that parses it failed") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    if "tables" in answer:
        tables: dict[str, object] = answer["tables"]
        return tables
    place = _PLACE.search(answer.get("refused", ""))
    raise Unreadable(answer.get("failed") or f"is not TOML{place[0] if place else ''}")
