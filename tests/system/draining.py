"""A gateway that is told to end while callers of every kind keep asking it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import trustme

from tests.rounds.kept_connections import KeptCaller, Tally
from tests.system.commands import CALLER, Gateway, address, simulator

_HEAD = f"Host: a\r\nAuthorization: {CALLER['Authorization']}\r\n"
_IDS = [f"trn_{number:06}" for number in range(1, 21)]
_AUTHORITY = trustme.CA()


Crowd = dict[str, list[KeptCaller]]


async def drain(folder: Path, *, delay: str = "2s") -> dict[str, Tally]:
    """What became of the requests of each kind of caller while the gateway ended; the 32 that
    keep their connections first."""
    return await _drain(folder, _plain, {"GATEWAY_SERVER__DRAIN_DELAY": delay})


async def drain_tls(folder: Path) -> dict[str, Tally]:
    """The same through TLS, in which no direction ends alone."""
    trusting, settings = secured(folder)
    settings |= {"GATEWAY_SERVER__DRAIN_DELAY": "2s"}
    return await _drain(folder, lambda url: _secured(url, trusting), settings)


def secured(folder: Path) -> tuple[ssl.SSLContext, dict[str, str]]:
    """What a caller trusts, and the settings of a data plane with TLS."""
    trusting = ssl.create_default_context()
    _AUTHORITY.configure_trust(trusting)
    pair = _AUTHORITY.issue_cert("127.0.0.1")
    certificate, key = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(b"".join(each.bytes() for each in pair.cert_chain_pems))
    key.write_bytes(pair.private_key_pem.bytes())
    return trusting, {
        "GATEWAY_SERVER__TLS_CERT": str(certificate),
        "GATEWAY_SERVER__TLS_KEY": str(key),
    }


async def _drain(
    folder: Path, crowd_at: Callable[[str], Crowd], settings: Mapping[str, str]
) -> dict[str, Tally]:
    with simulator(folder, "--limit", "0") as upstream:
        unlimited = {"GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited"}
        gateway = Gateway(folder, address(upstream), **unlimited, **settings)
        with gateway.process as process:
            crowd = crowd_at(gateway.data)
            asking = asyncio.gather(*(each.run() for kind in crowd.values() for each in kind))
            await asyncio.sleep(1.5)
            code = await asyncio.to_thread(process.stop)
            await asyncio.wait_for(asking, 60)
    assert code == 0, process.output
    return {kind: callers[0].tally for kind, callers in crowd.items()}


def _requests(version: str = "1.1", *fields: str) -> list[bytes]:
    """Hits, a HEAD, a 304, a refusal and a probe, as one caller sends them."""
    lines = _HEAD + "".join(f"{each}\r\n" for each in fields)
    heads = [f"GET /training/{each} HTTP/{version}\r\n{lines}" for each in _IDS]
    heads += [
        f"HEAD /training/{_IDS[0]} HTTP/{version}\r\n{lines}",
        f"GET /training/{_IDS[0]} HTTP/{version}\r\n{lines}If-None-Match: *\r\n",
        f"GET /nowhere HTTP/{version}\r\n{lines}",
        f"GET /livez HTTP/{version}\r\n{lines}",
    ]
    return [f"{head}\r\n".encode() for head in heads]


def _plain(url: str) -> Crowd:
    old = _requests("1.0", "Connection: keep-alive")
    tallies = Tally(), Tally(), Tally(), Tally(), Tally()
    kept, elsewhere, pipelined, of_old, half_closed = tallies
    return {
        "kept": [KeptCaller(url, _from(number), kept) for number in range(32)],
        "kept, go elsewhere": [
            KeptCaller(url, _from(number), elsewhere, returns=False) for number in range(8)
        ],
        "pipelined": [KeptCaller(url, _from(number), pipelined, burst=4) for number in range(4)],
        "HTTP/1.0": [KeptCaller(url, old, of_old) for _ in range(4)],
        "half-closed": [
            KeptCaller(url, _from(number), half_closed, half_closes=True) for number in range(4)
        ],
    }


def _secured(url: str, tls: ssl.SSLContext) -> Crowd:
    old = _requests("1.0", "Connection: keep-alive")
    kept, pipelined, of_old = Tally(), Tally(), Tally()
    return {
        "kept": [KeptCaller(url, _from(number), kept, tls=tls) for number in range(32)],
        "pipelined": [
            KeptCaller(url, _from(number), pipelined, burst=4, tls=tls) for number in range(4)
        ],
        "HTTP/1.0": [KeptCaller(url, old, of_old, tls=tls) for _ in range(2)],
    }


def _from(number: int) -> list[bytes]:
    """The requests, from another one on for each caller."""
    requests = _requests()
    return requests[number % len(requests) :] + requests[: number % len(requests)]
