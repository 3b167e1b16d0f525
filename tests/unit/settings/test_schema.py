"""The schema: its types, its names, and the settings in effect as people are shown them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gateway.core.budget.window_log import Rate
from gateway.settings import AccessMode, LogFormat, Settings, SweepEnabled, changed, effective
from gateway.settings.schema import (
    KINDS,
    SECRETS,
    SECTIONS,
    AccessSettings,
    FreshnessSettings,
    LimitsSettings,
    RedisSettings,
    ServerSettings,
    SweepSettings,
    setting_of,
)
from tests.unit.settings.asking import complaints, from_toml, from_variables


def test_values_have_the_types_that_the_house_works_with() -> None:
    """Seconds as float, bytes as int, rates and secrets as their own types."""
    settings = Settings()

    assert settings.freshness.stale_if_error == 86400.0
    assert settings.l1.max_bytes == 64 * 1024**2
    assert settings.upstream.rate_limit == Rate(100, 60.0)
    assert settings.access.mode is AccessMode.PASSTHROUGH
    assert settings.sweep.interval == "auto"
    assert settings.log.format is None


def test_settings_do_not_change() -> None:
    """What was logged at the start holds to the end."""
    with pytest.raises(ValidationError):
        Settings().server.port = 1


def test_code_cannot_name_a_setting_that_does_not_exist() -> None:
    """A misspelt name in a test or in the composition is an error there as well."""
    with pytest.raises(ValidationError):
        ServerSettings(prot=1)  # type: ignore[call-arg]


def test_no_value_is_bent_into_another_type() -> None:
    """A text is no number, nor a number a switch."""
    with pytest.raises(ValidationError):
        ServerSettings(port="1")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        ServerSettings(reuse_port=1)  # type: ignore[arg-type]


def test_code_may_hand_in_values_of_the_final_types() -> None:
    """Settings built by hand take what settings hold."""
    assert FreshnessSettings(lifetime=1.5).lifetime == 1.5
    assert AccessSettings(mode=AccessMode.OPEN, secret=SecretStr("x")).secret == SecretStr("x")
    assert RedisSettings(url=None).url is None


def test_a_value_that_pydantic_refuses_is_not_in_its_message() -> None:
    """Also where settings are built by hand, a secret stays out of the traceback."""
    with pytest.raises(ValidationError) as caught:
        RedisSettings(url="hunter2")  # type: ignore[arg-type]

    assert "hunter2" not in str(caught.value)


def test_the_switch_with_three_positions_takes_a_toml_boolean(tmp_path: Path) -> None:
    """`enabled = false` and `enabled = "false"` are the same."""
    enabled = [
        from_toml(tmp_path, f"[sweep]\nenabled = {text}").sweep.enabled
        for text in ("false", '"false"', '"auto"')
    ]

    assert enabled == [SweepEnabled.FALSE, SweepEnabled.FALSE, SweepEnabled.AUTO]


@pytest.mark.parametrize(
    "name",
    ["server__drain_delay", "server__drain_timeout", "freshness__stale_while_revalidate",
     "freshness__stale_if_error", "freshness__soft_wait", "freshness__negative_lifetime",
     "freshness__believe_after", "l1__lifetime"],
)  # fmt: skip
def test_zero_is_allowed_where_it_makes_sense(name: str) -> None:
    """A window of nothing switches that window off."""
    section, setting = name.split("__")

    assert getattr(getattr(from_variables(**{name: "0s"}), section), setting) == 0.0


def test_every_kind_is_read_from_the_environment() -> None:
    """A text, a number, a switch, a list, a word, a rate, a share."""
    settings = from_variables(
        server__host="::1",
        server__port="0",
        server__reuse_port="true",
        upstream__forward_headers='["X-Tenant"]',
        upstream__rate_limit="unlimited",
        sweep__share="1",
        sweep__interval="90s",
        log__format="console",
    )

    assert settings.server == ServerSettings(host="::1", port=0, reuse_port=True)
    assert settings.upstream.forward_headers == ("x-tenant",)
    assert settings.upstream.rate_limit is None
    assert settings.sweep == SweepSettings(share=1.0, interval=90.0)
    assert settings.log.format is LogFormat.CONSOLE


def test_a_printed_settings_object_shows_no_secret() -> None:
    """Not even by accident, in a debugger or a log line."""
    settings = from_variables(access__secret="hunter2", redis__url="redis://:hunter2@cache")

    assert "hunter2" not in f"{settings} {settings!r} {settings.model_dump()}"


def test_sections_are_in_the_order_of_the_contract() -> None:
    """The file, the start log and the faults follow it; `limits` is ours."""
    assert (
        " ".join(SECTIONS)
        == "server admin upstream access freshness l1 redis sweep log tracing limits"
    )


def test_the_secrets_are_those_of_the_contract() -> None:
    """Each of them may come from a file."""
    assert SECRETS == ("admin.token", "upstream.token", "access.secret", "redis.url")


def test_the_file_of_a_secret_is_about_the_secret() -> None:
    """But a setting that merely ends in _file is its own."""
    assert setting_of("upstream.token_file") == "upstream.token"
    assert setting_of("access.clients_file") == "access.clients_file"


def test_every_setting_is_in_effect() -> None:
    """The start log leaves none out, and can be written as JSON."""
    shown = effective(Settings())

    assert list(shown) == list(KINDS)
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


@pytest.mark.parametrize("name", sorted(LimitsSettings.model_fields))
def test_no_bound_is_nothing(name: str) -> None:
    """A bound of zero would let nobody in, and is never meant."""
    (told,) = complaints(**{f"limits__{name}": "0"})

    assert told.startswith(f"limits.{name}: ")
