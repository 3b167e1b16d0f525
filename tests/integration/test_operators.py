"""Orders by name: log, journal and metrics of all replicas tell the operator; the tokens file is
read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import access
from gateway.core.access.caller import digest_of
from gateway.simulator import RunningSimulator
from tests.integration.gateways import Planes, gateway, until
from tests.integration.replicas import replicas

ID = "trn_000001"
ON_CALL = {"authorization": "Bearer on-call-t0ken"}
PIPELINE = {"authorization": "Bearer pipeline-t0ken"}
EVERYTHING = '["read", "invalidate", "purge", "mode"]'


@pytest.fixture(autouse=True)
def looks_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked at more often, so that less is waited for."""
    monkeypatch.setattr(access, "LOOK_EVERY", 0.02)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two operators: one may invalidate, the other everything."""
    return written(tmp_path / "tokens.toml", pipeline='["invalidate"]', on_call=EVERYTHING)


def written(path: Path, **may: str) -> Path:
    """The file with a row for each name."""
    names = {name.replace("_", "-"): rights for name, rights in may.items()}
    path.write_text(
        "".join(
            f'[[tokens]]\nname = "{name}"\nsha256 = "{digest_of(f"{name}-t0ken")}"\n'
            f"may = {rights}\n"
            for name, rights in names.items()
        )
    )
    return path


async def events(planes: Planes, event: str) -> list[dict[str, object]]:
    """The fields of the lines of that name that were logged lately."""
    status = await planes.admin.get("/status", headers=ON_CALL)
    return [each["fields"] for each in status.json()["events"] if each["event"] == event]


async def journal(planes: Planes) -> list[dict[str, object]]:
    """What happened to the training by anybody's order, as /explain tells it."""
    words = (await planes.admin.get(f"/explain/{ID}", headers=ON_CALL)).json()
    return [each for each in words["events"] if "operator" in each]


async def test_an_order_is_told_by_name_everywhere(
    upstream: RunningSimulator, redis_url: str, file: Path
) -> None:
    """By the replica that took it and by the other, and no token is."""
    async with replicas(upstream.base_url, [redis_url] * 2, admin__tokens_file=str(file)) as every:
        one, other = every
        for planes in every:
            await planes.get(ID)

        done = await one.admin.post("/invalidate", json={"ids": [ID]}, headers=PIPELINE)
        assert (done.status_code, done.json()) == (200, {"replicas": {"known": 2, "confirmed": 2}})
        assert (await one.admin.post("/purge", json={}, headers=PIPELINE)).status_code == 403
        frozen = await other.admin.post("/mode", json={"mode": "frozen"}, headers=ON_CALL)
        assert frozen.status_code == 200

        told = {"order": "invalidate", "operator": "pipeline", "ids": 1, "first": ID, "soft": False}
        assert await events(one, "order.done") == [{**told, "replicas": 2, "confirmed": 2}]
        refused = await events(one, "access.refused")
        assert (refused[0]["reason"], refused[0]["operator"]) == ("not-permitted", "pipeline")
        by_order, by_replica = await journal(one), await journal(other)
        assert [(by_order[-1]["by"], by_order[-1]["operator"])] == [("order", "pipeline")]
        assert [(by_replica[-1]["by"], by_replica[-1]["operator"])] == [("replica", "pipeline")]
        orders = "gateway_orders_total{"
        assert await one.metric(orders) == await other.metric(orders) == 1
        assert await one.reads(f'{orders}operator="pipeline",order="invalidate"}}', 1) or (
            await one.reads(f'{orders}order="invalidate",operator="pipeline"}}', 1)
        )
        for planes in every:
            await until(lambda planes=planes: is_frozen_by(planes, "on-call"))  # type: ignore[misc]
            shown = (await planes.admin.get("/status", headers=ON_CALL)).text
            assert "t0ken" not in shown + (await planes.admin.get("/metrics")).text


async def is_frozen_by(planes: Planes, operator: str) -> bool:
    """Whether the replica tells who froze it, and since when."""
    order = (await planes.admin.get("/status", headers=ON_CALL)).json()["mode_order"]
    return order is not None and order["by"] == operator and order["since"].endswith("Z")


async def test_the_file_is_read_again(upstream: RunningSimulator, file: Path) -> None:
    """A right that is taken away is gone, a faulty version changes nothing but says so."""
    reloaded = "gateway_tokens_last_reload_successful"

    async def may_invalidate() -> bool:
        answer = await planes.admin.post("/invalidate", json={"ids": [ID]}, headers=PIPELINE)
        return answer.status_code == 200

    async def may_not() -> bool:
        return not await may_invalidate()

    async with gateway(upstream.base_url, admin__tokens_file=str(file)) as planes:
        assert await planes.metric(reloaded) == 1
        assert await may_invalidate()

        written(file, pipeline='["read"]', on_call=EVERYTHING)
        await until(may_not)
        written(file, pipeline='["invalidate", "everything"]', on_call=EVERYTHING)
        await until(lambda: planes.reads(reloaded, 0))
        assert not await may_invalidate()
        told = await events(planes, "tokens.refused")
        assert "may: is not a list of rights" in str(told[0]["faults"])

        written(file, pipeline='["invalidate"]', on_call=EVERYTHING)
        await until(may_invalidate)
        assert await planes.metric(reloaded) == 1


async def test_loopback_needs_a_token_as_soon_as_there_is_a_file(
    upstream: RunningSimulator, file: Path
) -> None:
    """Without one nothing is read or ordered; `admin.token` goes on doing everything beside it."""
    settings = {"admin__tokens_file": str(file), "admin__token": "own-t0ken"}
    async with gateway(upstream.base_url, **settings) as planes:
        assert (await planes.admin.get("/status")).status_code == 401
        assert (await planes.admin.post("/purge", json={})).status_code == 401

        own = {"authorization": "Bearer own-t0ken"}
        assert (await planes.admin.post("/purge", json={}, headers=own)).status_code == 200
        assert (await events(planes, "order.done"))[0]["operator"] == "admin.token"
