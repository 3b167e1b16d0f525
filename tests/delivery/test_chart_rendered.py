"""What the matrix of value files asks for is sound: for Helm, Kubernetes, the gateway itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import trustme
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

from gateway.settings import load
from tests.delivery.chart import CHART, DASHBOARDS
from tests.delivery.rendering import (
    KUBERNETES,
    MATRIX,
    Object,
    named,
    objects,
    settings_file,
    values_in,
)

# Kinds that are no part of Kubernetes, and what knows their shape.
OPERATORS: dict[str, Callable[[Object], Any]] = {
    "ServiceMonitor": ServiceMonitor.model_validate,
    "PrometheusRule": PrometheusRule.model_validate,
}
BY_HAND = {
    "HTTPRoute": {"parentRefs", "hostnames", "rules"},
    "BackendTLSPolicy": {"targetRefs", "validation"},
}
matrix = pytest.mark.parametrize("path", MATRIX, ids=lambda path: path.stem)


@matrix
@pytest.mark.parametrize("version", KUBERNETES)
def test_helm_has_no_complaint(path: Path, version: str) -> None:
    """`helm lint --strict` finds nothing but a missing icon."""
    report = helm_python.lint(
        CHART, values_in(path), strict=True, kube_version=f"v{version}.0", namespace="edge"
    )

    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


def test_it_is_packaged_with_all_that_it_renders(tmp_path: Path) -> None:
    """The archive renders as the folder does, dashboards included, and has no values of tests."""
    archive = Path(helm_python.package(CHART, destination=tmp_path))
    values = named("watched")

    with (
        helm_python.Chart.load_archive(archive.read_bytes()) as packed,
        helm_python.Chart.load(CHART) as folder,
    ):
        assert packed.render(values) == folder.render(values)
        names = {each["name"] for each in packed.files}

    assert {f"files/{path.name}" for path in DASHBOARDS.glob("*.json")} <= names
    assert not [name for name in names if name.startswith("ci/")]


@matrix
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(path: Path, version: str) -> None:
    """Each object fits its schema, without a field that the version does not have."""
    known = [each for each in objects(values_in(path)) if _is_kubernetes(each)]

    for each in known:
        kubernetes_validate.validate(each, version, strict=True)

    assert {"Deployment", "Service", "ConfigMap", "Pod"} <= {each["kind"] for each in known}


@matrix
def test_operators_know_every_field(path: Path) -> None:
    """What goes to the Prometheus operator comes back from its models as it went."""
    for each in objects(values_in(path)):
        if each["kind"] in OPERATORS:
            model = OPERATORS[each["kind"]](each)
            back = model.model_dump(mode="json", by_alias=True, exclude_none=True)

            assert _missing(each, back) == []
        elif each["kind"] in BY_HAND:
            assert each["spec"].keys() <= BY_HAND[each["kind"]]
        else:
            assert _is_kubernetes(each)


@matrix
def test_the_gateway_takes_the_settings(path: Path, tmp_path: Path) -> None:
    """It would start with the rendered file, Redis' address included, given the Secrets."""
    text = settings_file(values_in(path))
    for name, secret in SECRETS.items():
        (tmp_path / name).write_text(secret)
        text = text.replace(f"/etc/gateway/secrets/{name}", str(tmp_path / name))
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    for mount in ("redis-tls", "upstream-ca"):
        text = text.replace(f"/etc/gateway/{mount}/", f"{tmp_path}/")
    text = "\n".join(line for line in text.splitlines() if "tls/tls." not in line)
    file = tmp_path / "gateway.toml"
    file.write_text(text)

    settings = load(file, {})

    assert (settings.server.host, settings.admin.host) == ("0.0.0.0", "0.0.0.0")


SECRETS = {
    "upstream-token": "t0ken",
    "admin-token": "adm1n",
    "access-secret": "pepper",
    "tokens.toml": f'[[tokens]]\nname = "ci"\nmay = ["read"]\nsha256 = "{"0" * 64}"\n',
    "redis-url": "redis://:secret@redis:6379",
    "clients.toml": (
        '[[tenants]]\nname = "acme"\nupstream_token = "t"\n'
        f'[[clients]]\nname = "web"\ntenant = "acme"\nkey_sha256 = "{"0" * 64}"\n'
    ),
}


def _is_kubernetes(each: Object) -> bool:
    return each["kind"] not in {**OPERATORS, **BY_HAND}


def _missing(sent: object, back: object, at: str = "") -> list[str]:
    """Where something that was sent did not come back."""
    match sent, back:
        case dict(), dict():
            return [
                place
                for name, value in sent.items()
                for place in _missing(value, back.get(name), f"{at}.{name}")
            ]
        case list(), list() if len(sent) == len(back):
            return [
                place
                for number, (one, other) in enumerate(zip(sent, back, strict=True))
                for place in _missing(one, other, f"{at}[{number}]")
            ]
        case _:
            return [] if sent == back else [at]
