"""Each kind of setting as a JSON schema, so that Helm refuses what the gateway would.

Whether the two agree is asked in `test_chart_made`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from gateway.settings import SweepEnabled
from gateway.settings.parsers import (
    LONGEST_DURATION,
    SHORTEST_DURATION,
    SMALLEST_SIZE,
    parse_base_url,
    parse_duration,
    parse_endpoint,
    parse_header_names,
    parse_host,
    parse_interval,
    parse_positive_duration,
    parse_rate,
    parse_size,
)
from gateway.settings.schema import Settings
from gateway.settings.types import kind_of

Form = dict[str, object]

_UNITS = "(ms|s|m|h|d)?$"
# At least a millisecond: a whole unit, or a fraction of a unit above milliseconds.
_A_MILLISECOND = r"^(0*[1-9][0-9]*(\.[0-9]+)?(ms|s|m|h|d)?|0+\.0{0,2}[1-9][0-9]*(s|m|h|d)?)$"
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
        {"type": "number", "minimum": SHORTEST_DURATION, "maximum": LONGEST_DURATION},
        _A_MILLISECOND,
    ),
    "interval": {"anyOf": [{"const": "auto"}, {"$ref": "#/$defs/positiveDuration"}]},
    "size": _either(
        {"type": "integer", "minimum": SMALLEST_SIZE},
        "^0*([1-9][0-9]{3,}B?|[1-9][0-9]*(kB|KB|MB|GB|KiB|MiB|GiB))$",
    ),
    "rate": _text(_RATE),
    "host": _text("^[A-Za-z0-9:][A-Za-z0-9:._-]*$"),
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
    parse_base_url: "baseUrl",
    parse_endpoint: "baseUrl",
    parse_header_names: "headerNames",
    parse_interval: "interval",
}
_WORDS: dict[type[StrEnum], list[object]] = {SweepEnabled: [True, False, "true", "false", "auto"]}


def form_of(section: str, name: str) -> Form:
    """The schema of one setting; what has no parser of ours, pydantic knows."""
    field = type(Settings.model_fields[section].default).model_fields[name]
    words = _words(field)
    if words is not None:
        return {"enum": words}
    if (parse := kind_of(field).parse) in _BY_PARSER:
        return {"$ref": f"#/$defs/{_BY_PARSER[parse]}"}
    return TypeAdapter(field.rebuild_annotation()).json_schema()


def _words(field: FieldInfo) -> list[object] | None:
    for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return list(_WORDS.get(kind, [str(word) for word in kind]))
    return None
