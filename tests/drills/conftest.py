"""The drills run on what the integration tests run on."""

from __future__ import annotations

from tests.integration.conftest import control, upstream

__all__ = ["control", "upstream"]
