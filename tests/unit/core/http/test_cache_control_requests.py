"""What a caller says of the stored answer it would take (RFC 9111, 5.2.1)."""

from __future__ import annotations

import math

import pytest

from gateway.core.http.cache_control import (
    RequestDirectives,
    request_directives_of,
    wants_only_if_cached,
)


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (None, None),
        (b"", None),
        (b"only-if-cached, nothing-to-see-here", None),
        (b"No-Cache", RequestDirectives(no_cache=True)),
        (b"no-store", RequestDirectives(no_store=True)),
        (b"max-age=10, min-fresh=5", RequestDirectives(max_age=10.0, min_fresh=5.0)),
        (b"max-age=x", RequestDirectives(max_age=0.0)),
        (b"max-stale", RequestDirectives(max_stale=math.inf)),
        (b"max-stale=60", RequestDirectives(max_stale=60.0)),
        (b"max-stale=x", RequestDirectives(max_stale=0.0)),
    ],
)
def test_directives_are_read(value: bytes | None, directives: RequestDirectives | None) -> None:
    """Where the caller has any; what makes no sense is the strictest, and no permission."""
    assert request_directives_of(value) == directives


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, False),
        (b"", False),
        (b"only-if-cached", True),
        (b"max-age=0,Only-If-Cached", True),
        (b"max-age=0 , only-if-cached , no-cache", True),
        (b"x-only-if-cached", False),
        (b"only-if-cached-please", False),
        (b'x="only-if-cached"', False),
        (b'x="a, only-if-cached, b"', False),
    ],
)
def test_only_if_cached(value: bytes | None, wanted: bool) -> None:
    """The directive, wherever it stands in the list, and nothing that looks like it."""
    assert wants_only_if_cached(value) is wanted
