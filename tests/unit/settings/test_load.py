"""Everything together: all faults at once, and no secret among them."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsFault, load
from tests.unit.settings.asking import complaints, complaints_about, variables


def test_nothing_given_means_the_defaults() -> None:
    """The gateway starts without a file and without a variable."""
    assert load(None, {}) == Settings()


def test_all_faults_are_told_together_in_the_order_of_the_schema(tmp_path: Path) -> None:
    """From the file, from the environment, from what does not fit together."""
    lines = complaints_about(
        tmp_path,
        "[server]\nport = 'x'\n[freshness]\nlifetime = 'soon'\nlifetim = 5\n[cache]\n",
        access__mode="open",
        access__clients_file="/none/at/all",
        log__level="loud",
        redis__url_file="/none/at/all",
        redis__ulr="x",
    )

    assert [line.partition(": ")[0] for line in lines] == [
        "server.port",
        "upstream.token",
        "access.clients_file",
        "access.clients_file",
        "freshness.lifetime",
        "redis.url_file",
        "log.level",
        "cache",
        "freshness.lifetim",
        "GATEWAY_REDIS__ULR",
    ]


def test_a_fault_reads_as_promised() -> None:
    """The example of the contract, to the letter."""
    assert complaints(freshness__lifetime="soon") == [
        'freshness.lifetime: "soon" is not a duration (wanted: seconds or "30s", "5m", "24h")'
    ]


def test_no_secret_is_in_the_traceback() -> None:
    """Nor in an exception that stands behind the one that is raised."""
    environ = variables(
        redis__url="hunter2", upstream__token="hunter2 hunter2", access__secret="hunter2"
    )

    with pytest.raises(SettingsFault) as caught:
        load(None, environ)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
