"""The example of an nginx in front, loaded by the real one: TLS, a second of cache, and no leak."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from tests.delivery.chart import ROOT
from tests.support.servers import HOST, Process, free_port, listens
from tests.system.commands import Gateway, address, get, simulator

CONFIG = (ROOT / "config" / "examples" / "nginx.conf").read_text()
AUTHORITY = trustme.CA()
ID = "/training/trn_000001"
# Two organisations whose trainings have the same ids, one whose key is unknown, one without any.
KNOWN, STRANGERS = ("Bearer one-token", "Bearer two-token"), ("Bearer on", "")
ROUNDS, TOGETHER = 6, 5
TEMPORARY = "".join(
    f"{kind}_temp_path $folder/{kind}; "
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


class Front:
    """nginx before a gateway before a simulator."""

    def __init__(self, port: int, gateway: Gateway) -> None:
        self.gateway = gateway
        trust = ssl.create_default_context()
        AUTHORITY.configure_trust(trust)
        self.trust = trust
        self.base = f"https://{HOST}:{port}"

    def ask(self, path: str, authorization: str | None, **headers: str) -> httpx.Response:
        """The answer to a caller over TLS, on a connection of its own."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if authorization is not None:
            given["Authorization"] = authorization
        return httpx.get(
            self.base + path, headers=given, verify=self.trust, trust_env=False, timeout=30
        )

    def reached(self) -> int:
        """How many requests the gateway has answered."""
        text = get(f"{self.gateway.admin}/metrics").text
        counts = re.findall(r"^gateway_requests_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
        return int(sum(map(float, counts)))


@contextmanager
def front(folder: Path, config: str = CONFIG) -> Iterator[Front]:
    """All three, with the config's places replaced by those of the test."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed; .ci/servers says how")
    keys = ("--key", "one-token=one", "--key", "two-token=two")
    with simulator(folder, "--trainings", "3", "--limit", "0", *keys) as upstream:
        settings = {"GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited"}
        gateway = Gateway(folder, address(upstream), **settings)
        port = free_port()
        with gateway.process, _nginx(folder, config, port, gateway.data):
            yield Front(port, gateway)


def _nginx(folder: Path, config: str, port: int, upstream: str) -> Process:
    pair = AUTHORITY.issue_cert(HOST)
    (folder / "tls").mkdir()
    (folder / "tls" / "tls.crt").write_bytes(b"".join(b.bytes() for b in pair.cert_chain_pems))
    (folder / "tls" / "tls.key").write_bytes(pair.private_key_pem.bytes())
    places = {
        "worker_processes auto;": f"daemon off; {'user root;' if os.geteuid() == 0 else ''}",
        "/run/nginx.pid": "$folder/nginx.pid",
        "/var/log/nginx/error.log": "$folder/error.log",
        "http {": "http { " + TEMPORARY,
        "/var/cache/nginx/trainings": "$folder/cache",
        "/etc/nginx/tls": "$folder/tls",
        "127.0.0.1:8080": upstream.removeprefix("http://"),
        "listen 443 ssl;": f"listen {HOST}:{port} ssl;",
    }
    for usual, here in places.items():
        assert usual in config, usual
        config = config.replace(usual, here.replace("$folder", str(folder)))
    file = folder / "nginx.conf"
    file.write_text(config)
    command = ["nginx", "-c", str(file), "-e", str(folder / "error.log")]
    return Process(command, log=folder / "nginx.log", ready=lambda: listens(port))


async def leaks(front: Front) -> set[str]:
    """Which callers, asking for the same id at the same time, got what was not theirs."""
    own = {token: get_as(front, token) for token in KNOWN}
    assert len(set(own.values())) == len(own)
    asked = [token for token in (*KNOWN, *STRANGERS) for _ in range(TOGETHER)]
    found: set[str] = set()
    async with httpx.AsyncClient(
        base_url=front.base, verify=front.trust, trust_env=False, timeout=60
    ) as client:
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*(_asked(client, token) for token in asked))
            pairs = zip(asked, answers, strict=True)
            found |= {token for token, answer in pairs if not _is_right(answer, own.get(token))}
    return found


def _is_right(answer: httpx.Response, own: str | None) -> bool:
    """Whether a caller was answered with its own training, or a stranger turned away."""
    if own is None:
        return answer.status_code == 401
    return (answer.status_code, answer.text) == (200, own)


def get_as(front: Front, authorization: str) -> str:
    """The body by the gateway itself, without nginx."""
    url = f"{front.gateway.data}{ID}"
    headers = {"Authorization": authorization}
    answer = httpx.get(url, headers=headers, trust_env=False, timeout=30)
    assert answer.status_code == 200
    return answer.text


async def _asked(client: httpx.AsyncClient, authorization: str) -> httpx.Response:
    return await client.get(ID, headers={"Authorization": authorization} if authorization else {})


async def test_no_caller_gets_what_is_anothers(tmp_path: Path) -> None:
    """Many callers at once, known and unknown: each is answered with its own, or refused."""
    with front(tmp_path) as here:
        before = here.reached()

        assert await leaks(here) == set()

        # Else nginx kept nothing, and there was nothing to leak.
        assert here.reached() - before < ROUNDS * TOGETHER * len(KNOWN + STRANGERS)


async def test_a_key_without_the_credential_would_be_found(tmp_path: Path) -> None:
    """The same callers see each other's where the config's two safeguards are taken out."""
    careless = CONFIG.replace('"$request_uri $http_authorization"', "$request_uri")
    careless = careless.replace("Cache-Control Expires", "Cache-Control Expires Vary")

    with front(tmp_path, careless) as here:
        assert await leaks(here)


def test_what_nginx_adds_and_leaves_out(tmp_path: Path) -> None:
    """A request id of its own each, no way to the rest, and no cache for who asks for more."""
    with front(tmp_path) as here:
        first, second = (here.ask(ID, "Bearer one-token") for _ in "ab")
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert first.headers.get_list("x-request-id") == [first.headers["x-request-id"]]
        assert {here.ask(path, None).status_code for path in ("/metrics", "/readyz", "/")} == {404}

        before = here.reached()
        newest = {"training_min_updated_at": first.headers["training-updated-at"]}
        for headers in ({"cache_control": "no-cache"}, newest):
            assert here.ask(ID, "Bearer one-token", **headers).status_code == 200
        assert here.reached() - before == 2

        tag = first.headers["etag"]
        assert here.ask(ID, "Bearer one-token", if_none_match=tag).status_code == 304
