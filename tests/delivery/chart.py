"""What in the chart is made from elsewhere: `make chart` writes it, a test compares.

The settings (from the gateway's schema), the version, the dashboards and rules, and the README's
table. All else under `helm/` is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gateway
from tests.delivery.forms import FORMS, Form, form_of
from tests.delivery.values_table import table
from tests.support.config_file import UNSET, Shown, shown

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "training-gateway"
DASHBOARDS = ROOT / "dashboards"
CONFIG = "# Settings of the gateway, as config/gateway.toml explains them; made by `make chart`.\n"
_READ = re.compile(r"\.Values\.config\.(\w+\.\w+)")
TABLE = "<!-- made by `make chart` from values.yaml -->\n"

# Settings that values set by another name, and where.
ELSEWHERE = {
    "server.reuse_port": "replicas",
    "server.tls_cert": "tls.existingSecret",
    "server.tls_key": "tls.existingSecret",
    "admin.token": "admin.existingSecret",
    "admin.tokens_file": "admin.tokensExistingSecret",
    "admin.tls_cert": "admin.tlsExistingSecret",
    "admin.tls_key": "admin.tlsExistingSecret",
    "upstream.ca_certs": "upstream.caExistingSecret",
    "upstream.token": "upstream.existingSecret",
    "access.clients_file": "access.clientsExistingSecret",
    "access.secret": "access.existingSecret",
    "redis.url": "redis.url",
    "redis.replicas": "replicas",
}
# What is different in a pod, and why.
IN_A_POD: dict[str, tuple[str, str]] = {
    "server.host": ("0.0.0.0", "where callers are served: all addresses of the pod"),
    "admin.host": ("0.0.0.0", "where operators are served: all addresses of the pod"),
    "server.drain_delay": (
        "5s",
        "after SIGTERM: readiness is 503 at once, and requests are still served for this time, "
        "until the cluster's proxies know",
    ),
}


def settings() -> list[Shown]:
    """The settings that `config` takes."""
    return [each for each in shown() if each.name not in ELSEWHERE]


def made() -> dict[Path, bytes]:
    """Every file that is made, whole, with what it should hold."""
    values = _values((CHART / "values.yaml").read_text())
    texts = {
        "Chart.yaml": _chart((CHART / "Chart.yaml").read_text()),
        "values.yaml": values,
        "values.schema.json": _schema((CHART / "values.schema.json").read_text()),
        "README.md": (CHART / "README.md").read_text().partition(TABLE)[0] + TABLE + table(values),
    }
    copies = {CHART / "files" / path.name: path.read_bytes() for path in _shipped()}
    return {CHART / name: text.encode() for name, text in texts.items()} | copies


def _shipped() -> Iterator[Path]:
    """Dashboards and rules; their tests stay at home."""
    yield from sorted(DASHBOARDS.glob("*.json"))
    yield from (path for path in sorted(DASHBOARDS.glob("*.rules.yml")) if "test" not in path.name)


def _chart(text: str) -> str:
    return re.sub(r"(?m)^(version|appVersion): .*$", rf"\1: {gateway.__version__}", text)


def _values(text: str) -> str:
    return text.partition(CONFIG)[0] + CONFIG + "config:\n" + "".join(_config())


def _config() -> Iterator[str]:
    section = ""
    for info in settings():
        own, _, name = info.name.partition(".")
        if own != section:
            section = own
            yield f"  {section}:\n"
        default, effect = IN_A_POD.get(info.name, (info.default_text, info.effect))
        yield f"    # {effect}\n"
        yield f"    {name}: {_literal(default)}\n"


def _literal(text: str) -> str:
    if text == UNSET:
        return "null"
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)
    return text


def _schema(text: str) -> str:
    schema = json.loads(text)
    sections: dict[str, dict[str, Form]] = {}
    read = _read_by_templates()
    for info in settings():
        section, _, name = info.name.partition(".")
        _, effect = IN_A_POD.get(info.name, ("", info.effect))
        form = form_of(section, name)
        if info.default_text == UNSET:
            form = {"anyOf": [form, {"type": "null"}]}
        sections.setdefault(section, {})[name] = {"description": effect, **form}
    schema["$defs"] = FORMS
    schema["properties"]["config"] = _closed(
        {
            section: _closed(properties)
            | {"required": [name for name in properties if f"{section}.{name}" in read]}
            for section, properties in sections.items()
        }
    )
    return json.dumps(schema, indent=2) + "\n"


def _read_by_templates() -> set[str]:
    """The settings with a default that templates read. Helm leaves out a value that is null, and
    the template would use no value where the gateway uses its default."""
    texts = (path.read_text() for path in (CHART / "templates").glob("**/*") if path.is_file())
    unset = {info.name for info in settings() if info.default_text == UNSET}
    return {name for text in texts for name in _READ.findall(text)} - unset


def _closed(properties: dict[str, Form]) -> Form:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def write() -> None:
    """Write what differs, and remove copies of what is gone."""
    files = made()
    (CHART / "files").mkdir(exist_ok=True)
    for stale in set((CHART / "files").iterdir()) - files.keys():
        stale.unlink()
    for path, content in files.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    write()
