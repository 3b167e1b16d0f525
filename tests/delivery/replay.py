"""Rendered pods as processes: arguments, variables, files and probes read from the manifests.

What a kubelet would do and this cannot is replaced: addresses (each pod has its own there), the
image's entry point, and the root of the file system (a folder for each pod). A Gateway of the
Gateway API is a client that goes by the rendered route and policy alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.delivery.rendering import Object, container, deployment, of_kind
from tests.support.servers import HOST, answers, free_port, gateway

Secrets = Mapping[str, Mapping[str, str]]


class Pod:
    """One pod of the Deployment that these values become; `secrets` are those that exist."""

    def __init__(self, values: Mapping[str, Any], secrets: Secrets, folder: Path) -> None:
        self._container = container(values)
        self._pod: Object = deployment(values)["spec"]["template"]["spec"]
        self._root = folder
        self._ports = {port["name"]: free_port() for port in self._container["ports"]}
        maps = {each["metadata"]["name"]: each["data"] for each in of_kind(values, "ConfigMap")}
        for mount in self._container["volumeMounts"]:
            (volume,) = [v for v in self._pod["volumes"] if v["name"] == mount["name"]]
            place = self._inside(mount["mountPath"])
            place.mkdir(parents=True)
            for name, text in _files(volume, maps, secrets):
                (place / name).write_text(self._here(text))
        self.process = gateway(
            *self._container["args"],
            log=folder / "log",
            ready=lambda: self.passes("startupProbe"),
            settings=self._environment(),
        )

    @property
    def data(self) -> str:
        """Where callers ask it."""
        return f"http://{HOST}:{self._ports['http']}"

    @property
    def admin(self) -> str:
        """Where operators do."""
        return f"http://{HOST}:{self._ports['admin']}"

    def port(self, name: str) -> int:
        """Where the port of that name is, as a Service's `targetPort` names it."""
        return self._ports[name]

    @property
    def grace(self) -> int:
        """How long a kubelet would wait for its end."""
        return int(self._pod["terminationGracePeriodSeconds"])

    def passes(self, probe: str) -> bool:
        """Whether the probe of that name is content now."""
        get = self._container[probe]["httpGet"]
        scheme = get.get("scheme", "HTTP").lower()
        return answers(f"{scheme}://{HOST}:{self._ports[get['port']]}{get['path']}")

    def _environment(self) -> dict[str, str]:
        given = {each["name"]: self._here(each["value"]) for each in self._container["env"]}
        planes = {"SERVER": "http", "ADMIN": "admin"}
        for section, port in planes.items():
            given[f"GATEWAY_{section}__HOST"] = HOST
            given[f"GATEWAY_{section}__PORT"] = str(self._ports[port])
        return given

    def _inside(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def _here(self, text: str) -> str:
        return text.replace("/etc/gateway/", f"{self._inside('/etc/gateway')}/")


class Gateway:
    """What a Gateway does with the rendered HTTPRoute, Service and BackendTLSPolicy; `maps` are the
    ConfigMaps that exist."""

    def __init__(self, values: Mapping[str, Any], maps: Secrets) -> None:
        (route,) = of_kind(values, "HTTPRoute")
        (self._rule,) = route["spec"]["rules"]
        (self._name,) = route["spec"]["hostnames"]
        (backend,) = self._rule["backendRefs"]
        (service,) = (
            each
            for each in of_kind(values, "Service")
            if each["metadata"]["name"] == backend["name"]
        )
        (self._port,) = (
            each for each in service["spec"]["ports"] if each["port"] == backend["port"]
        )
        (policy,) = (
            each
            for each in of_kind(values, "BackendTLSPolicy")
            if backend["name"] in [target["name"] for target in each["spec"]["targetRefs"]]
        )
        assert self._port["appProtocol"] == "https"
        self._validation: Object = policy["spec"]["validation"]
        self._maps = maps

    def passes_on(self, path: str) -> bool:
        """Whether the route lets the path through."""
        prefixes = [match["path"]["value"] for match in self._rule["matches"]]
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)

    def ask(self, pod: Pod, path: str) -> httpx.Response:
        """The pod's answer over TLS; raises httpx.ConnectError for a certificate that is not the
        one which the policy asks for."""
        assert self.passes_on(path)
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for reference in self._validation["caCertificateRefs"]:
            assert reference["kind"] == "ConfigMap"
            trusted.load_verify_locations(cadata=self._maps[reference["name"]]["ca.crt"])
        with httpx.Client(verify=trusted, trust_env=False, timeout=30) as client:
            return client.get(
                f"https://{HOST}:{pod.port(self._port['targetPort'])}{path}",
                headers={"host": self._name, "authorization": "Bearer demo-token"},
                extensions={"sni_hostname": self._validation["hostname"]},
            )


@contextmanager
def replicas(
    values: Mapping[str, Any], folder: Path, secrets: Secrets | None = None
) -> Iterator[list[Pod]]:
    """As many pods as the Deployment has, started together, all ready."""
    count = deployment(values)["spec"]["replicas"]
    pods = [Pod(values, secrets or {}, folder / f"pod-{number}") for number in range(count)]
    with ExitStack() as stack, ThreadPoolExecutor(count) as starting:
        list(starting.map(lambda pod: stack.enter_context(pod.process), pods))
        yield pods


def _files(volume: Object, maps: Secrets, secrets: Secrets) -> Iterator[tuple[str, str]]:
    """What a volume shows: name and text of each file."""
    match volume:
        case {"configMap": {"name": name}}:
            yield from maps[name].items()
        case {"secret": {"secretName": name}}:
            yield from secrets[name].items()
        case {"projected": {"sources": sources}}:
            for source in sources:
                for item in source["secret"]["items"]:
                    yield item["path"], secrets[source["secret"]["name"]][item["key"]]
