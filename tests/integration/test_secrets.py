"""A credential goes upstream and nowhere else."""

from __future__ import annotations

import asyncio
import base64

import pytest
import redis

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import gateway
from tests.support.redis_acl import without
from tests.support.servers import RedisServer

CALLERS = "callers-own-token-6f1e"
GATEWAYS = "gateways-token-93ab"
ADMINS = "admins-token-27dd"
SALT = "partition-secret-51c0"
REDIS_WORD = "redis-password-88e2"
SECRETS = (CALLERS, GATEWAYS, ADMINS, SALT, REDIS_WORD)
FAULTS = ["status-500", "html-403", "cut-body", "reset", "rate-limited", "unauthorized", "wrong-id"]


def leaks(text: str | bytes) -> list[str]:
    """The secrets that stand in the text, plainly, in base64 or as bytes."""
    raw = text.encode() if isinstance(text, str) else text
    return [
        secret
        for secret in SECRETS
        if secret.encode() in raw or base64.b64encode(secret.encode())[:-2] in raw
    ]


def everything_in(server: RedisServer) -> bytes:
    """All keys and all values of a Redis, as it would dump them."""
    with server.client() as client:
        keys = client.keys("*")
        values = [client.dump(key) or b"" for key in keys]
        strings = [client.get(key) or b"" for key in keys if client.type(key) == b"string"]
    assert keys, "the test would see nothing"
    return b"\n".join([*keys, *values, *strings])


@pytest.mark.parametrize("mode", ["passthrough", "open"])
async def test_a_credential_is_found_nowhere(
    upstream: RunningSimulator,
    control: SimulatorClient,
    own_redis: RedisServer,
    capfd: pytest.CaptureFixture[str],
    mode: str,
) -> None:
    """Neither Redis nor logs, metrics, /status, /explain or any answer tells a secret."""
    token = CALLERS if mode == "passthrough" else GATEWAYS
    await control.add_key(token, "demo")
    settings = {} if mode == "passthrough" else {"upstream__token": GATEWAYS}
    bearer = {"authorization": f"Bearer {CALLERS}"}
    told: list[str] = []
    url = without(own_redis.url).replace("redis://", f"redis://:{REDIS_WORD}@")
    with own_redis.client() as client:
        client.config_set("requirepass", REDIS_WORD)
    try:
        async with gateway(
            upstream.base_url,
            url,
            access__mode=mode,
            access__secret=SALT,
            admin__token=ADMINS,
            log__level="debug",
            **settings,
        ) as planes:
            admin = {"authorization": f"Bearer {ADMINS}"}
            told.append((await planes.get("trn_000001", **bearer)).text)
            for fault in FAULTS:
                await control.fault(fault, count=1)
                answer = await planes.get("trn_000002", **bearer)
                told.append(f"{answer.headers} {answer.text}")
            for path in ("/metrics", "/status", "/explain/trn_000001"):
                shown = await planes.admin.get(path, headers=admin)
                assert shown.status_code == 200, shown.text
                told.append(f"{shown.headers} {shown.text}")
            told.append((await planes.get("trn_000003", authorization=f"Basic {CALLERS}")).text)
            await asyncio.sleep(0.05)
    finally:
        own_redis_unprotected(own_redis)
    told.append("".join(capfd.readouterr()))

    assert '"request.answered"' in told[-1], "the test would see no log"
    assert leaks("\n".join(told)) == []
    assert leaks(everything_in(own_redis)) == []


def own_redis_unprotected(server: RedisServer) -> None:
    """Take the password away again, for the look into what is stored."""
    with redis.Redis.from_url(without(server.url), password=REDIS_WORD) as client:
        client.config_set("requirepass", "")
