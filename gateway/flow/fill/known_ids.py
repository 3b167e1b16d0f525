"""Whether the upstream probably has a training: what the last complete sweep says of its id.

A training that is newer than that sweep is fetched all the same, behind those that it met.
"""

from __future__ import annotations

from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.flow.fill.fetch_result import Want
from gateway.ports import SweepLease


class Knowing:
    """Asks what sweeps met; without a `lease` nothing is swept, and nobody is a guess."""

    def __init__(self, lease: SweepLease | None) -> None:
        self._lease = lease

    async def is_unknown(self, want: Want) -> bool:
        """Whether a complete sweep of the partition did not meet it. One step in Redis, for a
        miss alone: a request with a stored answer, or a version to wait for, is no guess."""
        if self._lease is None or want.purpose is not Purpose.MISS or want.caller.owns_token:
            return False
        try:
            known = await self._lease.knows(want.key.partition, want.key.training_id)
        except RedisUnavailable:
            return False
        return known is False
