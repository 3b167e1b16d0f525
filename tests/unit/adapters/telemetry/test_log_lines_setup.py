from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from gateway.adapters.telemetry.log_lines import (
    configure,
    configure_standard_output,
    logger,
    standard_output,
)
from tests.unit.adapters.telemetry.stand_ins import ListSink


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    structlog.reset_defaults()


def _configured(level: str = "info", form: str = "json") -> ListSink:
    sink = ListSink()
    configure(form, level, now=lambda: 0.0, sink=sink)
    return sink


def test_events_below_the_level_are_not_written() -> None:
    """`log.level` holds for events."""
    sink = _configured("warning")

    logger.info("entry.changed")
    logger.error("start.failed")

    assert [record["event"] for record in sink.records] == ["start.failed"]


def test_an_exception_is_part_of_its_line() -> None:
    """A traceback is a field, without the credential that its message quotes."""
    sink = _configured()

    try:
        raise ValueError("sent Bearer s3cr3t")
    except ValueError:
        logger.exception("request.broke")

    assert "ValueError: sent [removed]" in str(sink.records[0]["exception"])
    assert len(sink.records) == 1


def test_what_libraries_say_takes_the_same_way() -> None:
    """A warning of a library is a line like any other, its text harmless."""
    sink = _configured()

    logging.getLogger("uvicorn.error").warning("Invalid request\nfrom %s", "somebody")

    assert sink.records == [
        {
            "time": "1970-01-01T00:00:00.000Z",
            "level": "warning",
            "event": "library.said",
            "library": "uvicorn.error",
            "message": "Invalid request\nfrom somebody",
        }
    ]


def test_a_request_that_broke_can_be_found_again() -> None:
    """The request id that came along with a message is told with it."""
    sink = _configured()

    logging.getLogger("gateway.web").error("it broke", extra={"request_id": "r-1"})

    assert sink.records[0]["request_id"] == "r-1"


def test_libraries_are_not_heard_below_a_warning() -> None:
    """HTTP libraries tell headers while debugging; not even `debug` lets them."""
    sink = _configured("debug")

    logging.getLogger("httpcore.http11").debug("Authorization: Bearer s3cr3t")
    logging.getLogger("uvicorn.error").info("Started server process")

    assert sink.text == ""


def test_the_servers_own_access_log_is_silent() -> None:
    """There is one access line a request, and it is ours."""
    sink = _configured()

    logging.getLogger("uvicorn.access").error('"GET / HTTP/1.1" 200')

    assert sink.text == ""


def test_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Where a container's log is read; they are written when the writer was flushed."""
    configure_standard_output("console", "info", now=lambda: 0.0, on_lost=lambda: None)

    logger.info("gateway.started")
    standard_output().flush(30)

    assert capfd.readouterr().out == "00:00:00.000Z info    gateway.started\n"
