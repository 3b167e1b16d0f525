"""The tests mirror the house: whoever opens a module knows where its tests are."""

from __future__ import annotations

from pathlib import Path

from tests.house.sources import ROOT, Source, sources

MIRRORED = ("gateway.core", "gateway.flow", "gateway.adapters", "gateway.web", "gateway.settings")
# What speaks to a Redis is tested against real ones.
AGAINST_SERVERS = ("tests/contract", "tests/integration")


def _mirrored() -> list[Source]:
    return [
        source
        for source in sources()
        if source.within(*MIRRORED) and source.path.name != "__init__.py"
    ]


def test_each_module_has_its_test_file() -> None:
    """`gateway/<floor>/<module>.py` has `tests/unit/<floor>/test_<module>.py`."""
    missing = [
        str(_places(source)[0])
        for source in _mirrored()
        if not any((ROOT / place).exists() for place in _places(source))
    ]

    assert missing == []


def _places(source: Source) -> list[Path]:
    folder, test = source.path.parent.relative_to("gateway"), f"test_{source.path.name}"
    places = [Path("tests/unit") / folder / test]
    if source.within("gateway.adapters.redis"):
        for tests in AGAINST_SERVERS:
            places += [Path(tests) / test, Path(tests) / f"test_redis_{source.path.name}"]
    return places
