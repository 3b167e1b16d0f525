"""The clients file replaced a hundred times under load, every tenth version faulty."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import access
from gateway.simulator import SimulatorConfig, running
from tests.integration.client_files import two_tenants
from tests.integration.test_clients import replace_under_load


@pytest.mark.timeout(1800)
async def test_the_file_is_replaced_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request of a valid key fails, and each fault is reported."""
    monkeypatch.setattr(access, "LOOK_EVERY", 0.02)
    keys = {"T-acme": "acme", "T-globex": "globex"}
    async with running(SimulatorConfig(trainings=50, limit=None, keys=keys)) as upstream:
        statuses = await replace_under_load(upstream, two_tenants(tmp_path), 100)

    assert set(statuses) == {200}
