"""Reads the upstream's answer to a write: which trainings changed, and their new versions.

The rules are in RFC 9111, 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from gateway.core.cache.entry import VERSION_TOLERANCE
from gateway.core.errors import InvalidPayload
from gateway.core.http.fields import Headers, Reply
from gateway.core.instant import Instant, from_seconds
from gateway.core.upstream.training import is_training_id, parse

_LOCATION_FIELDS: Final = (b"location", b"content-location")


@dataclass(frozen=True, slots=True)
class Written:
    """The ids of the trainings whose stored responses are outdated after a write.

    `versions`: the id and the new version of the training in the answer's body. Empty if the body
    has no training, or if the version is far in the future.
    """

    training_ids: tuple[str, ...]
    versions: tuple[tuple[str, Instant], ...] = ()


def is_success(reply: Reply) -> bool:
    """Whether the write succeeded. A 3xx counts as success too (RFC 9111, 4.4)."""
    return 200 <= reply.status < 400


def written(target: str | None, reply: Reply, base_url: str, now: float) -> Written:
    """The trainings whose stored responses are outdated after a successful write.

    `target`: the id of the training that was written to (None: the collection). A version more than
    VERSION_TOLERANCE seconds after `now` is ignored.
    """
    named = [each for each in (target, *_located(reply.headers, base_url)) if each]
    told = _told(reply)
    if told is not None:
        named.append(told[0])
    latest = from_seconds(now + VERSION_TOLERANCE)
    versions = () if told is None or told[1] > latest else (told,)
    return Written(tuple(dict.fromkeys(named)), versions)


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


def _told(reply: Reply) -> tuple[str, Instant] | None:
    """The id and the version of the training in the body. None if the body is no training."""
    try:
        training = parse(reply.body, None)
    except InvalidPayload:
        return None
    return (training.id, training.updated_at) if is_training_id(training.id) else None
