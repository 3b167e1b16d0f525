"""Each kind of setting as a JSON schema, so that Helm refuses what the gateway would.

Whether the two agree is asked in `test_chart_made`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from gateway.settings.kinds import _parse_interval
from gateway.settings.schema import Settings
from gateway.settings.texts import (
    parse_base_url,
    parse_header_names,
    parse_host,
    parse_prefix,
)
from gateway.settings.values import (
    LONGEST_DURATION,
    parse_duration,
    parse_positive_duration,
    parse_rate,
    parse_size,
)
from gateway.settings.words import SweepEnabled

Form = dict[str, object]

_PLAIN: dict[object, str] = {bool: "boolean", int: "integer", float: "number"}
_UNITS = "(ms|s|m|h|d)?$"
_NOT_ZERO = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)"
_RATE = r"^(unlimited|[1-9][0-9]{0,8}/(second|minute|hour|day|[0-9.]+(ms|s|m|h|d)))$"


def _either(number: Form, text: str) -> Form:
    return {"anyOf": [number, {"type": "string", "pattern": text}]}


def _text(pattern: str) -> Form:
    return {"type": "string", "pattern": pattern}


FORMS: dict[str, Form] = {
    "duration": _either(
        {"type": "number", "minimum": 0, "maximum": LONGEST_DURATION},
        rf"^[0-9]{{1,18}}(\.[0-9]{{1,18}})?{_UNITS}",
    ),
    "positiveDuration": _either(
        {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_DURATION},
        _NOT_ZERO + _UNITS,
    ),
    "interval": {"anyOf": [{"const": "auto"}, {"$ref": "#/$defs/positiveDuration"}]},
    "size": _either(
        {"type": "integer", "minimum": 1}, "^0*[1-9][0-9]*(B|kB|KB|MB|GB|KiB|MiB|GiB)?$"
    ),
    "rate": _text(_RATE),
    "host": _text("^[A-Za-z0-9:][A-Za-z0-9:._-]*$"),
    "prefix": _text("^[A-Za-z0-9._:-]{1,64}$"),
    "baseUrl": _text(r"^https?://[^@?#\s]+$"),
    "headerNames": {
        "type": "array",
        "uniqueItems": True,
        "items": _text("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    },
}
# By the parser that the loader uses.
_BY_PARSER: dict[Callable[..., object], str] = {
    parse_duration: "duration",
    parse_positive_duration: "positiveDuration",
    parse_size: "size",
    parse_rate: "rate",
    parse_host: "host",
    parse_prefix: "prefix",
    parse_base_url: "baseUrl",
    parse_header_names: "headerNames",
    _parse_interval: "interval",
}
_WORDS: dict[type[StrEnum], list[object]] = {SweepEnabled: [True, False, "true", "false", "auto"]}


def form_of(section: str, name: str) -> Form:
    """The schema of one setting; raises TypeError for a kind that has none."""
    field = type(Settings.model_fields[section].default).model_fields[name]
    words = _words(field)
    if words is not None:
        return {"enum": words}
    for mark in field.metadata:
        if isinstance(mark, BeforeValidator) and mark.func in _BY_PARSER:
            return {"$ref": f"#/$defs/{_BY_PARSER[mark.func]}"}
    if field.annotation not in _PLAIN:
        raise TypeError(f"{section}.{name}: a kind of setting without a form")
    return {"type": _PLAIN[field.annotation], **_bounds(field)}


def _words(field: FieldInfo) -> list[object] | None:
    for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return list(_WORDS.get(kind, [str(word) for word in kind]))
    return None


def _bounds(field: FieldInfo) -> Form:
    bounds: Form = {}
    for mark in field.metadata:
        match mark:
            case Ge(ge=least):
                bounds["minimum"] = least
            case Gt(gt=below):
                bounds["exclusiveMinimum"] = below
            case Le(le=most):
                bounds["maximum"] = most
    return bounds
