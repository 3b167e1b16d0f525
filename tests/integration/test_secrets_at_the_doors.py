"""What is sent with a refused or odd request stays where it was sent; and what goes upstream."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.simulator import RunningSimulator
from tests.integration.gateways import gateway
from tests.support.raw_http import asked
from tests.system.commands import Gateway

SECRET = "callers-own-token-wqzk"
ADMINS = "admins-token-27dd"
BEARER = f"Authorization: Bearer {SECRET}\r\n".encode()
GET = b"GET /training/trn_000001 HTTP/1.1\r\n"
CLOSE = b"Connection: close\r\n\r\n"

ODD = {
    "no Host": GET + BEARER + b"\r\n",
    "two Authorizations": GET + b"Host: a\r\n" + BEARER + BEARER + b"\r\n",
    "a broken field": GET + b"Host: a\r\n" + BEARER.replace(b":", b" :") + b"\r\n",
    "a large head": GET + b"Host: a\r\n" + BEARER + b"X: " + SECRET.encode() * 2_000 + b"\r\n\r\n",
    "a token as target": f"GET http://{SECRET}@a/{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a token as path": f"GET /{SECRET} HTTP/1.1\r\nHost: a\r\n".encode() + CLOSE,
    "a token as query": f"GET /training/trn_000001?key={SECRET} HTTP/1.1\r\n".encode()
    + b"Host: a\r\n"
    + CLOSE,
    "a token as method": f"{SECRET} / HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a token as request id": GET + b"Host: a\r\nX-Request-ID: bad id " + SECRET.encode() + b"\r\n"
    b"Connection: close\r\n\r\n",
    "another scheme": GET
    + b"Host: a\r\nAuthorization: Digest "
    + SECRET.encode()
    + b"\r\n"
    + CLOSE,
    "a token as Host": GET + b"Host: " + SECRET.encode() + b"/\r\n\r\n",
}


async def test_what_was_refused_is_not_repeated(
    upstream: RunningSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither to the caller nor in logs, metrics or figures; on both planes, whatever it was."""
    told: list[str] = []
    async with gateway(upstream.base_url, admin__token=ADMINS, log__level="debug") as planes:
        for raw in ODD.values():
            for plane in (planes.data, planes.admin):
                told += map(str, await asked(str(plane.base_url), raw))
        admin = {"authorization": f"Bearer {ADMINS}"}
        for path in ("/metrics", "/status", "/explain/trn_000001"):
            told.append((await planes.admin.get(path, headers=admin)).text)
    logged = "".join(capfd.readouterr())

    assert len(told) == 2 * len(ODD) + 3
    assert '"access.refused"' in logged, "the test would see no log"
    assert "wqzk" not in "".join(told)
    assert SECRET not in logged
    assert ADMINS not in "".join((*told, logged))


async def test_no_secret_stands_in_the_process_list(
    upstream: RunningSimulator, tmp_path: Path
) -> None:
    """`gateway serve` takes none as an argument, and gives itself no title that tells one."""
    token = tmp_path / "token"
    token.write_text("upstream-token-11aa")
    secrets = {
        "GATEWAY_ACCESS__MODE": "open",
        "GATEWAY_ADMIN__TOKEN": ADMINS,
        "GATEWAY_UPSTREAM__TOKEN_FILE": str(token),
        "GATEWAY_ACCESS__SECRET": "partition-secret-51c0",
    }
    with Gateway(tmp_path, upstream.base_url, **secrets).process as process:
        proc = Path("/proc") / str(process.pid)
        shown = (proc / "cmdline").read_bytes() + (proc / "comm").read_bytes()
        process.stop()

    assert b"serve" in shown
    for secret in (ADMINS, "upstream-token-11aa", "partition-secret-51c0"):
        assert secret.encode() not in shown
        assert secret not in process.output


class Overheard:
    """An upstream that keeps the head of what it is asked, and refuses it."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"error":"not_found"}'
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


ABOUT_THE_CALLER = (
    b"User-Agent: secret-browser/1\r\nCookie: session=1\r\nX-Forwarded-For: 10.0.0.1\r\n"
    b"Forwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nVia: 1.1 a\r\nReferer: http://in/tern\r\n"
    b"Origin: http://in\r\nAccept-Language: de\r\nAccept: text/html\r\nX-Request-ID: mine\r\n"
    b"tracestate: a=1\r\nbaggage: user=7\r\nFrom: a@b\r\nProxy-Authorization: Basic eA==\r\n"
    b"X-Team: blue\r\nPriority: u=1\r\nDNT: 1\r\nContent-Type: text/plain\r\n"
)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("forward", [(), ("x-team",)])
async def test_nothing_about_the_caller_goes_upstream(forward: tuple[str, ...]) -> None:
    """Its token in mode passthrough, its trace, and what an operator chose; else all is ours."""
    overheard = Overheard()
    server = await asyncio.start_server(overheard.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    names = "[" + ",".join(f'"{name}"' for name in forward) + "]"
    async with (
        server,
        gateway(f"http://127.0.0.1:{port}", upstream__forward_headers=names) as planes,
    ):
        head = b"GET /training/a?who=me HTTP/1.1\r\nHost: inside\r\n" + BEARER + ABOUT_THE_CALLER
        await asked(str(planes.data.base_url), head + f"traceparent: {TRACE}\r\n".encode() + CLOSE)

    (raw,) = overheard.heads
    line, *fields = raw.decode("ascii").lower().split("\r\n")[:-2]
    values = dict(field.split(": ", 1) for field in fields)
    assert line == "get /training/a http/1.1"
    assert values.pop("authorization") == f"bearer {SECRET}"
    assert values.pop("traceparent") == TRACE
    assert values.pop("user-agent").startswith("training-gateway/")
    assert values.pop("host") == f"127.0.0.1:{port}"
    assert (values.pop("x-team", None) == "blue") is bool(forward)
    assert set(values) <= {"accept", "accept-encoding", "connection"}
    assert "html" not in values["accept"]
