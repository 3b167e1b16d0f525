"""A collector of traces: takes what an OTLP exporter sends over HTTP, and keeps it decoded."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Arrived:
    """One span as it was sent; ids in hexadecimal digits, `parent` empty where it has none."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    seconds: float
    failed: bool
    attributes: dict[str, str | int]
    resource: dict[str, str | int]


class Collector:
    """What arrived so far. `status` is its answer, which it gives once `open` is set."""

    def __init__(self) -> None:
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        self.bodies: list[bytes] = []
        self.fields: list[dict[str, str]] = []
        self.spans: list[Arrived] = []
        self.url = ""

    def named(self, name: str) -> list[Arrived]:
        """The spans of that name."""
        return [each for each in self.spans if each.name == name]

    def take(self, fields: dict[str, str], body: bytes) -> None:
        """Keep one message."""
        body = gzip.decompress(body) if fields.get("content-encoding") == "gzip" else body
        self.fields.append(fields)
        self.bodies.append(body)
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _told(of.resource.attributes)
            for scope in of.scope_spans:
                self.spans += [_arrived(span, resource) for span in scope.spans]


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on a port of its own."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.open.wait()
            status = kept.status if self.path == PATH else 404
            if status == 200:
                kept.take({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield kept
    finally:
        kept.open.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _arrived(span: Span, resource: dict[str, str | int]) -> Arrived:
    return Arrived(
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        span.status.code == 2,
        _told(span.attributes),
        resource,
    )


def _told(attributes: Iterator[KeyValue]) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}
