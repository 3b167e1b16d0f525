"""Conditional requests as an upstream with validators answers them (RFC 9110, section 13).

The documented API sends no validators; this is for the day it does.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import StrEnum
from hashlib import blake2b

from starlette.datastructures import Headers


class ETagForm(StrEnum):
    """Which entity tag answers carry."""

    NONE = "none"
    STRONG = "strong"
    WEAK = "weak"


def entity_tag(body: bytes, form: ETagForm) -> str | None:
    """A tag that changes with the body's bytes."""
    if form is ETagForm.NONE:
        return None
    tag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
    return f"W/{tag}" if form is ETagForm.WEAK else tag


def http_date(moment: datetime) -> str:
    """An HTTP date; fractions of a second are lost, which is what makes it a weak validator."""
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


def is_unchanged(headers: Headers, tag: str | None, last_modified: str | None) -> bool:
    """Whether a 304 answers the request; `If-None-Match` hides `If-Modified-Since`."""
    if (wanted := headers.get("if-none-match")) is not None:
        return tag is not None and _names(wanted, tag)
    since = headers.get("if-modified-since")
    if since is None or last_modified is None:
        return False
    return _is_not_after(last_modified, since)


def _names(wanted: str, tag: str) -> bool:
    listed = {part.strip().removeprefix("W/") for part in wanted.split(",")}
    return wanted.strip() == "*" or tag.removeprefix("W/") in listed


def _is_not_after(last_modified: str, since: str) -> bool:
    try:
        return parsedate_to_datetime(last_modified) <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False
