"""What the chart makes, started as processes: pods that work together and end in good order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.delivery.rendering import NAMESPACE, RELEASE, named, of_kind
from tests.delivery.replay import Gateway, Pod, replicas
from tests.support.servers import RedisServer, wait_until
from tests.system.commands import address, get, simulator

ID = "trn_000001"
NAME = f"{RELEASE}-training-gateway"


def values(name: str, upstream: str, **over: object) -> dict[str, Any]:
    """Values of the matrix, in front of this upstream, and patient on a busy machine."""
    given = named(name)
    config = {
        **given.get("config", {}),
        "upstream": {"base_url": upstream, "rate_limit": "1000/minute"},
        "redis": {"timeout": "10s"},
        "server": {"drain_delay": "0s"},
    }
    return {**given, "config": config, **over}


def status(pod: Pod, training: str = ID) -> str:
    """The Cache-Status of an answer to a caller."""
    answer = get(f"{pod.data}/training/{training}")
    assert answer.status_code == 200, answer.text
    return answer.headers["cache-status"]


def invalidate(pod: Pod, **headers: str) -> httpx.Response:
    """The answer to an order of an operator."""
    body = {"ids": [ID]}
    return httpx.post(
        f"{pod.admin}/invalidate", json=body, headers=headers, trust_env=False, timeout=30
    )


def all_confirm(pod: Pod, replicas: int) -> bool:
    """Whether an order is confirmed by so many."""
    return bool(invalidate(pod).json()["replicas"] == {"known": replicas, "confirmed": replicas})


def test_three_pods_work_together(tmp_path: Path, own_redis: RedisServer) -> None:
    """What one has fetched the others find in Redis; an order reaches all; one leaves quietly."""
    with simulator(tmp_path, "--trainings", "5") as upstream:
        given = values("several", address(upstream), redis={"url": own_redis.url})
        with replicas(given, tmp_path) as (first, second, third):
            wait_until(lambda: all_confirm(first, 3), 60, "all three hear orders")

            assert "fwd=uri-miss" in status(first)
            assert ["detail=l2" in status(pod) for pod in (second, third)] == [True, True]
            assert all_confirm(third, 3)
            assert ["; hit" in status(pod) for pod in (second, first, third)] == [
                *(False, True, True)
            ]

            assert all(pod.passes("livenessProbe") for pod in (first, second, third))
            assert third.process.stop(third.grace) == 0
            wait_until(lambda: all_confirm(first, 2), 60, "the others know that it left")


def test_a_pod_from_its_first_probe_to_its_last(tmp_path: Path, own_redis: RedisServer) -> None:
    """Secrets come as files; `helm test` is content while it answers; from SIGTERM on readiness
    says no, while callers are served for drain_delay more."""
    secrets = {
        "open-api": {"token": "demo-token"},
        "redis": {"url": own_redis.url},
        "gateway-admin": {"token": "operators"},
    }
    with simulator(tmp_path, "--trainings", "5") as upstream:
        given = values("open", address(upstream), replicas=1)
        given["config"]["server"] = {"drain_delay": "5s"}
        with replicas(given, tmp_path, secrets) as (pod,):
            assert status(pod).startswith("gateway; ")  # fetched, or by the first sweep
            assert invalidate(pod).status_code == 401
            assert invalidate(pod, Authorization="Bearer operators").status_code == 200
            with own_redis.client() as redis:
                assert redis.dbsize() > 0
            assert pod.passes("readinessProbe")
            assert _helm_test(given, pod) == 0

            pod.process.child.terminate()
            wait_until(lambda: not pod.passes("readinessProbe"), 5, "readiness says no")
            assert pod.passes("livenessProbe")
            assert status(pod, "trn_000002").startswith("gateway; ")  # fetched, or by a sweep
            assert pod.process.wait(pod.grace) == 0

            assert _helm_test(given, pod) != 0


def test_a_gateway_of_the_gateway_api_speaks_tls_to_the_pods(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    """By the route and the policy alone, to each pod; operators and probes have TLS as well. A
    certificate for another name, or of another authority, is not spoken to."""
    authority = trustme.CA()
    ca = authority.cert_pem.bytes().decode()
    secrets = {
        "gateway-tls": _certificate(authority, "gateway.edge.svc"),
        "gateway-admin-tls": _certificate(authority, "admin.edge.svc"),
    }
    with simulator(tmp_path, "--trainings", "5") as upstream:
        given = values("gateway-api", address(upstream), redis={"url": own_redis.url})
        given["admin"] = {"tlsExistingSecret": "gateway-admin-tls"}
        with replicas(given, tmp_path, secrets) as pods:
            gateway = Gateway(given, {"company-ca": {"ca.crt": ca}})
            for pod in pods:
                answer = gateway.ask(pod, f"/training/{ID}")
                assert (answer.status_code, answer.json()["id"]) == (200, ID)
                assert pod.passes("readinessProbe")
            assert not gateway.passes_on("/readyz")
            assert not gateway.passes_on("/trainings")

            stranger = trustme.CA().cert_pem.bytes().decode()
            renamed = {**given["httpRoute"]["backendTls"], "hostname": "other.edge.svc"}
            other = {**given, "httpRoute": {**given["httpRoute"], "backendTls": renamed}}
            _is_not_spoken_to(pods[0], Gateway(given, {"company-ca": {"ca.crt": stranger}}))
            _is_not_spoken_to(pods[0], Gateway(other, {"company-ca": {"ca.crt": ca}}))


def _is_not_spoken_to(pod: Pod, wrong: Gateway) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        wrong.ask(pod, f"/training/{ID}")


def _certificate(authority: trustme.CA, name: str) -> dict[str, str]:
    """A Secret of type kubernetes.io/tls."""
    issued = authority.issue_cert(name)
    chain = "".join(each.bytes().decode() for each in issued.cert_chain_pems)
    return {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes().decode()}


def _helm_test(given: dict[str, Any], pod: Pod) -> int:
    (only,) = of_kind(given, "Pod")[0]["spec"]["containers"]
    services = {
        f"http://{NAME}.{NAMESPACE}:80": pod.data,
        f"http://{NAME}-admin.{NAMESPACE}:8081": pod.admin,
    }
    arguments = list(only["args"])
    for service, here in services.items():
        assert any(service in argument for argument in arguments)
        arguments = [argument.replace(service, here) for argument in arguments]
    assert only["command"] == ["python", "-c"]
    return subprocess.run(
        [sys.executable, "-c", *arguments], capture_output=True, check=False, timeout=60
    ).returncode
