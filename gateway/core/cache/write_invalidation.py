"""Reads in the upstream's answer to a write which trainings the write changed (RFC 9111, 4.4)."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from gateway.core.errors import InvalidPayload
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.training import is_training_id, parse

_LOCATION_FIELDS: Final = (b"location", b"content-location")


def is_success(reply: Reply) -> bool:
    """Whether the write succeeded. A 3xx counts as success too (RFC 9111, 4.4)."""
    return 200 <= reply.status < 400


def changed_trainings(target: str | None, reply: Reply, base_url: str) -> tuple[str, ...]:
    """The ids of the trainings whose stored responses are outdated after a successful write.

    `target`: the id of the training that was written to (None: the collection).
    """
    named = (target, *_located(reply.headers, base_url), _id_in(reply.body))
    return tuple(dict.fromkeys(each for each in named if each))


def _located(headers: Headers, base_url: str) -> list[str]:
    """The ids of the trainings whose URLs are in the fields `Location` and `Content-Location`. A
    URL of another origin is ignored (RFC 9111, 4.4)."""
    base = base_url.rstrip("/") + "/training/"
    found = []
    for name, value in headers:
        if name in _LOCATION_FIELDS:
            place = urlsplit(_resolved(base, value))
            root = urlsplit(base)
            same = (place.scheme, place.netloc) == (root.scheme, root.netloc)
            last = unquote(place.path.removeprefix(root.path))
            if same and place.path.startswith(root.path) and is_training_id(last):
                found.append(last)
    return found


def _resolved(base: str, value: bytes) -> str:
    try:
        return urljoin(base, value.decode("ascii").strip())
    except ValueError:
        return ""


def _id_in(body: bytes) -> str | None:
    """The id of the training in the body. None if the body is no training."""
    try:
        training_id = parse(body, None).id
    except InvalidPayload:
        return None
    return training_id if is_training_id(training_id) else None
