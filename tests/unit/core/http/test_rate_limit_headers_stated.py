"""What answers say of the limit, in each form that is in use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.http.rate_limit_headers import Stated, stated

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, None),
        ({"ratelimit": '"default";r=7;t=20'}, Stated(None, None, 7, 20.0)),
        (
            {"ratelimit": '"a";r=7;t=20, "b";r=2;t=50', "ratelimit-policy": '"b";q=60;w=60'},
            Stated(60, 60.0, 2, 50.0),
        ),
        ({"ratelimit-policy": '"a";q=100;w=1, "b";q=1000;w=3600'}, Stated(1000, 3600.0)),
        ({"ratelimit-policy": "100;w=60"}, Stated(100, 60.0)),
        (
            {
                "ratelimit-limit": "100, 100;w=60",
                "ratelimit-remaining": "5",
                "ratelimit-reset": "9",
            },
            Stated(100, 60.0, 5, 9.0),
        ),
        (
            {"x-ratelimit-remaining": "5", "x-ratelimit-reset": f"{NOW + 30:.0f}"},
            Stated(None, None, 5, 30.0),
        ),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW * 1000 + 2500:.0f}"},
            Stated(None, None, 0, 2.5),
        ),
        ({"x-ratelimit-limit": "10"}, None),
        ({"x-ratelimit-remaining": "5"}, None),
        ({"ratelimit": "nonsense", "ratelimit-policy": '"a";q=0;w=60'}, None),
        ({"ratelimit-policy": '"a";q=10;w=0'}, None),
    ],
)
def test_each_form_is_read(headers: dict[str, str], said: Stated | None) -> None:
    """A quota without its window says nothing, nor does a remainder without its end."""
    assert stated(headers, NOW) == said


@given(
    st.dictionaries(
        st.sampled_from(
            ["ratelimit", "ratelimit-policy", "ratelimit-limit", "x-ratelimit-remaining", "date"]
        ),
        st.text(max_size=40),
    )
)
def test_no_text_breaks_it(headers: dict[str, str]) -> None:
    """What cannot be read says nothing."""
    said = stated(headers, NOW)
    assert said is None or (said.quota or 1) > 0


def test_only_less_is_news() -> None:
    """More than was thought of is not ours to use."""
    said = Stated(100, 60.0, 5, 9.0)
    assert said.is_less_than(100, 6, 60.0)
    assert not said.is_less_than(100, 5, 60.0)
    assert said.is_less_than(200, 5, 60.0)
    assert said.is_less_than(None, None, 60.0)
    assert not Stated(100, 60.0).is_less_than(None, None, 60.0)
