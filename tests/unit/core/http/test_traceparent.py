from __future__ import annotations

import pytest

from gateway.core.http.traceparent import sampled_trace_of, trace_id_of

ID, PARENT = b"a" * 32, b"b" * 16


def head(
    version: bytes = b"00", trace: bytes = ID, parent: bytes = PARENT, flags: bytes = b"01"
) -> bytes:
    """A `traceparent`."""
    return b"-".join((version, trace, parent, flags))


@pytest.mark.parametrize("flags", [b"00", b"01", b"02", b"ff"])
def test_the_trace_is_read(flags: bytes) -> None:
    """Whatever its flags say."""
    assert trace_id_of(head(flags=flags)) == "a" * 32


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"nonsense",
        b" " + head(),
        head() + b"-more",
        head(version=b"ff"),
        head(trace=b"0" * 32),
        head(parent=b"0" * 16),
        head(trace=b"A" * 32),
        head(trace=b"a" * 31),
    ],
)
def test_what_is_no_trace_has_none(value: bytes | None) -> None:
    """Neither to log nor to keep."""
    assert trace_id_of(value) is None
    assert sampled_trace_of(value) is None


@pytest.mark.parametrize(
    ("flags", "kept"), [(b"00", False), (b"01", True), (b"02", False), (b"03", True), (b"0f", True)]
)
def test_the_lowest_bit_says_that_it_is_sampled(flags: bytes, kept: bool) -> None:
    """The others are about something else."""
    assert sampled_trace_of(head(flags=flags)) == (ID if kept else None)
