"""What contradicts itself, or is no value at all, is refused with what to change."""

from __future__ import annotations

from pathlib import Path

import helm_python
import pytest

from gateway.app import run
from tests.delivery.rendering import REFUSED, named, objects, values_in

# Seconds for times that are rounded.
_MARGIN = 1


def test_there_are_enough_of_them() -> None:
    """The faults that operators make have a file each."""
    assert len(REFUSED) >= 8


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_a_fault_is_named(path: Path) -> None:
    """The file's first line stands in the message, and no object is made."""
    says = path.read_text().splitlines()[0].removeprefix("# says: ")

    with pytest.raises(helm_python.HelmError) as refusal:
        objects(values_in(path))

    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    ["server.drain_delay", "server.drain_timeout", "upstream.connect_timeout", "l1.max_bytes"],
)
def test_a_setting_that_the_templates_read_is_not_null(name: str) -> None:
    """Helm leaves it out then, and the templates would count with zero instead of its default."""
    section, _, key = name.partition(".")

    with pytest.raises(helm_python.HelmError, match=f"missing property '{key}'"):
        objects(named("one") | {"config": {section: {key: None}}})


@pytest.mark.parametrize("section", ["server", "admin"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "LocalHost", "::1"])
def test_a_pod_does_not_listen_on_loopback(section: str, host: str) -> None:
    """Nothing outside the pod could connect: no caller, no probe."""
    with pytest.raises(helm_python.HelmError, match=f"config.{section}.host is {host}"):
        objects(named("one") | {"config": {section: {"host": host}}})


def test_other_settings_may_be_null() -> None:
    """The gateway's own default holds then."""
    assert objects(named("one") | {"config": {"freshness": {"lifetime": None}}})


def test_a_cache_of_exactly_half_the_memory_is_taken() -> None:
    """The bound is a bound, whatever the units."""
    values = named("one") | {"resources": {"limits": {"memory": "1Gi"}}}

    assert objects(values | {"config": {"l1": {"max_bytes": 512 * 1024**2}}})
    with pytest.raises(helm_python.HelmError, match="more than half"):
        objects(values | {"config": {"l1": {"max_bytes": 512 * 1024**2 + 1}}})


@pytest.mark.parametrize("memory", ["128Mi", "134217728", "0.125Gi", "134218k", "135M"])
def test_memory_is_read_in_every_unit(memory: str) -> None:
    """128 MiB, or hardly more, hold the 64 MiB of the default, and a thousandth less does not."""
    limits = {"resources": {"limits": {"memory": memory}}}

    assert objects(named("one") | limits)
    with pytest.raises(helm_python.HelmError, match="more than half"):
        objects(named("one") | limits | {"config": {"l1": {"max_bytes": "66MiB"}}})


@pytest.mark.parametrize(
    ("delay", "timeout", "connect", "needs"),
    [
        ("250ms", 30, "2s", 33),
        ("5s", "1m", 9, 74),
        (0, "0.5m", "100ms", 31),
        ("1500ms", "0s", 1, 3),
    ],
)
def test_grace_is_reckoned_from_durations(
    delay: object, timeout: object, connect: object, needs: int
) -> None:
    """terminationGracePeriodSeconds holds the drain, in every spelling of a duration, and what the
    process may need after it."""
    needs += int(run._LAST_SECONDS + run._LAST_ORDERS + run._LAST_SPANS + _MARGIN)
    drain = {"drain_delay": delay, "drain_timeout": timeout}
    values = named("one") | {"config": {"server": drain, "upstream": {"connect_timeout": connect}}}
    (pod,) = [each["spec"]["template"]["spec"] for each in objects(values)
              if each["kind"] == "Deployment"]  # fmt: skip

    assert pod["terminationGracePeriodSeconds"] == needs
    assert objects(values | {"terminationGracePeriodSeconds": needs})
    with pytest.raises(helm_python.HelmError, match="mid-drain"):
        objects(values | {"terminationGracePeriodSeconds": needs - 1})


def test_a_collector_whose_port_is_listed_is_taken() -> None:
    """The network policy lets pods connect to it then."""
    policy = {"enabled": True, "upstreamPorts": [443, 4318]}
    tracing = {"endpoint": "http://otel-collector:4318"}

    assert objects(named("one") | {"networkPolicy": policy, "config": {"tracing": tracing}})


def test_a_list_of_ports_that_was_changed_is_taken() -> None:
    """Behind a Service the pods may listen on another port, by which many networks judge."""
    values = named("one") | {
        "networkPolicy": {"enabled": True, "redisPorts": [16379], "upstreamPorts": [8080]},
        "config": {"upstream": {"base_url": "http://api.internal"}},
        "redis": {"url": "redis://redis/0"},
    }

    assert objects(values)
