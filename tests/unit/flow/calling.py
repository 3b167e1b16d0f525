"""Calls past the only way to the upstream, and how they end."""

from __future__ import annotations

import pytest

from gateway.core.errors import (
    InvalidPayload,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
)
from gateway.core.vocabulary import FailureReason, InvalidReason, Purpose
from gateway.ports import Call
from tests.unit.flow.house import OURS, Replica, ok

SCOPE = "default"


def refused() -> UpstreamRefused:
    """Our own token is no good."""
    return UpstreamRefused("401", status=401)


def invalid() -> InvalidPayload:
    """A body that is no training."""
    return InvalidPayload(InvalidReason.NOT_JSON, "the body")


def broken() -> UpstreamError:
    """A 500."""
    return UpstreamError("500", FailureReason.STATUS_5XX, status=500)


async def ask(replica: Replica, training_id: str = "trn_1") -> None:
    """Make one call."""
    call = Call(training_id, "token-1", Purpose.MISS, replica.clock.monotonic() + 10.0)
    await replica.outbound.ask(OURS, call)


async def fail(replica: Replica, failure: UpstreamFailure | None = None, times: int = 1) -> None:
    """Make calls that upstream fails at, each for another training."""
    for n in range(1, times + 1):
        replica.upstream.then(failure or broken())
        with pytest.raises(UpstreamFailure) as caught:
            await ask(replica, f"trn_{n}")
        await replica.outbound.failed(OURS, f"trn_{n}", caught.value)


async def succeed(replica: Replica) -> None:
    """Make a call that upstream answers."""
    replica.upstream.then(ok(1))
    await ask(replica)
    await replica.outbound.answered(OURS)


async def limit(replica: Replica, retry_after: float | None = 30.0) -> UpstreamRateLimited:
    """Make a call to which upstream says 429."""
    failure = UpstreamRateLimited("429", retry_after=retry_after)
    await fail(replica, failure)
    return failure
