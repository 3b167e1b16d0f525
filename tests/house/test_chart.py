"""The chart has what it has from elsewhere as it is there now."""

from __future__ import annotations

from tests.delivery.chart import CHART, made


def test_what_is_made_was_made() -> None:
    """Settings, version, dashboards, rules and table are as `make chart` would write them."""
    wanted = made()
    there = {path: path.read_bytes() if path.exists() else b"" for path in wanted}
    copies = {path for path in wanted if path.parent.name == "files"}

    drifted = [path.name for path, content in wanted.items() if there[path] != content]
    assert drifted == [], "type `make chart`"
    assert set((CHART / "files").iterdir()) == copies
