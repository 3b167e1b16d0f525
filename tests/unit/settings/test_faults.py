"""One line a fault, all of them in one exception."""

from __future__ import annotations

from gateway.settings.types import Fault, SettingsFault


def test_a_fault_is_one_line_with_name_problem_and_wish() -> None:
    """The line that `gateway check` prints."""
    fault = Fault("freshness.lifetime", '"soon" is not a duration', 'seconds or "30s"')

    assert str(fault) == 'freshness.lifetime: "soon" is not a duration (wanted: seconds or "30s")'


def test_the_exception_shows_every_fault() -> None:
    """Its text is all lines, so that even a bare traceback tells everything."""
    faults = (Fault("a.b", "is odd", "even"), Fault("c.d", "is blue", "red"))

    assert str(SettingsFault(faults)) == "a.b: is odd (wanted: even)\nc.d: is blue (wanted: red)"
    assert SettingsFault(faults).faults == faults
