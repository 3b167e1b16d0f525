"""Real clients read through the gateway, compressed and conditional, and all read the same."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
from hishel import CacheOptions, SqliteStorage
from hishel.httpx import CacheClient

from tests.system.commands import CALLER, TOKEN, Gateway, address, simulator

FETCH = Path(__file__).with_name("clients.mjs")
ID = "trn_000001"


@dataclass(frozen=True, slots=True)
class Read:
    """What a client made of one answer; `text` is what its user gets."""

    status: int
    etag: str | None
    coding: str | None
    version: str | None
    text: str


Client = Callable[[str, str | None], Read]


def by_httpx(url: str, tag: str | None) -> Read:
    """Python's httpx, which takes gzip and undoes it."""
    answer = httpx.get(url, headers=_fields(tag), trust_env=False, timeout=30)
    return _read(answer.status_code, answer.headers.get, answer.text)


def by_requests(url: str, tag: str | None) -> Read:
    """Python's requests, likewise."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, headers=_fields(tag), timeout=30)
    return _read(answer.status_code, answer.headers.get, answer.content.decode())


def by_aiohttp(url: str, tag: str | None) -> Read:
    """Python's aiohttp, likewise."""

    async def read() -> Read:
        async with aiohttp.ClientSession() as session, session.get(url, headers=_fields(tag)) as it:
            return _read(it.status, it.headers.get, (await it.read()).decode())

    return asyncio.run(read())


def by_urllib(url: str, tag: str | None) -> Read:
    """The standard library, which does not take it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Kept())
    answer = opener.open(urllib.request.Request(url, headers=_fields(tag)), timeout=30)
    return _read(answer.status, answer.headers.get, answer.read().decode())


def by_curl(url: str, tag: str | None) -> Read:
    """curl, asked to undo it."""
    fields = [f"-H{name}: {value}" for name, value in _fields(tag).items()]
    command = ["curl", "--silent", "--compressed", "--noproxy", "*", "--include", *fields, url]
    text = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout.decode()
    head, _, body = text.partition("\r\n\r\n")
    line, *lines = head.split("\r\n")
    named = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    return _read(int(line.split()[1]), named.get, body)


def by_node(url: str, tag: str | None) -> Read:
    """Node's fetch."""
    command = ["node", str(FETCH), url, TOKEN, *([tag] if tag else [])]
    told = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    return Read(**json.loads(told))


class _Kept(urllib.request.HTTPErrorProcessor):
    """A 304 is an answer like any other."""

    def http_response(self, request, response):  # type: ignore[no-untyped-def]
        return response


def _fields(tag: str | None) -> dict[str, str]:
    return {**CALLER, **({} if tag is None else {"If-None-Match": tag})}


def _read(status: int, field: Callable[[str], str | None], text: str) -> Read:
    etag, coding = field("etag"), field("content-encoding")
    return Read(status, etag, coding, field("training-updated-at"), text)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A training with some text, behind a gateway."""
    folder = tmp_path_factory.mktemp("clients")
    with simulator(folder, "--trainings", "3") as upstream:
        origin = address(upstream)
        words = {"id": ID, "content": "Refund within thirty days. " * 200}
        httpx.post(f"{origin}/_control/edit", json=words, trust_env=False).raise_for_status()
        house = Gateway(folder, origin)
        with house.process:
            yield f"{house.data}/training/{ID}"


@pytest.mark.parametrize(
    ("client", "program", "compressed"),
    [
        (by_httpx, None, True),
        (by_requests, None, True),
        (by_aiohttp, None, True),
        (by_urllib, None, False),
        (by_curl, "curl", True),
        (by_node, "node", True),
    ],
)
def test_every_client_reads_the_same(
    url: str, client: Client, program: str | None, compressed: bool
) -> None:
    """The upstream's bytes, whether or not compressed on the way; asked again with its tag each is
    told that nothing changed."""
    if program is not None and shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    plain = httpx.get(
        url, headers={**CALLER, "Accept-Encoding": "identity"}, trust_env=False, timeout=30
    )

    first = client(url, None)
    again = client(url, first.etag)

    assert (first.status, first.text) == (200, plain.text)
    assert first.version == plain.headers["training-updated-at"]
    assert (first.coding == "gzip") is compressed
    assert (first.etag == plain.headers["etag"]) is not compressed
    assert (again.status, again.etag, again.text) == (304, first.etag, "")


def test_a_cache_of_the_clients_own_keeps_what_it_may(url: str, tmp_path: Path) -> None:
    """hishel reads through once, then from its own store: `private` and `max-age` are for it."""
    storage = SqliteStorage(database_path=tmp_path / "cache.db")
    with CacheClient(storage=storage, rfc=CacheOptions(shared=False), trust_env=False) as client:
        first, again = (client.get(url, headers=CALLER, timeout=30) for _ in range(2))

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.text == again.text
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
