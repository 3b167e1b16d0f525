"""The descriptions that both planes serve, tried out on a real process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rounds.described_requests import findings
from tests.system.commands import TOKEN, Gateway, address, simulator


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with an admin token, in front of a simulator without a limit."""
    with simulator(tmp_path, "--limit", "0") as upstream:
        settings = {
            "GATEWAY_ADMIN__TOKEN": "s3cret",
            "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
        }
        house = Gateway(tmp_path, address(upstream), **settings)
        with house.process:
            yield house


@pytest.mark.timeout(120)
@pytest.mark.parametrize("plane", ["data", "admin"])
def test_a_plane_does_as_its_description_says(served: Gateway, plane: str, tmp_path: Path) -> None:
    """Statuses, types, schemas, credentials, methods: a short run; a long one is a drill."""
    url, token = (served.data, TOKEN) if plane == "data" else (served.admin, "s3cret")

    assert findings(url, token, tmp_path, examples=5, seconds=100) == ""
