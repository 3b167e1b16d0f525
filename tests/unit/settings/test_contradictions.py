"""Settings that make no sense together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.settings import AccessMode
from tests.unit.settings.asking import complaints, complaints_about, from_toml, from_variables


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The path of a file that is there."""
    path = tmp_path / "file"
    path.write_text("")
    return str(path)


FILE = "(a file that is there)"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        # Whether callers are checked is not for the gateway to guess.
        ({"upstream__token": "t"}, "access.mode: is unset, and upstream.token is set"),
        # In `passthrough` and `clients` callers and tenants have tokens of their own.
        (
            {"access__mode": "passthrough", "upstream__token": "t"},
            "upstream.token: would never be used",
        ),
        (
            {"access__mode": "clients", "access__clients_file": FILE, "upstream__token": "t"},
            "upstream.token: would never be used",
        ),
        ({"access__mode": "open"}, 'upstream.token: is unset, and access.mode is "open"'),
        ({"access__mode": "clients"}, "access.clients_file: is unset"),
        # Else callers would be let in whom the operator believes to be checked.
        ({"access__clients_file": FILE}, "access.clients_file: would never be used"),
        (
            {"access__mode": "open", "upstream__token": "t", "access__clients_file": FILE},
            "access.clients_file: would never be used",
        ),
        # An operator that names them believes that the calls are encrypted.
        (
            {"upstream__base_url": "http://api.internal", "upstream__ca_certs": FILE},
            "upstream.ca_certs: would never be used, since upstream.base_url begins with http:// "
            "(wanted: no file, or an upstream.base_url with https://)",
        ),
        ({"server__tls_cert": FILE}, "server.tls_key: is unset"),
        ({"server__tls_key": FILE}, "server.tls_cert: is unset"),
        ({"admin__tls_cert": FILE}, "admin.tls_key: is unset"),
        ({"admin__tls_key": FILE}, "admin.tls_cert: is unset"),
        # The shorter deadline decides.
        (
            {"upstream__connect_timeout": "20s", "upstream__timeout": "10s"},
            "upstream.connect_timeout: is above upstream.timeout",
        ),
    ],
)
def test_what_makes_no_sense_together_is_told(given: dict[str, str], told: str, file: str) -> None:
    """At the start, under the setting that has to change."""
    lines = complaints(**{name: value.replace(FILE, file) for name, value in given.items()})

    assert [line for line in lines if line.startswith(told)]


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, AccessMode.PASSTHROUGH),
        ({"access__mode": "open", "upstream__token": "t"}, AccessMode.OPEN),
        ({"upstream__timeout": "1s"}, AccessMode.PASSTHROUGH),  # below the default for connecting
    ],
)
def test_what_makes_sense_is_taken(given: dict[str, str], mode: AccessMode) -> None:
    """Without a mode and a token callers bring their own."""
    assert from_variables(**given).access.mode is mode


def test_clients_need_no_token_beside_their_file(file: str) -> None:
    """It holds the tokens."""
    told = complaints(access__mode="clients", access__clients_file=file)

    assert not [line for line in told if "is unset" in line or "names no" in line]


def test_a_pipe_is_no_file_to_read_again(tmp_path: Path) -> None:
    """The start would wait for somebody to write to it, and so would each look after that."""
    os.mkfifo(tmp_path / "pipe")

    told = complaints(access__mode="clients", access__clients_file=str(tmp_path / "pipe"))

    assert any(line.startswith("access.clients_file: names no readable file") for line in told)


@pytest.mark.parametrize("plane", ["server", "admin"])
def test_a_certificate_that_cannot_be_used_is_a_fault(file: str, plane: str) -> None:
    """At the start, with the words of who tried."""
    (told,) = complaints(**{f"{plane}__tls_cert": file, f"{plane}__tls_key": file})

    assert told.startswith(f"{plane}.tls_key: the key or its certificate cannot be used: ")


def test_authorities_without_a_certificate_are_a_fault(file: str) -> None:
    """At the start: each call to the API would fail."""
    (told,) = complaints(upstream__ca_certs=file)

    assert told == (
        "upstream.ca_certs: names a file that cannot be used: no certificate or crl found "
        "(wanted: a PEM file of certificates)"
    )


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("server.tls_cert", {"server__tls_key": "file"}),
        ("server.tls_key", {"server__tls_cert": "file"}),
        ("upstream.ca_certs", {}),
        ("access.clients_file", {"access__mode": "clients"}),
    ],
)
def test_a_file_that_is_not_there_is_a_fault(
    name: str, others: dict[str, str], file: str, tmp_path: Path
) -> None:
    """At the start, not at the first connection; a folder is no file either."""
    given = {other: file if value == "file" else value for other, value in others.items()}

    for path in (tmp_path / "none", tmp_path):
        told = complaints(**given, **{name.replace(".", "__"): str(path)})
        assert [each for each in told if each.startswith(name)] == [
            f"{name}: names no readable file: {path} (wanted: the path of a readable file)"
        ]


@pytest.mark.parametrize(
    ("data", "admin"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::")]
)
def test_two_planes_do_not_share_an_address(data: str, admin: str) -> None:
    """Nor where one of them listens on all addresses."""
    (told,) = complaints(
        server__host=data, admin__host=admin, server__port="9000", admin__port="9000"
    )

    assert told.startswith("admin.port: is the same as server.port")


@pytest.mark.parametrize(
    ("data", "admin", "port"),
    [("127.0.0.1", "127.0.0.1", "0"), ("127.0.0.1", "127.0.0.2", "9000"),
     ("0.0.0.0", "::1", "9000"), ("10.0.0.1", "::", "9000")],
)  # fmt: skip
def test_two_planes_may_share_a_port_on_other_addresses(data: str, admin: str, port: str) -> None:
    """And 0 is any port, not the same one."""
    settings = from_variables(
        server__host=data, admin__host=admin, server__port=port, admin__port=port
    )

    assert settings.admin.port == settings.server.port == int(port)


def test_nothing_is_concluded_from_a_faulty_setting() -> None:
    """One mistake is told once."""
    (told,) = complaints(access__mode="opne", upstream__token="t")

    assert told.startswith('access.mode: "opne"')


def test_nothing_is_concluded_from_a_section_that_is_not_one(tmp_path: Path) -> None:
    """What it should have said is unknown."""
    (told,) = complaints_about(tmp_path, 'access = "open"', upstream__token="t")

    assert told.startswith("access: is not a table")


def test_set_to_the_default_is_not_unset(tmp_path: Path) -> None:
    """Passthrough in so many words is a choice."""
    assert from_toml(tmp_path, '[access]\nmode = "passthrough"').access.mode is (
        AccessMode.PASSTHROUGH
    )


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_files_in_the_address_of_redis_have_to_be_there(name: str, tmp_path: Path) -> None:
    """Named by the parameter, and without the path, which stands in a secret."""
    there, absent = tmp_path / "there.pem", tmp_path / "hunter2.pem"
    there.write_text("")

    (told,) = complaints(redis__url=f"rediss://cache?{name}={absent}")

    assert told == f"redis.url: {name} names no readable file (wanted: the path of a PEM file)"
    assert from_variables(redis__url=f"rediss://cache?{name}={there}").redis.url is not None
