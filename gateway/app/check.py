"""Are the connections that the settings name there? Spends no call of the upstream's limit."""

from __future__ import annotations

from gateway.app.compose import compose
from gateway.app.listen import StartFault, listen
from gateway.core.errors import RedisUnavailable, UpstreamFailure
from gateway.settings import AccessMode, Settings


async def check(settings: Settings) -> tuple[str, ...]:
    """One line a fault, none when all is well: ports, upstream, Redis."""
    faults: list[str] = []
    _check_listening(settings, faults)
    try:
        house = compose(settings)
    except StartFault as fault:
        return (*faults, *fault.faults)
    try:
        await house.upstream.reachable()
    except UpstreamFailure as failure:
        faults.append(f"upstream.base_url: {failure.what}")
    finally:
        await house.upstream.close()
        await house.tracer.close(0.0)
    if house.redis is not None:
        try:
            await house.redis.reach()
        except RedisUnavailable as away:
            faults.append(f"redis.url: {away} (redis.timeout is {settings.redis.timeout} s)")
        finally:
            await house.redis.close()
    return tuple(faults)


def untried(settings: Settings) -> str:
    """What `check` leaves open, since it would spend a call of the limit."""
    tokens = {
        AccessMode.PASSTHROUGH: "callers' tokens",
        AccessMode.CLIENTS: "the tenants' tokens",
        AccessMode.OPEN: "upstream.token",
    }[settings.access.mode]
    return f"whether upstream.base_url is the training API, and whether it accepts {tokens}"


def _check_listening(settings: Settings, faults: list[str]) -> None:
    for plane, section in (("server", settings.server), ("admin", settings.admin)):
        try:
            setting, shared = f"{plane}.port", settings.server.reuse_port and plane == "server"
            listen(section.host, section.port, setting=setting, reuse_port=shared).close()
        except StartFault as fault:
            faults.extend(fault.faults)
