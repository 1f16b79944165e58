# syntax=docker/dockerfile:1
# One image for every role: the core, the Ray nodes and the tools. Non-root, wheels by hash, no compiler.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${PYTHON_IMAGE} AS wheels
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/run.lock /tmp/run.lock
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --only-binary=:all: -r /tmp/run.lock

FROM ${PYTHON_IMAGE}
# Debian pins by its own signed snapshot; curl is for health checks, tini reaps what Ray leaves.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1001 titan \
    && useradd --uid 1001 --gid 1001 --home-dir /var/lib/titan --no-create-home --shell /usr/sbin/nologin titan \
    && install -d -o titan -g titan -m 0711 /var/lib/titan
COPY --from=wheels /opt/venv /opt/venv
WORKDIR /app
COPY pyproject.toml README.md ./
COPY protos protos
COPY titan titan
COPY actors actors
COPY supervisors supervisors
COPY simulation simulation
COPY ops ops
RUN printf '#!/bin/sh\nexec /opt/venv/bin/python -m ops.cli.app "$@"\n' > /usr/local/bin/titan \
    && chmod 0755 /usr/local/bin/titan \
    && /opt/venv/bin/python -m compileall -q titan actors supervisors protos ops
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TITAN_HOME=/var/lib/titan
USER 1001:1001
VOLUME ["/var/lib/titan"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["curl", "-fsS", "http://127.0.0.1:3100/health"]
ENTRYPOINT ["/usr/bin/tini", "--", "titan"]
CMD ["up"]
