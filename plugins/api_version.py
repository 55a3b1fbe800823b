"""Finds the version of the API asked for in path, header, media type or query, and sends it where that lives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

from pydantic import Field, model_validator

from gateway.errors import GatewayError, Source
from gateway.http import Handler, Request, ReservedFields, Response
from gateway.http.query import parameters, without_parameter
from gateway.plugin import Context, Plugin, Settings, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.upstream import UpstreamName

VERSION: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$"
VersionName = Annotated[str, Field(pattern=VERSION)]
_MARK: Final = "{version}"
_MEDIA_VERSION: Final = re.compile(r"""[;\s](?:version|v)\s*=\s*"?([A-Za-z0-9._-]{1,32})""")


class UnsupportedVersion(GatewayError):
    """A version that there is not, or that is no longer served."""

    code, status, title, source = "unsupported_api_version", 400, "Unsupported API version", Source.CLIENT


class VersionRequired(UnsupportedVersion):
    """No version was named, and there is no default."""

    code, title = "api_version_required", "API version required"


class AmbiguousVersion(UnsupportedVersion):
    """Two places name different versions: guessing would answer one of them wrongly."""

    code, title = "ambiguous_api_version", "Ambiguous API version"


class Places(Settings):
    """All that are given are looked at. Two that disagree are refused."""

    path: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._~-]{0,16}\{version\}$",
        description="A path segment such as `v{version}`: the first one of that form that begins with a digit there.",
    )
    header: FieldName | None = Field(default=None, description="A header field such as `X-API-Version`.")
    query: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._~-]{1,64}$", description="A query parameter.")
    media_type: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$",
        description="In `Accept`, else in `Content-Type`: `acme` finds 2 in `application/vnd.acme.v2+json`, in "
        "`application/vnd.acme.orders.v2+json` and in `application/vnd.acme+json;version=2`.",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Places:
        if not self.model_fields_set:
            raise ValueError("at least one of `path`, `header`, `query`, `media_type` is needed")
        return self


class Version(Settings):
    """One version that is served."""

    upstream: UpstreamName | None = Field(default=None, description="Where it lives. Unset: the route's own upstream.")
    aliases: tuple[VersionName, ...] = Field(default=(), description="Other spellings, such as `2.0` or `latest`.")


class ApiVersionSettings(Settings):
    """Old versions end with `deprecation` on a route or under a `when:` of their own."""

    from_: Places = Field(alias="from", description="Where requests name their version.")
    versions: Mapping[VersionName, Version] = Field(
        min_length=1, max_length=100, description="What is served, by name. All others are refused."
    )
    default: VersionName | None = Field(
        default=None, description="For requests that name none. Unset: they are refused with 400."
    )
    strip: bool = Field(default=False, description="Take the path segment or the query parameter out on the way.")
    header: FieldName | None = Field(
        default=None,
        description="Tells the target, and the client in its answer, which version it was. A client's own goes.",
    )

    @model_validator(mode="after")
    def _unique(self) -> ApiVersionSettings:
        spellings = [*self.versions, *(alias for each in self.versions.values() for alias in each.aliases)]
        twice = sorted({name for name in spellings if spellings.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} names two versions")
        if self.default is not None and self.default not in spellings:
            raise ValueError("`default` is one of `versions`")
        return self


Find = Callable[[Request], str | None]


class ApiVersion(Plugin[ApiVersionSettings]):
    stage = Stage.SHAPE
    refuses = True

    def __init__(self, settings: ApiVersionSettings, context: Context) -> None:
        super().__init__(settings, context)
        places = settings.from_
        self._names = {alias: name for name, each in settings.versions.items() for alias in (name, *each.aliases)}
        self._segment = places.path.removesuffix(_MARK) if places.path is not None else None
        self._finds: Sequence[Find] = [
            *([self._in_path] if places.path is not None else []),
            *([_in_header(places.header)] if places.header is not None else []),
            *([_in_media_type(places.media_type)] if places.media_type is not None else []),
            *([_in_query(places.query)] if places.query is not None else []),
        ]
        vary = [places.header] * (places.header is not None) + ["Accept"] * (places.media_type is not None)
        self._vary = ", ".join(filter(None, vary))
        told = settings.header
        self._told = ReservedFields([told]) if told is not None and told != places.header else None
        self._supported = {"supported": list(settings.versions)}
        requests = context.metrics.counter(
            "api_version_requests_total", "Requests by the version they got.", ("route", "plugin", "version")
        )
        self._counts = {name: requests.child(context.route, context.id, name) for name in settings.versions}

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        try:
            version = self._version(request)
        except GatewayError as error:
            self.refuse(error)
            return await proceed(request)
        self._counts[version].value += 1
        if self._told is not None:
            self._told.take_out(request)
        if self.settings.strip:
            self._strip(request)
        told = self.settings.header
        if told is not None:
            request.edit_headers()[told] = version
        upstream = self.settings.versions[version].upstream
        if upstream is not None:
            request.upstream = upstream
        response = await proceed(request)
        if told is not None:
            response.edit_headers()[told] = version
        if self._vary:
            response.edit_headers().add("Vary", self._vary)  # what answers differ by (RFC 9110 §12.5.5)
        return response

    def _version(self, request: Request) -> str:
        """Raises UnsupportedVersion."""
        found = {asked for asked in (find(request) for find in self._finds) if asked is not None}
        if not found:
            if self.settings.default is None:
                raise VersionRequired("Name the version of the API.", extensions=self._supported)
            return self._names[self.settings.default]
        versions = {self._names.get(asked) for asked in found}
        if None in versions:
            raise UnsupportedVersion("There is no such version.", extensions=self._supported)
        if len(versions) > 1:
            raise AmbiguousVersion("The request names two versions.", extensions=self._supported)
        return versions.pop() or ""

    def _in_path(self, request: Request) -> str | None:
        begin = self._segment or ""
        for segment in request.path.split("/"):
            rest = segment[len(begin) :]
            if segment.startswith(begin) and rest[:1].isdigit() and rest.isascii():
                return rest
        return None

    def _strip(self, request: Request) -> None:
        if self._segment is not None and (found := self._in_path(request)) is not None:
            first, _, last = request.path.partition(f"/{self._segment}{found}")
            request.path = first + last or "/"
        name = self.settings.from_.query
        if name is not None and request.query:
            request.query = without_parameter(request.query, name)


def _in_header(name: str) -> Find:
    def find(request: Request) -> str | None:
        lines = request.headers.getall(name, ())
        if len({line.strip() for line in lines}) > 1:
            raise AmbiguousVersion("The request names two versions.")
        return lines[0].strip() or None if lines else None

    return find


def _in_query(name: str) -> Find:
    def find(request: Request) -> str | None:
        found = set(filter(None, parameters(request.query, name)))
        if len(found) > 1:
            raise AmbiguousVersion("The request names two versions.")
        return found.pop() if found else None

    return find


def _in_media_type(vendor: str) -> Find:
    ours = re.compile(
        rf"application/vnd\.{re.escape(vendor)}(?:\.[a-z0-9-]+)*?(?:\.v([0-9][a-z0-9.-]{{0,31}}))?(?=[+;\s,]|$)"
    )

    def named(value: str) -> str | None:
        for media in value.lower().split(","):
            match = ours.match(media.strip())
            if match is not None:
                parameter = _MEDIA_VERSION.search(media)
                if match[1] or parameter is not None:
                    return match[1] or (parameter[1] if parameter is not None else None)
        return None

    def find(request: Request) -> str | None:
        for name in ("Accept", "Content-Type"):
            for line in request.headers.getall(name, ()):
                if (found := named(line)) is not None:
                    return found
        return None

    return find
