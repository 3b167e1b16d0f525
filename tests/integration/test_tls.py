"""TLS on either plane or both, with certificates of an authority made for the test."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from gateway.simulator import RunningSimulator
from tests.integration.gateways import Planes, gateway, until
from tests.support.raw_http import calling
from tests.system.commands import run

AUTHORITY = trustme.CA()


def certified(folder: Path, name: str, host: str = "127.0.0.1") -> dict[str, str]:
    """Settings that give a plane a certificate of its own for this host."""
    pair = AUTHORITY.issue_cert(host)
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    key.write_bytes(pair.private_key_pem.bytes())
    return {f"{name}__tls_cert": str(cert), f"{name}__tls_key": str(key)}


def trusting() -> ssl.SSLContext:
    """A context that trusts the authority alone."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def status(base_url: httpx.URL, path: str) -> int:
    """What a caller with the right trust is answered, twice on one connection."""
    bearer = {"authorization": "Bearer demo-token"}
    async with httpx.AsyncClient(
        base_url=base_url, verify=trusting(), trust_env=False, headers=bearer
    ) as client:
        first, second = await client.get(path), await client.get(path)
    assert first.status_code == second.status_code
    return second.status_code


@pytest.mark.parametrize("planes_with", [("server",), ("admin",), ("server", "admin")])
async def test_a_plane_with_a_certificate_speaks_tls(
    upstream: RunningSimulator, tmp_path: Path, planes_with: tuple[str, ...]
) -> None:
    """And the other one stays as it is."""
    settings: dict[str, str] = {}
    for name in planes_with:
        settings |= certified(tmp_path, name)

    async with gateway(upstream.base_url, **settings) as planes:
        assert planes.data.base_url.scheme == ("https" if "server" in planes_with else "http")
        assert planes.admin.base_url.scheme == ("https" if "admin" in planes_with else "http")
        assert await status(planes.data.base_url, "/training/trn_000001") == 200
        assert await status(planes.admin.base_url, "/status") == 200


def _plain(planes: Planes) -> bytes:
    """What a caller without TLS is told."""
    where = urlsplit(str(planes.data.base_url))
    with socket.create_connection((where.hostname, where.port or 443), timeout=10) as caller:
        caller.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            return caller.recv(1_000)
        except ConnectionResetError:
            return b""


async def test_without_tls_there_is_no_answer(upstream: RunningSimulator, tmp_path: Path) -> None:
    """A bearer token in the clear is not rewarded; a caller without our authority hangs up."""
    async with gateway(upstream.base_url, **certified(tmp_path, "server")) as planes:
        assert b"HTTP/" not in await asyncio.to_thread(_plain, planes)
        async with httpx.AsyncClient(trust_env=False) as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(f"{planes.data.base_url}/livez")
        assert await status(planes.data.base_url, "/livez") == 200


@pytest.mark.timeout(50)
@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_a_handshake_has_the_time_of_a_head(
    upstream: RunningSimulator, tmp_path: Path, begun: bytes
) -> None:
    """Callers that never end it do not stay for a minute."""
    settings = certified(tmp_path, "server") | {"limits__head_timeout": "1s"}
    async with gateway(upstream.base_url, **settings) as planes:
        async with calling(str(planes.data.base_url)) as caller:
            await caller.send(begun)
            assert await caller.is_closed()
        assert await status(planes.data.base_url, "/livez") == 200


def _deaf(where: httpx.URL) -> ssl.SSLSocket:
    """A caller that asks for sixty trainings, has little room for them, and reads nothing."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.settimeout(30)
    plain.connect((where.host, where.port or 443))
    caller = trusting().wrap_socket(plain, server_hostname=where.host)
    ask = (
        b"GET /training/trn_000001 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer demo-token\r\n\r\n"
    )
    caller.sendall(ask * 60)
    return caller


async def test_a_reader_that_takes_nothing_is_cut_off(
    upstream: RunningSimulator, tmp_path: Path
) -> None:
    """The system alone knows what it has not taken. It is counted."""
    refused = 'gateway_access_refused_total{reason="reader-too-slow"}'
    settings = certified(tmp_path, "server") | {"limits__write_timeout": "1s"}
    async with gateway(upstream.base_url, **settings) as planes:
        assert await status(planes.data.base_url, "/training/trn_000001") == 200

        async def is_cut_off() -> bool:
            return await planes.metric(refused) == 1

        with await asyncio.to_thread(_deaf, planes.data.base_url):
            await until(is_cut_off, 20.0)


@asynccontextmanager
async def behind_tls(base_url: str) -> AsyncIterator[str]:
    """The address of the server at `base_url` over TLS, with a certificate of the authority."""
    where = urlsplit(base_url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection(where.hostname, where.port)
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_api_may_have_a_private_authority(
    upstream: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `upstream.ca_certs` alone; the public authorities stay the default."""
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))  # has no effect

    async with behind_tls(upstream.base_url) as base_url:
        async with gateway(base_url) as planes:
            assert (await planes.get("trn_000001")).status_code == 502
        async with gateway(base_url, upstream__ca_certs=str(path)) as planes:
            assert (await planes.get("trn_000001")).status_code == 200


async def mode(folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """The exit code of `gateway mode`, and what it prints."""
    return await asyncio.to_thread(partial(run, "mode", *arguments, folder=folder, **settings))


async def test_commands_reach_an_admin_port_over_tls(
    upstream: RunningSimulator, tmp_path: Path
) -> None:
    """The authority is an option; a certificate that is not trusted is named as the reason."""
    ca = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(ca)
    (tmp_path / "junk").write_text("")
    async with gateway(upstream.base_url, **certified(tmp_path, "admin")) as planes:
        url, plain = str(planes.admin.base_url), str(planes.data.base_url)

        trusted = await mode(tmp_path, "--admin", url, "--ca", str(ca))
        untrusted = await mode(tmp_path, "--admin", url)
        junk = await mode(tmp_path, "--admin", url, "--ca", str(tmp_path / "junk"))
        no_tls = await mode(tmp_path, "--admin", plain.replace("http:", "https:"))

    assert trusted[1].startswith("mode normal\n")
    assert [each[0] for each in (trusted, untrusted, junk, no_tls)] == [0, 1, 1, 1]
    assert "its certificate is not trusted: unable to get local issuer" in untrusted[1]
    assert "(name its authority with --ca)" in untrusted[1]
    assert "has no certificates that can be used" in junk[1]
    assert "TLS failed" in no_tls[1]


async def test_commands_beside_a_gateway_go_by_its_settings(
    upstream: RunningSimulator, tmp_path: Path
) -> None:
    """As in a container: port, token and certificate, whatever its name. Another certificate is
    not spoken to. A port that is given is a port of this gateway: it has the same certificate."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    settings = certified(own, "admin", "admin.edge.svc")
    (tmp_path / "token").write_text("t0ken\n")

    def file(folder: Path, port: int | None) -> str:
        certificate = certified(folder, "admin", "admin.edge.svc") if folder == other else settings
        lines = ["[admin]", 'host = "0.0.0.0"', f"port = {port}", 'token_file = "token"']
        lines += [f'{name.partition("__")[2]} = "{path}"' for name, path in certificate.items()]
        path = tmp_path / f"{folder.name}.toml"
        path.write_text("\n".join(lines))
        return str(path)

    async with gateway(upstream.base_url, **settings, admin__token="t0ken") as planes:
        port = planes.admin.base_url.port
        exit_code, said = await mode(tmp_path, GATEWAY_CONFIG=file(own, port))
        stranger = await mode(tmp_path, GATEWAY_CONFIG=file(other, port))
        by_port = await mode(tmp_path, "--admin", str(port), GATEWAY_CONFIG=file(own, 9))

    assert (exit_code, said.partition("\n")[0]) == (0, "mode normal")
    assert (by_port[0], by_port[1].partition("\n")[0]) == (0, "mode normal")
    assert stranger[0] == 1
    assert "its certificate is not trusted" in stranger[1]


async def test_a_certificate_that_cannot_be_read_is_named_with_the_way_round_it(
    upstream: RunningSimulator, tmp_path: Path
) -> None:
    """Nothing is sent to a port whose certificate cannot be checked. With `--ca` it can be."""
    ca, gone = tmp_path / "ca.pem", str(tmp_path / "gone.pem")
    AUTHORITY.cert_pem.write_to_path(ca)
    settings = {"GATEWAY_ADMIN__TLS_CERT": gone}
    async with gateway(upstream.base_url, **certified(tmp_path, "admin")) as planes:
        here = ("--admin", str(planes.admin.base_url.port), "--token", "t0ken")

        alone = await mode(tmp_path, *here, **settings)
        with_ca = await mode(tmp_path, *here, "--ca", str(ca), **settings)

    assert alone[0] == 1
    assert f"admin.tls_cert: {gone} cannot be read: No such file or directory" in alone[1]
    assert "name the authority with --ca, perhaps with a URL in --admin" in alone[1]
    assert with_ca[0] == 0
    assert "mode normal\n" in with_ca[1]
