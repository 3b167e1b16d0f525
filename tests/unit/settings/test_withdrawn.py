"""A setting, or a value of one, that went is told as withdrawn, with what to use instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core import withdrawn_names
from gateway.settings.schema import KINDS
from tests.unit.settings.asking import complaints, complaints_about


@pytest.fixture
def withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting and a value that an earlier release had."""
    went = {
        "log.colour": "went in 0.2: use log.format",
        'log.level = "trace"': 'went in 0.2: use "debug"',
    }
    for name, told in went.items():
        monkeypatch.setitem(withdrawn_names.WITHDRAWN, name, told)


@pytest.mark.usefixtures("withdrawn")
def test_a_withdrawn_setting_is_told_by_name(tmp_path: Path) -> None:
    """In the file and in the environment, with what to use instead."""
    told = "went in 0.2: use log.format (wanted: one of format, level, hits)"

    assert complaints_about(tmp_path, "[log]\ncolour = 'red'") == [f"log.colour: {told}"]
    assert complaints(log__colour="red") == [f"GATEWAY_LOG__COLOUR: {told}"]


@pytest.mark.usefixtures("withdrawn")
def test_a_withdrawn_value_is_told_by_name() -> None:
    """It is not called a wrong word, which would let people look for a typing error."""
    (told,) = complaints(log__level="trace")

    assert told.startswith('log.level: "trace" went in 0.2: use "debug" (wanted: "debug", ')


def test_the_value_honour_is_told_as_withdrawn() -> None:
    """The words of the table, as an operator of 0.1 sees them."""
    (told,) = complaints(freshness__client_directives="honour")

    assert told.startswith(
        'freshness.client_directives: "honour" went in 0.2: use "limited" (wanted: "limited", '
    )


def test_no_withdrawn_setting_is_a_setting() -> None:
    """A name in the table that still works would be a promise to break."""
    names = [name for name in withdrawn_names.WITHDRAWN if " " not in name]

    assert [name for name in names if name in KINDS] == []
