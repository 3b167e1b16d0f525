"""Whether traces are kept: the extra `otlp` is loaded here, and only where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping

import gateway
from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.listen import StartFault
from gateway.ports import Clock, NoTracer, Tracer
from gateway.settings import Settings, opentelemetry


def tracer_of(settings: Settings, clock: Clock, telemetry: Telemetry) -> Tracer:
    """What `tracing.endpoint` and the OTEL_ variables say; raises StartFault."""
    endpoint, variables = settings.tracing.endpoint, opentelemetry()
    if endpoint is None or variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NoTracer()
    scheme = "http" if settings.server.tls_cert is None else "https"
    return _loaded(endpoint, variables, clock, telemetry, scheme=scheme)


def _loaded(
    endpoint: str,
    variables: Mapping[str, str],
    clock: Clock,
    telemetry: Telemetry,
    *,
    scheme: str,
) -> Tracer:
    try:
        from gateway.adapters.otlp import OtlpTracer  # noqa: PLC0415 -- an extra, of 8 MB
    except ImportError as missing:
        raise StartFault(
            f"tracing.endpoint is set, and what sends traces is not installed ({missing}): "
            "pip install 'training-gateway[otlp]', or unset it"
        ) from missing
    telemetry.spans_known()
    told, version = telemetry.spans_ended, gateway.__version__
    try:
        return OtlpTracer(endpoint, clock, told, variables, version=version, scheme=scheme)
    except ValueError as fault:
        raise StartFault(f"an OTEL_ variable makes no sense: {fault}") from fault
