"""The edges to the world have one owner each: the environment, the clock, chance."""

from __future__ import annotations

import re

from tests.house.sources import Source, sources

ENVIRONMENT = re.compile(r"os\.(environ\w*|getenvb?|putenv|unsetenv)\b")
CLOCK = re.compile(
    r"time\.(time|monotonic|perf_counter|process_time)(_ns)?$"
    r"|datetime\.(datetime\.)?(now|utcnow|today)$"
    r"|random(\.|$)"
)
# The command removes a variable before anything is read: Python itself would obey it.
OWNERS = ("gateway/settings", "gateway/cli/__init__.py")
# Beside the house stand the stand-in for the upstream and what a person starts to watch it.
BYSTANDERS = ("gateway.simulator", "gateway.demo", "gateway.cli")


def test_only_settings_read_the_environment() -> None:
    """No module but its owners names os.environ or getenv; all else gets values handed in."""
    found = [hit for source in sources() for hit in _hits(source, ENVIRONMENT)]

    assert [hit for hit in found if not hit.startswith(OWNERS)] == []


def test_only_the_composition_root_names_the_real_clock() -> None:
    """No module but app.py names a clock or `random`, so that time can be faked everywhere."""
    house = [source for source in sources() if not source.within("gateway.app", *BYSTANDERS)]

    assert [hit for source in house for hit in _hits(source, CLOCK)] == []


def test_the_search_sees_through_aliases() -> None:
    """The two searches above find a name also where it was imported under another."""
    import ast
    from pathlib import Path

    text = "import time as t\nfrom os import environ as e\nt.monotonic()\ne['A']\n"
    source = Source(Path("probe.py"), "probe", text, ast.parse(text))

    assert _hits(source, CLOCK) == ["probe.py:3 names time.monotonic"]
    assert _hits(source, ENVIRONMENT) == ["probe.py:4 names os.environ"]


def _hits(source: Source, pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{source.path}:{line} names {name}"
        for line, name in source.mentions()
        if pattern.match(name)
    ]
