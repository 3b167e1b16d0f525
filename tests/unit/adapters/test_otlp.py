"""What is told of spans, and which traces are kept."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.otlp import OtlpTracer, sampler
from gateway.core.vocabulary import SpanFate
from tests.doubles.clocks import RealClock
from tests.support.otlp import collector

# The bits that a share is compared with are the last sixteen digits of the trace.
LOW = b"00-" + b"a" * 16 + b"1" * 16 + b"-b7ad6b7169203331-0"
HIGH = b"00-" + b"a" * 16 + b"e" * 16 + b"-b7ad6b7169203331-0"


@pytest.mark.parametrize(
    ("name", "share", "kept"),
    [
        # Without a trace, with a low and a high one that callers keep, and one that they do not.
        ("", "", (False, True, True, False)),
        ("parentbased_always_off", "", (False, True, True, False)),
        ("parentbased_always_on", "", (True, True, True, False)),
        ("parentbased_traceidratio", "0.5", (True, True, True, False)),
        ("parentbased_traceidratio", "0.2", (False, True, True, False)),
        ("always_on", "", (True, True, True, True)),
        ("always_off", "", (False, False, False, False)),
        ("traceidratio", "0.5", (True, True, False, True)),
    ],
)
def test_the_sampler_is_that_of_opentelemetry(
    name: str, share: str, kept: tuple[bool, ...]
) -> None:
    """But that callers alone begin traces where none is named."""
    variables = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": share}

    keeps = sampler(variables, lambda: 0.3)

    asked = (None, LOW + b"1", HIGH + b"1", LOW + b"0")
    assert tuple(keeps(traceparent) for traceparent in asked) == kept


@pytest.mark.parametrize(
    ("name", "share"), [("xray", ""), ("traceidratio", "1.5"), ("always_on", "nan")]
)
def test_a_sampler_that_is_none_is_refused(name: str, share: str) -> None:
    """Rather than taken for another one."""
    with pytest.raises(ValueError, match=name):
        sampler({"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": share}, lambda: 0.3)


def tracer_to(url: str, told: asyncio.Queue[tuple[SpanFate, int, str]]) -> OtlpTracer:
    """A tracer that sends to a collector, and tells what becomes of its spans."""
    clock, tell = RealClock(), lambda *fate: told.put_nowait(fate)
    return OtlpTracer(url, clock, tell, {}, version="1", scheme="http")


async def test_a_batch_for_which_no_request_was_made_is_not_told_by_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The SDK gives up a batch that it cannot encode."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    told: asyncio.Queue[tuple[SpanFate, int, str]] = asyncio.Queue()
    with collector() as kept:
        tracer = tracer_to(kept.url, told)
        tracer.begin(None).end()
        first = await told.get()
        tracer.begin(None).part("half a character: \ud800").end()
        second = await told.get()
        await tracer.close(10.0)

    assert first == (SpanFate.SENT, 1, "")
    assert second == (SpanFate.FAILED, 1, "nothing was sent")


async def test_a_span_lasts_from_when_its_request_began() -> None:
    """A hit is told after it was answered."""
    told: asyncio.Queue[tuple[SpanFate, int, str]] = asyncio.Queue()
    with collector() as kept:
        tracer = tracer_to(kept.url, told)
        tracer.begin(None, 50.0).end()
        await tracer.close(10.0)
        await told.get()
        (span,) = kept.spans

    assert 50.0 <= span.seconds < 100.0
