"""A hundred thousand interleavings: 0 answers of another tenant, 0 to a key after its bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import access
from tests.integration.test_tenancy import with_gateway_keys, with_own_tokens

READS = 50_000


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_EVERY", 0.05)


@pytest.mark.timeout(3600)
async def test_revoked_tokens_and_tenants(redis_url: str) -> None:
    """`passthrough`: callers' tokens come and are revoked at the upstream."""
    campaign = await with_own_tokens(redis_url, READS)

    assert campaign.wrong == []
    assert campaign.was_worth_it, campaign.seen


@pytest.mark.timeout(3600)
async def test_rotated_keys_and_tenants(redis_url: str, tmp_path: Path) -> None:
    """`clients`: keys come and go by the file, and upstream tokens rotate beneath them."""
    campaign = await with_gateway_keys(redis_url, READS, tmp_path)

    assert campaign.wrong == []
    assert campaign.was_worth_it, campaign.seen
