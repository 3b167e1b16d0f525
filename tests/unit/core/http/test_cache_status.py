"""Cache-Status (RFC 9211): always one member of a structured list, with parameters it knows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.http.cache_status import Handling, cache_status
from gateway.core.vocabulary import Detail, Forward, NotStoredReason

# RFC 8941, 3.3.4, 3.1.2 and 3.3.1.
TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*")
KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
INTEGER = re.compile(r"-?[0-9]{1,15}")

# RFC 9211, 2.2.
REASONS = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}

Parameters = dict[str, str | int | bool]

handlings = st.builds(
    Handling,
    st.none() | st.sampled_from(Detail),
    st.none() | st.sampled_from(Forward),
    st.none() | st.integers(100, 599),
    st.booleans(),
    st.none() | st.sampled_from(NotStoredReason),
    st.booleans(),
)
ttls = st.none() | st.floats(-1e9, 1e9)


def parse(value: bytes) -> tuple[str, Parameters]:
    """The one member: its token and its parameters, each once; anything else fails."""
    name, *rest = value.decode("ascii").split(";")
    assert TOKEN.fullmatch(name)
    parameters: Parameters = {}
    for text in rest:
        key, equals, bare = text.lstrip(" ").partition("=")
        assert KEY.fullmatch(key)
        assert key not in parameters
        parameters[key] = _bare(bare) if equals else True
    return name, parameters


def _bare(text: str) -> str | int:
    if INTEGER.fullmatch(text):
        return int(text)
    assert TOKEN.fullmatch(text)
    return text


@given(handlings, ttls)
def test_it_is_a_structured_field(handling: Handling, ttl: float | None) -> None:
    """Our name, and parameters of the types that RFC 9211 gives them; a hit or a forward."""
    name, parameters = parse(cache_status(handling, ttl))

    assert name == "gateway"
    assert ("hit" in parameters) is not ("fwd" in parameters)
    assert parameters.get("fwd", "miss") in REASONS
    assert all(parameters.get(key, True) is True for key in ("hit", "stored", "collapsed"))
    assert all(type(parameters.get(key, 0)) is int for key in ("ttl", "fwd-status"))
    assert isinstance(parameters.get("detail", ""), str)
    assert parameters.keys() <= {
        *("hit", "fwd", "fwd-status", "ttl", "stored", "collapsed", "detail")
    }


@given(handlings, ttls)
def test_it_says_what_was_done(handling: Handling, ttl: float | None) -> None:
    """Each part of the handling shows; what belongs to a forward does so on a forward only."""
    _, parameters = parse(cache_status(handling, ttl))
    forwarded = handling.forward is not None

    assert parameters.get("fwd") == handling.forward
    assert parameters.get("fwd-status") == (handling.forward_status if forwarded else None)
    assert ("stored" in parameters) is (forwarded and handling.stored)
    assert ("collapsed" in parameters) is (forwarded and handling.collapsed)


@given(handlings, st.integers(-(10**9), 10**9), st.sampled_from([0.0, 0.25, 0.75]))
def test_ttl_is_rounded_down(handling: Handling, whole: int, part: float) -> None:
    """Never more than is left, and below zero from the first moment of staleness."""
    assert parse(cache_status(handling, whole + part))[1]["ttl"] == whole


def test_ttl_may_be_left_out() -> None:
    """Where nothing is stored there is none."""
    assert "ttl" not in parse(cache_status(Handling(), None))[1]


@given(handlings)
def test_detail_is_one_word(handling: Handling) -> None:
    """Why it was not stored, else what else there is to say."""
    _, parameters = parse(cache_status(handling, None))

    if handling.not_stored is not None:
        assert parameters["detail"] == f"not-stored-{handling.not_stored}"
    else:
        assert parameters.get("detail") == handling.detail


@pytest.mark.parametrize(
    ("handling", "ttl", "value"),
    [
        (Handling(Detail.L1), 23.9, b"gateway; hit; ttl=23; detail=l1"),
        (
            Handling(None, Forward.URI_MISS, 200, stored=True),
            None,
            b"gateway; fwd=uri-miss; fwd-status=200; stored",
        ),
        (
            Handling(Detail.CHANGED, Forward.STALE, 200, stored=True),
            None,
            b"gateway; fwd=stale; fwd-status=200; stored; detail=changed",
        ),
        (
            Handling(None, Forward.URI_MISS, 200, stored=True, collapsed=True),
            None,
            b"gateway; fwd=uri-miss; fwd-status=200; stored; collapsed",
        ),
        (
            Handling(Detail.STALE_ERROR, Forward.STALE, 503),
            -0.5,
            b"gateway; fwd=stale; fwd-status=503; ttl=-1; detail=stale-error",
        ),
        (
            Handling(None, Forward.METHOD, 200, not_stored=NotStoredReason.NO_STORE),
            None,
            b"gateway; fwd=method; fwd-status=200; detail=not-stored-no-store",
        ),
    ],
)
def test_the_contracts_examples(handling: Handling, ttl: float | None, value: bytes) -> None:
    """Word for word, in this order."""
    assert cache_status(handling, ttl) == value
