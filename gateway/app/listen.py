"""Sockets and servers: two planes in one process and one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from gateway.settings import ServerSettings


class StartFault(Exception):
    """The gateway cannot start; one line a fault, each says what to do."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the planes listen, as base URLs."""

    data: str
    admin: str


class Server(uvicorn.Server):
    """A server whose end is decided by the process, not by itself.

    `answering` is set once it accepts connections.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and say so."""
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: two servers share them."""
        yield


def listen(host: str, port: int, *, setting: str, reuse_port: bool = False) -> socket.socket:
    """A listening socket; raises StartFault naming the setting that asked for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle off for sockets that say TCP only.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartFault(
            f"{setting}: cannot listen on {host}:{port}: {error.strerror}"
            f" (choose another with GATEWAY_{setting.upper().replace('.', '__')})"
        ) from error
    return listener


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """The base URL under which the socket is reached."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def server_of(app: ASGIApp, *, tls: ServerSettings | None, drain_timeout: float) -> Server:
    """A uvicorn server for an application; `tls` where its certificate applies."""
    cert, key = (None, None) if tls is None else (tls.tls_cert, tls.tls_key)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ssl_certfile=_path(cert),
        ssl_keyfile=_path(key),
        timeout_graceful_shutdown=max(1, round(drain_timeout)),
        timeout_keep_alive=75,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise StartFault(
            f"server.tls_cert, server.tls_key: cannot be used: {error.strerror or error}"
        ) from error
    return Server(config)


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
