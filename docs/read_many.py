"""Reads the trainings whose ids are given, and all BEHAVIORAL ones: two requests to the gateway."""

import asyncio
import os
import sys

import httpx


async def by_ids(client, ids):
    """These trainings. The ones that could not be had are left out."""
    response = await client.get("/training", params={"ids": ",".join(ids)})
    items = response.raise_for_status().json()["items"]
    return [item["training"] for item in items if item["status"] == 200]


async def all_of_type(client, wanted):
    """All trainings of a type, a hundred with each request."""
    found, more = [], True
    while more:
        params = {"type": wanted, "limit": 100, "offset": len(found)}
        response = await client.get("/training", params=params)
        page = response.raise_for_status().json()
        found, more = found + page["items"], page["has_more"]
    return found


async def main(ids):
    url = os.environ.get("GATEWAY", "http://127.0.0.1:8080")
    headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        both = await asyncio.gather(by_ids(client, ids), all_of_type(client, "BEHAVIORAL"))
    for name, found in zip(("by id", "BEHAVIORAL"), both):
        print(name, len(found), *[each["id"] for each in found[:3]])


asyncio.run(main(sys.argv[1:]))
