"""A hundred thousand lists and as many batches, while the sweep goes on."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE

from tests.integration.gateways import TOKEN
from tests.integration.test_lists import IDS, world


async def test_none_of_a_hundred_thousand_makes_a_call(redis_url: str) -> None:
    """All are answered from memory."""
    batch = f"ids={','.join(IDS)}"
    async with world(redis_url) as here:
        await here.list(batch)
        before, url = await here.calls(), here.all_planes[0].data.base_url
        for query in (batch, "type=BEHAVIORAL&limit=100"):
            load = await asyncio.create_subprocess_exec(
                *("h2load", "--h1", "-n", "100000", "-c", "16"),
                *("-H", f"authorization: Bearer {TOKEN}", f"{url}/training?{query}"),
                stdout=PIPE,
            )
            output, _ = await load.communicate()
            assert "status codes: 100000 2xx" in output.decode()
        assert await here.calls() == before
