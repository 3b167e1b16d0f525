"""The section `freshness` of the settings, as the core wants it."""

from __future__ import annotations

from gateway.core.cache.policy import Windows
from gateway.settings import NoStore, Settings


def windows_of(settings: Settings) -> Windows:
    """The freshness section as the core wants it."""
    freshness = settings.freshness
    return Windows(
        lifetime=freshness.lifetime,
        stale_while_revalidate=freshness.stale_while_revalidate,
        stale_if_error=freshness.stale_if_error,
        soft_wait=freshness.soft_wait,
        negative_lifetime=freshness.negative_lifetime,
        respect_no_store=freshness.no_store is NoStore.RESPECT,
        believe_after=freshness.believe_after,
    )
