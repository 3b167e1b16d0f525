"""All checks, in the order of the table."""

from __future__ import annotations

from tests.torture.check import Check
from tests.torture.checks import (
    bodies,
    freshness,
    hanging,
    idle,
    leaving,
    limits,
    purging,
    stampedes,
    tenants,
    unbounded,
    versions,
    wording,
)

CHECKS: tuple[Check, ...] = (
    *tenants.CHECKS,
    *purging.CHECKS,
    *stampedes.CHECKS,
    *limits.CHECKS,
    *freshness.CHECKS,
    *bodies.CHECKS,
    *versions.CHECKS,
    *leaving.CHECKS,
    *hanging.CHECKS,
    *idle.CHECKS,
    *wording.CHECKS,
    *unbounded.CHECKS,
)
