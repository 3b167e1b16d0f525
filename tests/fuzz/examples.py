"""How many examples, and bytes that were right once: what all fuzzers share.

`HYPOTHESIS_PROFILE=long` makes of the minute that they take in `make test` an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st

# What the profile that tests run under by default has.
_USUAL = 40

Test = Callable[..., Any]


def times(count: int) -> Callable[[Test], Test]:
    """Try it with so many examples, or as many more as the profile has more than usual."""
    factor = hypothesis.settings().max_examples // _USUAL
    return hypothesis.settings(
        max_examples=count * factor,
        # A server is started once for all examples, whichever state they leave it in.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@st.composite
def damaged(draw: st.DrawFn, sound: Sequence[bytes], pieces: Sequence[bytes] = ()) -> bytes:
    """One of the sound texts, with a few places cut out, doubled, replaced or filled; `pieces`
    are words that mean something there."""
    data = bytearray(draw(st.sampled_from(sound)))
    filling = st.binary(max_size=4) | st.sampled_from([*pieces, b"\0", b"\xff" * 8, b"9" * 20])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.sampled_from([0, 1, 2, 8, 60]))
        match draw(st.integers(0, 3)):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end]
            case _:
                data[at:end] = draw(filling)
    return bytes(data)
