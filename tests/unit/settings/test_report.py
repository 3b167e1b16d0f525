"""Settings for people."""

from __future__ import annotations

import json

from gateway.settings import Settings, changed, describe, effective
from tests.unit.settings.asking import from_variables

# The table of the contract, in its order.
DEFAULTS = """
server.host 127.0.0.1
server.port 8080
server.reuse_port false
server.drain_delay 0s
server.drain_timeout 30s
server.writes deny
server.tls_cert unset
server.tls_key unset
server.max_body 1MiB
admin.host 127.0.0.1
admin.port 8081
admin.token unset
admin.tls_cert unset
admin.tls_key unset
admin.max_body 64KiB
upstream.base_url https://api.open.cx
upstream.token unset
upstream.rate_limit 100/minute
upstream.rate_scope shared
upstream.timeout 10s
upstream.connect_timeout 2s
upstream.max_body 1MiB
upstream.max_list_body 16MiB
upstream.max_background 4
upstream.forward_headers []
access.mode unset
access.clients_file unset
access.secret unset
freshness.lifetime 30s
freshness.stale_while_revalidate 5m
freshness.stale_if_error 24h
freshness.soft_wait 1s
freshness.negative_lifetime 10s
freshness.believe_after 1m
freshness.source policy
freshness.no_store respect
freshness.client_directives limited
l1.max_bytes 64MiB
l1.lifetime 5s
redis.url unset
redis.prefix gateway
redis.timeout 50ms
sweep.enabled auto
sweep.share 0.5
sweep.interval auto
sweep.warm background
log.format unset
log.level info
log.hits 1000
limits.max_head 16KiB
limits.max_fields 100
limits.max_connections 10000
limits.head_timeout 10s
limits.write_timeout 30s
limits.idle_timeout 75s
""".strip().splitlines()


def test_every_setting_has_the_default_of_the_contract() -> None:
    """All of them and no other, in the order of the contract's table."""
    assert [f"{info.name} {info.default_text}" for info in describe()] == DEFAULTS


def test_every_setting_is_in_effect() -> None:
    """The start log leaves none out, and can be written as JSON."""
    shown = effective(Settings())

    assert list(shown) == [info.name for info in describe()]
    assert json.loads(json.dumps(shown)) == shown


def test_values_are_shown_as_the_file_would_hold_them() -> None:
    """Units where there are any, None for unset."""
    shown = effective(
        from_variables(
            upstream__rate_limit="unlimited",
            upstream__forward_headers='["X-A"]',
            sweep__interval="90",
            l1__max_bytes="1000",
            server__port="0",
        )
    )

    assert shown["upstream.rate_limit"] == "unlimited"
    assert shown["upstream.forward_headers"] == ["x-a"]
    assert shown["sweep.interval"] == "90s"
    assert shown["l1.max_bytes"] == "1000"
    assert shown["server.port"] == 0
    assert shown["log.format"] is None
    assert shown["access.mode"] == "passthrough"


def test_secrets_are_masked() -> None:
    """Set or unset can be told, and where Redis is; nothing else."""
    shown = effective(
        from_variables(
            access__mode="open",
            access__secret="hunter2",
            upstream__token="hunter2",
            admin__token="hunter2",
            redis__url="rediss://hunter2:hunter2@cache:6380/1",
        )
    )

    masked = [shown[name] for name in ("access.secret", "upstream.token", "admin.token")]
    assert masked == ["***"] * 3
    assert shown["redis.url"] == "rediss://***@cache:6380/1"
    assert "hunter2" not in json.dumps(shown)


def test_what_was_changed_is_what_differs_from_its_default() -> None:
    """A setting that repeats its default is none; secrets stay masked."""
    settings = from_variables(
        server__port="8080", upstream__rate_limit="5/second", admin__token="hunter2"
    )

    assert changed(settings) == {"upstream.rate_limit": "5/second", "admin.token": "***"}
    assert changed(from_variables()) == {}
