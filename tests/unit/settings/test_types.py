"""Each kind of setting: what it refuses, and in which words."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from gateway.settings.types import show_plain
from tests.unit.settings.asking import complaints

DURATION = 'seconds or "30s", "5m", "24h"'


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("server.host", "a b", '"a b" is not a host (wanted: a name or an address, '
         "without a port)"),
        ("server.host", "a\nb", '"a\\nb" is not a host (wanted: a name or an address, '
         "without a port)"),
        ("server.port", "65536", "65536 is not a port (wanted: 0 to 65535)"),
        ("server.port", "-1", "-1 is not a port (wanted: 0 to 65535)"),
        ("server.port", "http", '"http" is not a port (wanted: 0 to 65535)'),
        ("server.port", "80.5", "80.5 is not a port (wanted: 0 to 65535)"),
        ("server.port", "true", "true is not a port (wanted: 0 to 65535)"),
        ("server.port", "", '"" is not a port (wanted: 0 to 65535)'),
        ("server.reuse_port", "yes", '"yes" is not true or false (wanted: true or false)'),
        ("server.reuse_port", "1", "1 is not true or false (wanted: true or false)"),
        ("server.drain_delay", "-1s", f'"-1s" is not a duration (wanted: {DURATION})'),
        ("server.drain_timeout", "soon", f'"soon" is not a duration (wanted: {DURATION})'),
        ("server.writes", "allow", '"allow" is not one of the allowed words (wanted: "deny", '
         '"forward")'),
        ("server.tls_cert", "", '"" is not a path (wanted: the path of a readable file)'),
        ("server.tls_key", "", '"" is not a path (wanted: the path of a readable file)'),
        ("admin.host", "", '"" is not a host (wanted: a name or an address, without a port)'),
        ("admin.port", "70000", "70000 is not a port (wanted: 0 to 65535)"),
        ("upstream.base_url", "api.open.cx", '"api.open.cx" is not an address (wanted: http:// or '
         "https:// with a host, without credentials, query, fragment)"),
        ("upstream.rate_limit", "0/minute", '"0/minute" is not a rate (wanted: "100/minute", '
         '"5/second", "10/6s" or "unlimited")'),
        ("upstream.rate_scope", "key", '"key" is not one of the allowed words (wanted: "shared", '
         '"credential")'),
        ("upstream.timeout", "0", f"must be at least 1ms (wanted: {DURATION})"),
        ("upstream.connect_timeout", "0s", f"must be at least 1ms (wanted: {DURATION})"),
        ("upstream.max_body", "1.5MiB", '"1.5MiB" is not a size (wanted: bytes or "1KiB", '
         '"64MiB")'),
        ("upstream.max_list_body", "0", 'must be at least 1000 bytes (wanted: bytes or "1KiB", '
         '"64MiB")'),
        ("upstream.forward_headers", "X-A", "is not a list of header names (wanted: a list such "
         'as ["X-Name"])'),
        ("upstream.forward_headers", '["Host"]', '"host" is never forwarded (wanted: a list such '
         'as ["X-Name"])'),
        ("access.mode", "Open", '"Open" is not one of the allowed words (wanted: '
         '"passthrough", "clients", "open")'),
        ("access.clients_file", "", '"" is not a path (wanted: the path of a readable file)'),
        ("freshness.lifetime", "soon", f'"soon" is not a duration (wanted: {DURATION})'),
        ("freshness.lifetime", "0s", f"must be at least 1ms (wanted: {DURATION})"),
        ("freshness.stale_while_revalidate", "x", f'"x" is not a duration (wanted: {DURATION})'),
        ("freshness.stale_if_error", "1w", f'"1w" is not a duration (wanted: {DURATION})'),
        ("freshness.soft_wait", "NaN", f'"NaN" is not a duration (wanted: {DURATION})'),
        ("freshness.negative_lifetime", "inf", f'"inf" is not a duration (wanted: {DURATION})'),
        ("freshness.source", "both", '"both" is not one of the allowed words (wanted: '
         '"policy", "origin")'),
        ("freshness.no_store", "true", '"true" is not one of the allowed words (wanted: '
         '"respect", "ignore")'),
        ("freshness.client_directives", "no", '"no" is not one of the allowed words (wanted: '
         '"limited", "ignore")'),
        ("l1.max_bytes", "big", '"big" is not a size (wanted: bytes or "1KiB", "64MiB")'),
        ("l1.lifetime", "5 s", f'"5 s" is not a duration (wanted: {DURATION})'),
        ("redis.prefix", "x" * 65, f'"{"x" * 59}… is not a prefix (wanted: 1 to 64 characters from '
         "A-Z a-z 0-9 . _ : -)"),
        ("redis.prefix", "", '"" is not a prefix (wanted: 1 to 64 characters from A-Z a-z 0-9 . _ '
         ': -)'),
        ("redis.prefix", "{a}", '"{a}" is not a prefix (wanted: 1 to 64 characters from A-Z a-z '
         "0-9 . _ : -)"),
        ("redis.timeout", "0ms", f"must be at least 1ms (wanted: {DURATION})"),
        ("sweep.enabled", "on", '"on" is not one of the allowed words (wanted: "true", "false", '
         '"auto")'),
        ("sweep.share", "0", "0 is not a share (wanted: a number above 0, at most 1)"),
        ("sweep.share", "1.1", "1.1 is not a share (wanted: a number above 0, at most 1)"),
        ("sweep.share", "NaN", "NaN is not a share (wanted: a number above 0, at most 1)"),
        ("sweep.share", "half", '"half" is not a share (wanted: a number above 0, at most 1)'),
        ("sweep.interval", "0", f'must be at least 1ms (wanted: "auto", {DURATION})'),
        ("sweep.interval", "never", f'"never" is not a duration (wanted: "auto", {DURATION})'),
        ("sweep.warm", "on", '"on" is not one of the allowed words (wanted: '
         '"before-ready", "background", "off")'),
        ("log.format", "text", '"text" is not one of the allowed words (wanted: '
         '"json", "console")'),
        ("upstream.timeout", "0.0001ms", f"must be at least 1ms (wanted: {DURATION})"),
        ("limits.max_head", "1", 'must be at least 1000 bytes (wanted: bytes or "1KiB", "64MiB")'),
        ("log.level", "loud", '"loud" is not one of the allowed words (wanted: '
         '"debug", "info", "warning", "error")'),
    ],
)  # fmt: skip
def test_a_faulty_value_is_refused_in_one_line(name: str, value: str, line: str) -> None:
    """The line names the setting, what was written, and what is wanted."""
    lines = complaints(**{name.replace(".", "__"): value})

    assert lines == [f"{name}: {line}"]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("admin.token", "hunter 2", "has a character that is a space, invisible, or outside ASCII"),
        (
            "upstream.token",
            "hunter\n2",
            "has a character that is a space, invisible, or outside ASCII",
        ),
        ("access.secret", "", "is empty"),
        ("access.secret", "hunter\udcff", "is not UTF-8"),
        ("redis.url", "hunter://2", "is not the address of a Redis"),
        (
            "redis.url",
            "redis://:hunter@2@cache:0/x",
            "its database is not a number of at most 9 digits",
        ),
        ("redis.url", "redis://:hunt/er@2", "has an @ in its path, query or fragment"),
        ("upstream.base_url", "https://me:hunter@api.open.cx", "carries credentials"),
        (
            "tracing.endpoint",
            "http://me:hunter@otel:4318",
            "carries credentials, which belong into OTEL",
        ),
        ("upstream.base_url", "https://me:hunter@api.open.cx ", "carries credentials"),
        ("admin.docs_url", "https://docs.example/?key=hunter\n", "has a query"),
        ("upstream.forward_headers", '["Authorization: hunter"]', "entry 1 is not the name"),
        ("upstream.forward_headers", "Authorization: hunter", "is not a list of header names"),
    ],
)
def test_a_faulty_secret_is_refused_without_its_value(name: str, value: str, line: str) -> None:
    """The line tells enough, and nobody learns the secret from a log."""
    lines = complaints(**{name.replace(".", "__"): value})

    assert lines[0].startswith(f"{name}: {line}")
    assert "hunt" not in "".join(lines)


def test_plain_values_are_shown_as_the_file_writes_them() -> None:
    """And whatever is unknown as its own text, which for a secret is its mask."""
    assert [show_plain(value) for value in (None, True, 1, 0.5, ("a",))] == [
        None, True, 1, 0.5, ["a"],
    ]  # fmt: skip
    assert show_plain(SecretStr("hunter2")) == "***"
