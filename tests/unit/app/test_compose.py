"""compose: sizes that follow from settings, and files that have changed since they were judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import StartFault
from gateway.app.compose import compose, known_for
from gateway.settings import Settings
from gateway.settings.schema import UpstreamSettings


@pytest.mark.parametrize(
    ("max_bytes", "floors"),
    [(0, 1_000), (16 * 1024**2, 11_184), (64 * 1024**2, 44_739), (1024**3, 100_000)],
)
def test_a_ledger_is_as_large_as_l1_allows(max_bytes: int, floors: int) -> None:
    """It knows a floor for each of the smallest entries that L1 can hold, and bounds of its own."""
    assert known_for(max_bytes) == floors


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_authorities_that_go_bad_meanwhile_are_a_fault_of_the_start(
    tmp_path: Path, text: str | None
) -> None:
    """After the settings were judged and before the file is used: a line, no traceback."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)

    with pytest.raises(StartFault, match=r"^upstream\.ca_certs: .*/ca\.pem cannot be used: "):
        compose(Settings(upstream=UpstreamSettings(ca_certs=path)))
