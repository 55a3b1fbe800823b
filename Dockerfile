# syntax=docker/dockerfile:1
# Sidegate. It writes to /var/lib/sidegate and /tmp only, so that the rest may be read-only:
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -v ./gateway.yaml:/etc/sidegate/gateway.yaml:ro -p 8080:8080 sidegate
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    # What is dated inside a wheel is dated alike in every build.
    SOURCE_DATE_EPOCH=1767225600
# Dependencies first: this layer is made anew only when pyproject.toml changes. Wheels only, so that no compiler is needed.
# Not in /src: what a build leaves there would be newer than the sources copied later, and be taken for them.
WORKDIR /dependencies
COPY pyproject.toml ./
RUN mkdir gateway plugins \
    && touch LICENSE README.md gateway/__init__.py plugins/__init__.py \
    && pip wheel --only-binary :all: --wheel-dir /wheels ".[otel,sentry]" \
    && rm /wheels/sidegate-*.whl
WORKDIR /src
COPY pyproject.toml LICENSE README.md ./
COPY gateway/ gateway/
COPY plugins/ plugins/
RUN pip wheel --no-deps --wheel-dir /wheels .
# The environment holds no pip, and its byte code is checked against no clock: it is the same in every build, and is never
# written again on a read-only root.
RUN python -m venv --without-pip /opt/sidegate \
    && pip --python /opt/sidegate/bin/python install --no-index --find-links /wheels --no-compile "sidegate[otel,sentry]" \
    && /opt/sidegate/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sidegate/lib \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/sidegate

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Sidegate" \
      org.opencontainers.image.description="An API gateway sidecar for services that already exist" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/sidegate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/sidegate /opt/sidegate
COPY --from=build --chown=10001:10001 /var/lib/sidegate /var/lib/sidegate
WORKDIR /var/lib/sidegate
VOLUME /var/lib/sidegate
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["gateway", "health", "-c", "/etc/sidegate/gateway.yaml"]
ENTRYPOINT ["gateway"]
CMD ["run", "/etc/sidegate/gateway.yaml"]
