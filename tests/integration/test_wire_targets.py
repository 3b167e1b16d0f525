"""Absolute, encoded and crooked targets on raw sockets: none reaches another resource."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from gateway.simulator import RunningSimulator
from tests.integration.gateways import Planes, gateway
from tests.support.raw_http import Answer, asked

ID = "trn_000001"
BEARER = b"Authorization: Bearer demo-token\r\n"


@pytest.fixture
async def planes(upstream: RunningSimulator) -> AsyncIterator[Planes]:
    """The admin plane with a token, so that most of it is behind the door."""
    async with gateway(upstream.base_url, admin__token="s3cret") as planes:
        yield planes


@pytest.fixture
async def open_planes(upstream: RunningSimulator) -> AsyncIterator[Planes]:
    """The admin plane as it comes: open to this machine."""
    async with gateway(upstream.base_url) as planes:
        yield planes


async def sent(url: object, line: str, *fields: bytes, body: bytes = b"") -> Answer:
    """The one answer to a request with this request line."""
    head = b"".join((line.encode(), b" HTTP/1.1\r\n", *fields, b"Connection: close\r\n\r\n"))
    (answer,) = await asked(str(url), head + body)
    return answer


# On the data plane: the training with that id, a probe, or a problem.
TARGETS = [
    (f"http://anywhere.test/training/{ID}", 200),
    (f"http://anywhere.test:1/training/{ID}?x=http://b/training/trn_000002", 200),
    ("http://anywhere.test/livez", 200),
    ("http://anywhere.test", 404),
    (f"/%74raining/{ID}", 404),
    (f"/training/%74rn_00000{1}", 200),
    (f"/training%2F{ID}", 404),
    (f"/training/{ID}%2F", 400),
    (f"/training/{ID}/", 404),
    (f"//training/{ID}", 404),
    (f"//anywhere.test/training/{ID}", 404),
    (f"/./training/{ID}", 404),
    (f"/livez/../training/{ID}", 404),
    (f"/training/..%2Ftraining%2F{ID}", 400),
    ("/training/%2e%2e", 400),
    ("/training/..", 400),
    ("/training/../livez", 404),
    ("/training/%00", 400),
    ("/training/trn%0d%0aX:y", 400),
    ("/training/%zz", 400),
    ("/training/%", 400),
    (f"/training/{ID};v=2", 400),
    ("/livez/", 404),
    ("/readyz%2f..%2flivez", 404),
]


async def test_a_target_names_what_it_says_or_nothing(open_planes: Planes) -> None:
    """Each by itself; only the training is asked for upstream, and once."""
    url = open_planes.data.base_url
    found = [
        (target, (await sent(url, f"GET {target}", b"Host: a\r\n", BEARER)).status)
        for target, _ in TARGETS
    ]
    named = await sent(url, f"GET {TARGETS[0][0]}", b"Host: a\r\n", BEARER)

    assert found == TARGETS
    assert json.loads(named.body)["id"] == ID
    assert await open_planes.metric("gateway_upstream_requests_total") == 1


INSIDE = [
    *("/status", "/%73tatus", "//status", "/status/", "/metrics/../status", "/livez;/status"),
    *("/metrics%2f..%2fstatus", "/metrics/%2e%2e/status", "/page.css/../status"),
    *("http://localhost/status", "http://localhost/%73tatus", f"/explain/{ID}"),
    *(f"/metrics/explain/{ID}", "/openapi.jso%6e/"),
]


async def test_no_target_gets_round_the_token(planes: Planes) -> None:
    """Metrics, probes and the shell are open by their own names; all else is 401, or the shell."""
    url = planes.admin.base_url
    shell = await sent(url, "GET /?/status/", b"Host: localhost\r\n")
    refused = [await sent(url, f"GET {target}", b"Host: localhost\r\n") for target in INSIDE]

    assert b"<html" in shell.body
    told = dict(zip(INSIDE, [(each.status, each.word) for each in refused], strict=True))
    assert told == dict.fromkeys(INSIDE, (401, "credential-missing"))


JSON = b"Content-Type: application/json\r\n"
REBOUND = [
    ("GET /status", b"Host: evil.test\r\n"),
    ("GET /status", b"Host: evil.test:8081\r\n"),
    ("GET /", b"Host: localhost.evil.test\r\n"),
    ("GET http://evil.test/status", b"Host: localhost\r\n"),
    ("GET http://evil.test:8081/", b"Host: 127.0.0.1\r\n"),
    ("GET //localhost/status", b"Host: evil.test\r\n"),
    ("POST /purge", b"Host: evil.test\r\n" + JSON),
    ("POST http://evil.test/purge", b"Host: localhost\r\n" + JSON),
]
# What a browser posts by itself is no JSON.
FORMS = [
    b"",
    b"Content-Type: text/plain\r\n",
    b"Content-Type: application/x-www-form-urlencoded\r\n",
    b"Content-Type: multipart/form-data; boundary=a\r\n",
    b"Content-Type: text/plain; application/json\r\n",
    JSON + b"Content-Type: text/plain\r\n",
]


async def test_another_sites_page_reads_and_changes_nothing(open_planes: Planes) -> None:
    """A page may make its own name point to this machine: the name then stands in the request.
    Or it posts a form, whose type is another one; of JSON a browser asks first, and gets a no."""
    url, length = open_planes.admin.base_url, b"Content-Length: 2\r\n"
    here = b"Host: localhost:8081\r\nOrigin: http://evil.test\r\n"
    asked_for = [*REBOUND, *(("POST /purge", here + kind) for kind in FORMS)]
    wishes = b"Access-Control-Request-Method: POST\r\n"
    wishes += b"Access-Control-Request-Headers: content-type\r\n"

    refused = [await sent(url, line, fields, length, body=b"{}") for line, fields in asked_for]
    preflight = await sent(url, "OPTIONS /purge", here, wishes)

    told = [(each.status, each.word) for each in refused]
    assert told == [(400, "bad-request")] * len(asked_for)
    assert preflight.status >= 400
    assert not [name for name in preflight.fields if name.startswith("access-control-")]
    assert await open_planes.metric("gateway_invalidations_total") == 0


async def test_refused_operators_are_counted(planes: Planes) -> None:
    """By reason, as callers are."""
    url = planes.admin.base_url
    await sent(url, "GET /status", b"Host: a\r\n")
    for wrong in (b"Bearer wrong", b"Bearer s3cret!", b"Basic s3cret"):
        await sent(url, "GET /status", b"Host: a\r\n", b"Authorization: " + wrong + b"\r\n")
    right = await sent(url, "GET /status", b"Host: a\r\n", b"Authorization: Bearer s3cret\r\n")

    assert right.status == 200
    name = "gateway_access_refused_total"
    for reason, count in (("missing", 1), ("unknown", 2), ("malformed", 1)):
        assert await planes.metric(f'{name}{{reason="credential-{reason}"}}') == count
