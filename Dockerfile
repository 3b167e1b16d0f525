# The gateway and nothing else, as user 65532, on a file system that may be read-only.
#   docker build -t training-gateway:0.1.0 .
# One base for both stages, so that the interpreter is the one that the environment was made with.
ARG PYTHON=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${PYTHON} AS build
WORKDIR /src
# Locks are complete: they are installed by their hashes, and not resolved.
RUN --mount=type=bind,source=requirements-build.lock,target=requirements-build.lock \
    python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --disable-pip-version-check \
      --no-deps --require-hashes -r requirements-build.lock
# With what sends traces (the extra otlp), which is loaded where tracing.endpoint is set.
RUN --mount=type=bind,source=requirements-otlp.lock,target=requirements-otlp.lock \
    /build/bin/uv venv --no-cache --no-python-downloads --python "$(command -v python3)" /opt/gateway \
 && /build/bin/uv pip install --no-cache --system-certs --compile-bytecode --python /opt/gateway/bin/python \
      --no-deps --require-hashes -r requirements-otlp.lock
RUN --mount=type=bind,target=/src \
    /build/bin/hatchling build -t wheel -d /tmp/wheel \
 && /build/bin/uv pip install --no-cache --offline --compile-bytecode --python /opt/gateway/bin/python \
      --no-deps /tmp/wheel/*.whl \
 && rm -f /opt/gateway/.lock

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
# Where you keep the source and the documentation; the project has no address of its own.
ARG SOURCE=""
ARG DOCUMENTATION=""
LABEL org.opencontainers.image.title="training-gateway" \
      org.opencontainers.image.description="A shield for one training API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.documentation="${DOCUMENTATION}"
COPY --from=build /opt/gateway /opt/gateway
COPY config/container.toml /etc/gateway/gateway.toml
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_CONFIG=/etc/gateway/gateway.toml
USER 65532:65532
EXPOSE 8080 8081
# The event loop alone; whether to send callers is what /readyz tells. The gateway has two seconds to answer;
# the rest is for the command's own start, which takes seconds on a busy machine.
HEALTHCHECK --interval=10s --timeout=10s --start-period=10s \
  CMD ["gateway", "health"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
