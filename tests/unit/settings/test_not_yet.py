"""What this release does not have is refused, in the form of all faults."""

from __future__ import annotations

import pytest

from gateway.settings import SettingsFault, load


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [
        ("SWEEP__WARM", "before-ready", "sweep.warm"),
    ],
)
def test_a_choice_that_is_not_there_is_refused(name: str, value: str, setting: str) -> None:
    """It is named with what can be had instead; silence would be a lie."""
    with pytest.raises(SettingsFault) as caught:
        load(None, {f"GATEWAY_{name}": value})

    assert [fault.name for fault in caught.value.faults] == [setting]
    assert "not in this release yet" in str(caught.value)


def test_all_of_them_are_named_together() -> None:
    """Also beside other faults."""
    with pytest.raises(SettingsFault) as caught:
        load(
            None,
            {
                "GATEWAY_SWEEP__WARM": "before-ready",
                "GATEWAY_SERVER__PORT": "none",
            },
        )

    assert {fault.name for fault in caught.value.faults} == {
        "server.port",
        "sweep.warm",
    }
