"""From what a configuration says of traces and errors to what the services are told."""

from __future__ import annotations

from gateway.config.model import Config, Route
from gateway.plugin.document import file_state
from gateway.services import unhandled
from gateway.services.tracing import Collector, Options, RouteTracing


def tracing_options(config: Config) -> Options | None:
    """None if nothing is traced."""
    settings = config.tracing
    if settings is None:
        return None
    tls, batch, sampling = settings.tls, settings.batch, settings.sampling
    collector = Collector(
        endpoint=settings.endpoint,
        headers=tuple((name, value.get_secret_value()) for name, value in settings.headers.items()),
        timeout=settings.timeout,
        compression=settings.compression,
        ca=str(tls.ca) if tls.ca is not None else None,
        cert=str(tls.cert) if tls.cert is not None else None,
        key=str(tls.key) if tls.key is not None else None,
        files=tuple(file_state(path) for path in tls.files),
        resource=tuple(sorted({"service.name": settings.service, **settings.resource}.items())),
        queue=batch.queue,
        batch=batch.size,
        interval=batch.interval,
        flush=batch.flush,
        attribute=settings.attribute_length,
    )
    return Options(
        collector,
        ratio=sampling.ratio,
        errors=sampling.errors,
        slow=sampling.slow,
        parent=sampling.parent,
        b3="b3" in settings.accept,
        propagate=frozenset(settings.propagate) - {"w3c"},
        baggage=frozenset(settings.baggage),
        request_headers=settings.request_headers,
        response_headers=settings.response_headers,
        spans=settings.spans,
        routes={route.name: route_tracing(config, route) for route in config.routes},
    )


def route_tracing(config: Config, route: Route) -> RouteTracing:
    """What a route has its own way. Several paths have no pattern in common, so its name stands for them."""
    own, paths = route.tracing, route.match.path
    asked = own.plugins if own is not None else None
    everywhere = config.tracing is not None and config.tracing.plugins
    return RouteTracing(
        pattern=paths[0].text if len(paths) == 1 else route.name,
        ratio=own.ratio if own is not None else None,
        plugins=everywhere if asked is None else asked,
        off=own is not None and own.off,
    )


def tracker_options(config: Config) -> unhandled.Options | None:
    """None if errors are sent nowhere."""
    settings = config.errors.sentry
    if settings is None:
        return None
    return unhandled.Options(
        settings.dsn.get_secret_value(),
        environment=settings.environment,
        release=settings.release,
        sample=settings.sample,
        interval=settings.interval,
        most=settings.per_minute,
    )
