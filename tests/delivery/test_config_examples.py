"""The examples of `config/examples` are examples of something that works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import Settings, clients_file, load
from tests.delivery.chart import DASHBOARDS, ROOT

EXAMPLES = ROOT / "config" / "examples"
SETTINGS = sorted(set(EXAMPLES.glob("*.toml")) - {EXAMPLES / "clients.toml"})
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
PINNED = re.compile(r"docker\.io/[a-z/]+:[v.0-9]+@sha256:[0-9a-f]{64}")
ADDRESS = re.compile(r"^# (redis\S+://\S+)$", re.MULTILINE)


def placed(example: Path, folder: Path) -> Path:
    """The example with the files that it names, below the folder."""
    text = example.read_text()
    address = ADDRESS.search(text)
    secrets = {"redis-url": address[1] if address else "redis://:secret@redis:6379"}
    for name in re.findall(r"/run/secrets/([a-z-]+)", text + _clients()):
        (folder / name).write_text(secrets.get(name, "s3cret"))
    (folder / "clients.toml").write_text(_here(_clients(), folder))
    file = folder / "settings.toml"
    file.write_text(_here(text, folder))
    return file


def _clients() -> str:
    return (EXAMPLES / "clients.toml").read_text()


def _here(text: str, folder: Path) -> str:
    return re.sub("/run/secrets|/etc/gateway", str(folder), text)


@pytest.mark.parametrize("example", SETTINGS, ids=lambda path: path.stem)
def test_settings_are_taken(example: Path, tmp_path: Path) -> None:
    """Each file is loaded, with the address of Redis that stands in its comment."""
    settings = load(placed(example, tmp_path), {})

    assert settings != Settings()


def test_the_clients_file_is_taken(tmp_path: Path) -> None:
    """Its tenants have tokens, its clients belong to them, and one is in mid-rotation."""
    settings = load(placed(EXAMPLES / "tenants.toml", tmp_path), {})
    assert settings.access.clients_file is not None

    given = clients_file(settings.access.clients_file, settings.upstream.rate_limit).given()

    assert {client.tenant for client in given.clients} == {each.name for each in given.tenants}
    assert max(len(client.digests) for client in given.clients) == 2


def test_prometheus_takes_its_file(tmp_path: Path) -> None:
    """promtool judges it with the rules of dashboards/ where it looks for them."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; .ci/servers says how")
    text = (EXAMPLES / "prometheus.yml").read_text()
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/rules", str(DASHBOARDS)))
    done = subprocess.run(
        ["promtool", "check", "config", "--lint=all", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "alerts.rules.yml" in done.stdout


def test_compose_names_files_that_are_there() -> None:
    """Every mount exists, and each dashboard and rule is mounted."""
    mounted = {
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
    }
    shown = {*DASHBOARDS.glob("*.json"), *DASHBOARDS.glob("*.rules.yml")}

    assert [name for name in mounted if not (ROOT / name).exists()] == []
    assert {f"./dashboards/{path.name}" for path in shown} <= mounted


def test_compose_gives_settings_that_are_taken() -> None:
    """Both gateways have the same, and Prometheus scrapes exactly these two."""
    services = COMPOSE["services"]
    gateways = [name for name in services if name.startswith("gateway-")]
    environment = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in services[gateways[0]]["environment"].items()
    }
    scraped = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())["scrape_configs"]

    settings = load(ROOT / "config" / "container.toml", environment)

    assert settings.server.host == settings.admin.host == "0.0.0.0"
    assert settings.redis.url is not None
    assert settings.admin.token is not None
    token = settings.admin.token.get_secret_value()
    assert f"token `{token}`" in (ROOT / "compose.yaml").read_text()
    assert f"`admin.token` is `{token}`" in (ROOT / "docs" / "running.md").read_text()
    assert [f"{name}:{settings.admin.port}" for name in gateways] == [
        target for job in scraped for each in job["static_configs"] for target in each["targets"]
    ]
    assert services[gateways[0]]["environment"] == services[gateways[1]]["environment"]


def test_compose_builds_once_and_pins_what_others_built() -> None:
    """Two replicas share one build; a tag alone would start something else tomorrow."""
    services = COMPOSE["services"].values()
    images = {each["image"] for each in services}
    others = {image for image in images if not image.startswith("training-gateway:")}

    assert {each["build"] for each in services if "build" in each} == {"."}
    assert len(images - others) == 1
    assert len(others) == 3
    assert [image for image in others if not PINNED.fullmatch(image)] == []


def test_compose_shows_grafana_where_prometheus_is() -> None:
    """The provisioned data source and folder are those that compose makes."""
    provisioning = DASHBOARDS / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    provider = yaml.safe_load((provisioning / "dashboards" / "gateway.yml").read_text())
    grafana = COMPOSE["services"]["grafana"]["volumes"]

    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]
    folder = provider["providers"][0]["options"]["path"]
    assert len([volume for volume in grafana if f":{folder}/" in volume]) >= 2
