"""What the chart promises: safe pods, restarts on change, one budget, exact dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.delivery.rendering import (
    MATRIX,
    container,
    deployment,
    files,
    named,
    objects,
    of_kind,
    pods,
    settings_file,
    values_in,
)

matrix = pytest.mark.parametrize("path", MATRIX, ids=lambda path: path.stem)


def checksum(values: dict[str, Any]) -> str:
    """What makes pods restart."""
    return str(deployment(values)["spec"]["template"]["metadata"]["annotations"]["checksum/config"])


@matrix
def test_no_pod_has_a_right_that_it_does_not_need(path: Path) -> None:
    """Not root, nothing writable, no capability, no token of the cluster, no service links."""
    for pod in pods(values_in(path)):
        # What values add beside it is theirs to secure.
        only = pod["containers"][0]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"]["readOnlyRootFilesystem"]
        assert not only["securityContext"]["allowPrivilegeEscalation"]
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not pod["automountServiceAccountToken"]
        assert not pod["enableServiceLinks"]


@matrix
def test_what_belongs_together_finds_each_other(path: Path) -> None:
    """Services, budget, policy and monitor select the pods; every volume is mounted and there."""
    values = values_in(path)
    template = deployment(values)["spec"]["template"]
    labels = template["metadata"]["labels"]
    found = [each for each in objects(values) if each["kind"] in SELECTORS]

    for each in found:
        spec = each["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels.items(), each["kind"]
    mounted = {mount["name"] for mount in container(values)["volumeMounts"]}
    assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}
    ports = {port["name"] for port in container(values)["ports"]}
    assert {port["targetPort"] for each in of_kind(values, "Service")
            for port in each["spec"]["ports"]} == ports  # fmt: skip


SELECTORS = {"Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"}


def test_the_test_pod_is_not_served_by_the_services() -> None:
    """What `helm test` starts must not become an endpoint."""
    service = of_kind(named("several"), "Service")[0]["spec"]["selector"]
    (pod,) = of_kind(named("several"), "Pod")

    assert not service.items() <= pod["metadata"]["labels"].items()


def test_the_test_pod_may_ask_whoever_else_may() -> None:
    """Where the network policy names peers, the pods of `helm test` are among them."""
    (policy,) = of_kind(named("everything"), "NetworkPolicy")
    (pod,) = of_kind(named("everything"), "Pod")
    mine = {"podSelector": {"matchLabels": pod["metadata"]["labels"]}}

    assert [mine in rule["from"] for rule in policy["spec"]["ingress"]] == [True, True]
    assert all(len(rule["from"]) == 2 for rule in policy["spec"]["ingress"])


def test_the_monitor_finds_the_admin_port_alone() -> None:
    """It selects one service, and that one leads to the admin port."""
    values = named("watched")
    (monitor,) = of_kind(values, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    chosen = [
        each for each in of_kind(values, "Service") if wanted <= each["metadata"]["labels"].items()
    ]

    assert [port["name"] for each in chosen for port in each["spec"]["ports"]] == ["admin"]


def test_an_autoscaler_owns_the_number_of_pods() -> None:
    """Under it the Deployment names none, so that an upgrade does not scale down."""
    assert "replicas" not in deployment(named("autoscaled"))["spec"]
    assert deployment(named("several"))["spec"]["replicas"] == 3


def test_pods_restart_when_settings_change_and_only_then() -> None:
    """The annotation follows the settings file."""
    before = named("several")

    assert checksum(before) == checksum(before | {"podDisruptionBudget": {"maxUnavailable": 2}})
    assert checksum(before) != checksum(before | {"replicas": 5})  # each pod has a reserve
    assert checksum(before) != checksum(before | {"config": {"freshness": {"lifetime": "31s"}}})
    assert checksum(before) != checksum(before | {"redis": {"url": "redis://other:6379"}})


def test_more_pods_are_no_larger_budget() -> None:
    """What the pods are told of the limit does not depend on their number, only their reserve."""
    files = [settings_file(named("several") | {"replicas": replicas}) for replicas in (1, 3, 30)]

    own = [[line for line in each.splitlines() if "replicas =" not in line] for each in files]
    assert own[0] == own[1] == own[2]


def test_a_digest_wins_over_a_tag() -> None:
    """And without either it is the chart's version."""
    image = {"repository": "r", "tag": "1", "digest": f"sha256:{'0' * 64}"}

    assert container(named("one") | {"image": image})["image"] == f"r@sha256:{'0' * 64}"
    assert container(named("one") | {"image": image | {"digest": ""}})["image"] == "r:1"


def test_nothing_of_the_values_is_a_template() -> None:
    """Further objects and the files of dashboards/ are written as they are."""
    beside = [each for each in of_kind(named("everything"), "ConfigMap")
              if each["metadata"]["name"] == "beside"]  # fmt: skip

    assert [each["data"] for each in beside] == [
        {"kept": "{{ .Release.Name }} is no template here"}
    ]


@matrix
def test_the_notes_name_the_next_command(path: Path) -> None:
    """How to try it, with the credential that the mode asks for."""
    values = values_in(path)
    notes = files(values)["templates/NOTES.txt"]
    mode = values.get("config", {}).get("access", {}).get("mode")

    assert "helm test shield --namespace edge" in notes
    assert ("$TOKEN" in notes) == (mode is None)
    assert ("$KEY" in notes) == (mode == "clients")
    assert "{{" not in notes


def test_the_notes_say_what_needs_an_admin_token() -> None:
    """Without one, the runbook's first command is refused in the pod; the notes name the Secret."""
    command = "kubectl --namespace edge exec deploy/shield-training-gateway -- gateway status"
    secret = {"admin": {"existingSecret": "operators"}}

    assert command in files(named("one"))["templates/NOTES.txt"]
    assert "gateway status" not in files(named("one") | secret)["templates/NOTES.txt"]


def test_a_gateway_of_the_gateway_api_speaks_tls_to_pods_that_do() -> None:
    """The policy is for the callers' Service and names their certificate; without TLS it goes."""
    (policy,) = of_kind(named("gateway-api"), "BackendTLSPolicy")
    (route,) = of_kind(named("gateway-api"), "HTTPRoute")
    callers = of_kind(named("gateway-api"), "Service")[0]

    (target,) = policy["spec"]["targetRefs"]
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    assert target["name"] == backend["name"] == callers["metadata"]["name"]
    assert policy["spec"]["validation"]["hostname"] == "gateway.edge.svc"
    assert callers["spec"]["ports"][0]["appProtocol"] == "https"
    plain = named("gateway-api") | {"tls": {}}
    plain["httpRoute"] = {**plain["httpRoute"], "backendTls": {}}
    assert of_kind(plain, "BackendTLSPolicy") == []
    assert of_kind(plain, "Service")[0]["spec"]["ports"][0]["appProtocol"] == "http"


def test_operators_are_served_over_tls_where_they_have_a_certificate() -> None:
    """The probes, the monitor, the test pod and the file of settings agree."""
    values = named("everything")

    probes = [container(values)[f"{name}Probe"] for name in ("startup", "liveness", "readiness")]
    (monitor,) = of_kind(values, "ServiceMonitor")
    (answers,) = of_kind(values, "Pod")
    assert {probe["httpGet"]["scheme"] for probe in probes} == {"HTTPS"}
    assert monitor["spec"]["endpoints"][0]["scheme"] == "https"
    assert answers["spec"]["containers"][0]["args"][-1].startswith("https://")
    assert 'tls_cert = "/etc/gateway/admin-tls/tls.crt"' in settings_file(values)


def test_the_authority_of_the_api_is_a_setting() -> None:
    """The file is the one that is mounted. No variable says it, which would change Redis as
    well."""
    values = named("everything")

    assert 'ca_certs = "/etc/gateway/upstream-ca/ca.crt"' in settings_file(values)
    assert "/etc/gateway/upstream-ca" in [
        mount["mountPath"] for mount in container(values)["volumeMounts"]
    ]
    assert "SSL_CERT_FILE" not in [each["name"] for each in container(values)["env"]]


def test_constraints_that_select_nothing_count_these_pods() -> None:
    """The chart's own comes first; one with a selector stays as it is."""
    own, zone, rack = deployment(named("everything"))["spec"]["template"]["spec"][
        "topologySpreadConstraints"
    ]

    assert own["labelSelector"] == zone["labelSelector"] != rack["labelSelector"]
    assert (zone["topologyKey"], zone["matchLabelKeys"]) == (
        "topology.kubernetes.io/zone",
        ["pod-template-hash"],
    )
    assert "matchLabelKeys" not in rack


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 4),
        ({"rollingUpdate": {"maxSurge": "50%"}}, 5),
        ({"rollingUpdate": {"maxSurge": "34%"}}, 5),
        ({"rollingUpdate": {"maxSurge": 2}}, 5),
    ],
)
def test_each_pod_of_a_rollout_has_a_reserve(changes: dict[str, Any], most: int) -> None:
    """`redis.replicas` is the largest number of pods: three, and those that start in addition."""
    values = {**named("several"), **changes}

    assert f"replicas = {most}\n" in settings_file(values)


def test_autoscaled_pods_have_a_reserve_each() -> None:
    """As many as the autoscaler may start."""
    values = named("several")
    values["autoscaling"] = {"enabled": True, "maxReplicas": 9}

    assert "replicas = 10\n" in settings_file(values)
