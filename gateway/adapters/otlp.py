"""Sends spans over OTLP with OpenTelemetry's SDK (the optional dependencies `otlp`).

The spans follow OpenTelemetry's semantic conventions for HTTP. A thread of the SDK sends them. The
SDK reads most `OTEL_…` variables itself. Each hit asks the sampler (the rule that decides which
traces are kept). The SDK's sampler is too slow for this, so the gateway has its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPMethod
from typing import Any, Final, TypeVar

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from gateway.core.http.traceparent import SAMPLED
from gateway.core.vocabulary import Part, SpanFate
from gateway.ports import Attributes, Clock, Deadline, Served

# The methods that the semantic conventions list. Callers can send any text as the method, but only
# these methods appear in the names of spans.
_METHODS: Final = frozenset(HTTPMethod)
_PATH: Final = "/v1/traces"
# The SDK's defaults for OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_MAX_EXPORT_BATCH_SIZE.
_QUEUE: Final = 2_048
_BATCH: Final = 512
_UNSENT: Final = "nothing was sent"
# These two samplers keep a fixed share of the traces.
_FIXED_SHARES: Final = {"always_on": 1.0, "always_off": 0.0}

Number = TypeVar("Number", int, float)
Keeps = Callable[[bytes | None], bool]
SpansEnded = Callable[[SpanFate, int, str], None]


def sampler(variables: Mapping[str, str], chance: Callable[[], float]) -> Keeps:
    """The rule that decides which traces are kept, from the variables OTEL_TRACES_SAMPLER and
    OTEL_TRACES_SAMPLER_ARG. Raises ValueError if one of them has a wrong value.

    By default only traces that the caller has sampled are kept: one trace costs as much CPU as
    several hits.
    """
    name = variables.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_off"
    by_parent, root = name.startswith("parentbased_"), name.removeprefix("parentbased_")
    share = _number(variables, "OTEL_TRACES_SAMPLER_ARG", float, 1.0)
    if root not in (*_FIXED_SHARES, "traceidratio") or not 0.0 <= share <= 1.0:
        raise ValueError(f"OTEL_TRACES_SAMPLER is {name}, OTEL_TRACES_SAMPLER_ARG is {share}")
    share = _FIXED_SHARES.get(root, share)
    bound = share * 2**64

    def keeps(traceparent: bytes | None) -> bool:
        if traceparent is None:
            return share > 0.0 and chance() < share
        if by_parent:
            return traceparent[-1] in SAMPLED
        return int(traceparent[19:35], 16) < bound

    return keeps


def _number(
    variables: Mapping[str, str], name: str, read: Callable[[str], Number], default: Number
) -> Number:
    text = variables.get(name)
    try:
        return read(text) if text else default
    except ValueError as fault:
        raise ValueError(f"{name}: {fault}") from fault


class OtlpTracer:
    """A Tracer that sends spans to the collector at `endpoint`. It must be made in the event loop.
    Raises ValueError if a variable has a wrong value.

    spans_ended  called in the loop after spans were sent or lost, with their fate, their number,
                 and the reason for the loss ("" if they were sent)
    variables    the environment variables of OpenTelemetry
    """

    def __init__(
        self,
        endpoint: str,
        clock: Clock,
        spans_ended: SpansEnded,
        variables: Mapping[str, str],
        *,
        version: str,
        scheme: str,
    ) -> None:
        # In a warning, OpenTelemetry would quote the header fields of OTEL_EXPORTER_OTLP_HEADERS
        # that it cannot parse. These fields perhaps contain credentials.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self.keeps = sampler(variables, clock.jitter)
        self.clock, self.scheme = clock, scheme
        url = endpoint if endpoint.endswith(_PATH) else endpoint + _PATH
        most = _number(variables, "OTEL_BSP_MAX_QUEUE_SIZE", int, _QUEUE)
        at_once = _number(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", int, min(_BATCH, most))
        if not 0 < at_once <= most:
            raise ValueError(
                f"OTEL_BSP_MAX_EXPORT_BATCH_SIZE is {at_once}, OTEL_BSP_MAX_QUEUE_SIZE is {most}"
            )
        self._waiting = _Waiting(_Sending(url, spans_ended), most, at_once, spans_ended)
        named = {"service.name": "training-gateway", "service.version": version}
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES replace the values in `named`.
        resource = Resource.create(named).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._waiting)
        self.start = self._provider.get_tracer("gateway", version).start_span

    def begin(self, traceparent: bytes | None, seconds: float = 0.0) -> OtlpSpan:
        """As Tracer.begin. The caller's span is the parent, if there is one."""
        around = Context()
        if traceparent is not None:
            parent = NonRecordingSpan(_span_context(traceparent))
            around = set_span_in_context(parent, around)
        return OtlpSpan(self, "HTTP", around, SpanKind.SERVER, seconds=seconds)

    async def close(self, patience: float) -> None:
        """As Tracer.close. Spans that still wait after `patience` seconds count as dropped."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has perhaps ended already
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut, daemon=True).start()
        try:
            async with Deadline(patience):
                await ended.wait()
        except TimeoutError:
            self._waiting.give_up()


class OtlpSpan:
    """A Span that began `seconds` ago."""

    __slots__ = ("_began", "_span", "_started", "_tracer", "traceparent")

    def __init__(
        self,
        tracer: OtlpTracer,
        name: str,
        parent: Context,
        kind: SpanKind,
        *,
        seconds: float = 0.0,
    ) -> None:
        self._tracer = tracer
        self._began = tracer.clock.monotonic() - seconds
        self._started = tracer.clock.now() - seconds
        begun = _nanoseconds(self._started)
        self._span = tracer.start(name, parent, kind, start_time=begun)
        context = self._span.get_span_context()
        ids = (context.trace_id, context.span_id, context.trace_flags)
        self.traceparent = b"00-%032x-%016x-%02x" % ids

    def part(self, name: str) -> OtlpSpan:
        kind = SpanKind.CLIENT if name == Part.UPSTREAM else SpanKind.INTERNAL
        around = set_span_in_context(self._span, Context())
        return OtlpSpan(self._tracer, name, around, kind)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def serve(self, served: Served) -> None:
        """As Span.serve. The names of the gateway's own attributes begin with `gateway.`."""
        known = served.method in _METHODS
        told = {
            "http.request.method": served.method if known else "_OTHER",
            "url.scheme": self._tracer.scheme,
            "url.path": served.path,
            "http.route": served.route,
            "http.response.status_code": served.status,
            "gateway.outcome": str(served.outcome),
            "gateway.tier": str(served.tier),
            "gateway.detail": served.detail and str(served.detail),
            "gateway.client": served.client,
        }
        self.note({name: value for name, value in told.items() if value is not None})
        method = served.method if known else "HTTP"
        self._span.update_name(method if served.route is None else f"{method} {served.route}")
        self.end(str(served.status) if served.status >= 500 else None)

    def end(self, fault: str | None = None) -> None:
        if fault is not None:
            self._span.set_attribute("error.type", fault)
            self._span.set_status(Status(StatusCode.ERROR))
        took = self._tracer.clock.monotonic() - self._began
        self._span.end(_nanoseconds(self._started + took))


class _Waiting(BatchSpanProcessor):
    """The spans that wait to be sent, at most `most`. Further spans are dropped. One request sends
    at most `at_once` spans."""

    def __init__(self, sending: _Sending, most: int, at_once: int, spans_ended: SpansEnded) -> None:
        super().__init__(sending, most, max_export_batch_size=at_once)
        self._sending, self._most, self._spans_ended = sending, most, spans_ended
        self._taken = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self._taken - self._sending.done >= self._most:
            self._spans_ended(SpanFate.DROPPED, 1, "too many spans wait")
            return
        self._taken += 1
        super().on_end(span)

    def give_up(self) -> None:
        lost = self._taken - self._sending.done
        self._spans_ended(SpanFate.DROPPED, lost, "the gateway ends")


class _Sending(OTLPSpanExporter):
    """Sends spans in a thread of the SDK, and reports how each batch ended. `done` counts the spans
    that were sent or lost."""

    def __init__(self, url: str, spans_ended: SpansEnded) -> None:
        self._last = _Session()
        super().__init__(endpoint=url, session=self._last)
        self._spans_ended, self._loop = spans_ended, asyncio.get_running_loop()
        self.done = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans. The SDK makes the retries."""
        result = SpanExportResult.FAILURE
        self._last.ended = _UNSENT
        try:
            result = super().export(spans)
        finally:
            self.done += len(spans)
            sent = result is SpanExportResult.SUCCESS
            fate, why = (SpanFate.SENT, "") if sent else (SpanFate.FAILED, self._last.ended)
            with suppress(RuntimeError):  # the loop has perhaps ended already
                self._loop.call_soon_threadsafe(self._spans_ended, fate, len(spans), why)
        return result


class _Session(requests.Session):
    """Notes in `ended` how its last request of a batch ended, without any text of the request or
    the response."""

    ended = _UNSENT

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **named)
        except Exception as error:
            self.ended = type(error).__name__
            raise
        self.ended = f"status {response.status_code}"
        return response


def _span_context(traceparent: bytes) -> SpanContext:
    trace, span, flags = (int(each, 16) for each in traceparent.split(b"-")[1:])
    return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
