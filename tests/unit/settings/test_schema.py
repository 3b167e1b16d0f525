"""The settings and their defaults, as the contract has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import (
    AccessMode,
    AccessSettings,
    FreshnessSettings,
    LogFormat,
    Rate,
    RedisSettings,
    Secret,
    ServerSettings,
    Settings,
    SweepEnabled,
    SweepSettings,
)
from tests.unit.settings.asking import from_toml, from_variables


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


def test_code_may_hand_in_values_of_the_final_types() -> None:
    """Settings built by hand take what settings hold."""
    assert FreshnessSettings(lifetime=1.5).lifetime == 1.5
    assert AccessSettings(mode=AccessMode.OPEN, secret=Secret("x")).secret == Secret("x")
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
