"""What may name a training or a partition, undecoded as it came."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.access.caller import partition_of
from gateway.core.errors import BadId
from gateway.core.upstream.training import is_training_id
from gateway.web.request import is_partition, raw_path, training_id

LETTERS = "ABCXYZabcxyz0189._~-"


@given(st.text(LETTERS, min_size=1, max_size=128).filter(lambda text: text not in (".", "..")))
def test_an_id_names_itself(wanted: str) -> None:
    """Whatever the grammar allows comes out as it went in."""
    assert training_id(b"/training/" + wanted.encode()) == wanted


@given(st.binary(min_size=1, max_size=140))
def test_escaping_changes_nothing(raw: bytes) -> None:
    """What is written with percents is judged as what it stands for."""
    escaped = b"".join(b"%%%02X" % byte for byte in raw)
    good = re.fullmatch(rb"[A-Za-z0-9._~-]{1,128}", raw) and raw not in (b".", b"..")

    if good:
        assert training_id(b"/training/" + escaped) == raw.decode()
    else:
        with pytest.raises(BadId):
            training_id(b"/training/" + escaped)


@given(st.binary(max_size=40))
def test_no_path_raises_anything_else(raw: bytes) -> None:
    """A path is an id, none, or BadId; and what is an id keeps to the grammar."""
    for path in (raw, b"/training/" + raw, b"/training/" + quote_from_bytes(raw).encode()):
        try:
            found = training_id(path)
        except BadId:
            continue
        assert found is None or re.fullmatch("[A-Za-z0-9._~-]{1,128}", found)


@pytest.mark.parametrize("path", [b"/", b"/training", b"/training/", b"/training/a/", b"/x/a"])
def test_another_path_names_no_training(path: bytes) -> None:
    """Where no id stands, or more than one segment, nothing is named."""
    assert training_id(path) is None


def test_the_prefix_is_chosen_by_who_asks() -> None:
    """The admin plane explains by the same grammar below another path."""
    assert training_id(b"/explain/a.b", b"/explain/") == "a.b"
    assert training_id(b"/training/a", b"/explain/") is None


def test_a_path_without_its_raw_form_is_read_decoded() -> None:
    """A server may leave `raw_path` out, or give None."""
    assert raw_path({"path": "/training/a", "raw_path": b"/training/%61"}) == b"/training/%61"
    assert raw_path({"path": "/training/a", "raw_path": None}) == b"/training/a"
    assert raw_path({"path": "/training/a"}) == b"/training/a"


@given(st.text(max_size=3) | st.text(LETTERS, max_size=140))
def test_an_order_names_trainings_by_the_grammar_of_paths(text: str) -> None:
    """What is an id in a path is one in a body, and nothing else is."""
    escaped = quote(text, safe="", errors="surrogatepass").encode()
    try:
        in_path = training_id(b"/training/" + escaped) == text
    except BadId:
        in_path = False

    assert is_training_id(text) is in_path


def test_a_partition_is_what_access_makes() -> None:
    """The names made for credentials are partitions, others are not."""
    made = partition_of("passthrough", "token")

    assert is_partition(made)
    assert not any(map(is_partition, ("", "p1", made.upper(), made + "0", made + "\n")))
