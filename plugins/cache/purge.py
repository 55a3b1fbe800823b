"""What was declared out of date, by whom soever: a log that every stored answer is compared with before it is used.

Nothing is searched for when a purge comes: an answer carries the log's number at the time its request was made, and one
that matches a later purge is not used. So a fetch that was under way when the purge came is caught, too.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urljoin

from gateway.errors import MalformedPath
from gateway.http import Request, Response
from gateway.http.path import PathPolicy, normalize
from plugins.cache.entry import Entry

MOST_URLS: Final = 4096
MOST_PATTERNS: Final = 256
MOST_GROUPS: Final = 1024
_ANY: Final = PathPolicy(encoded_slash=True, path_parameters=True)
LONGEST: Final = 2048
"""Characters of a ``Location`` that is looked at."""


class Kind(StrEnum):
    """What a purge names."""

    URL = "url"
    """One URL, all that is stored of it."""
    PATTERN = "pattern"
    """A path, or what begins with it, with a host or on any."""
    GROUP = "group"
    """A group of RFC 9875, of one host or of any."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Purge:
    """One declaration. ``what``: of a URL ``host/path?query``; of a group a host or nothing, a line end, its name."""

    kind: Kind
    what: str
    soft: bool = False
    seq: int = 0
    """This process's number."""
    fleet: int | None = None
    """The number among all replicas; None while it is not known, and then it counts as later than any."""
    times: int = 1
    """How often this was declared, as far as the log reaches."""

    def matches(self, url: str, groups: Sequence[str]) -> bool:
        """Whether it speaks of such an answer."""
        if self.kind is Kind.URL:
            return url == self.what
        if self.kind is Kind.PATTERN:
            return _matches(self.what, url)
        if self.kind is Kind.GROUP:
            host, _, name = self.what.partition("\n")
            return name in groups and (not host or url.partition("/")[0] == host)
        return True


def _matches(pattern: str, url: str) -> bool:
    target = url if not pattern.startswith("/") else url[url.find("/") :]
    if pattern.endswith("*"):
        return target.startswith(pattern[:-1])
    return target == pattern or ("?" not in pattern and target.partition("?")[0] == pattern)


def url_of(text: str) -> str:
    """``http://Host:80/path?query`` as a purge names it. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise ValueError(f"expected a URL with http:// or https://, or a path: {text[:200]}")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    host = rest[:end].lower().removesuffix(":80" if scheme.lower() == "http" else ":443")
    if not host or "@" in host:
        raise ValueError(f"expected a URL with a host and no user: {text[:200]}")
    return host + _normal(rest[end:].partition("#")[0])


def _normal(target: str) -> str:
    """A path and query with the path as requests have it, in its one form. Raises ValueError."""
    path, mark, query = target.partition("?")
    try:
        return normalize(path, _ANY) + mark + query
    except MalformedPath as error:
        raise ValueError(f"no path that requests could have, {error.reason}: {target[:200]}") from None


def purge_of(text: str, *, soft: bool) -> Purge:
    """A URL, a path, or either with ``*`` at its end, as operators write them. Raises ValueError."""
    what = text.strip()
    if not what or any(char.isspace() for char in what) or "*" in what[:-1]:
        raise ValueError("expected a URL or a path, with a * at its end at most")
    if what == "*":
        return Purge(Kind.ALL, "", soft)
    if what.startswith("/"):
        star = "*" if what.endswith("*") else ""
        return Purge(Kind.PATTERN, _normal(what.removesuffix("*")) + star, soft)
    url = url_of(what)
    return Purge(Kind.PATTERN if url.endswith("*") else Kind.URL, url, soft)


def related(request: Request, response: Response, host: str) -> list[str]:
    """The URLs of ``Location`` and ``Content-Location``, if they are of the same origin (RFC 9111 §4.4)."""
    found = [located(request, response, name, host) for name in ("Location", "Content-Location")]
    return [url for url in found if url is not None]


def located(request: Request, response: Response, name: str, host: str) -> str | None:
    """The URL that this field of an answer names, as a purge names it; None unless it is of the request's origin."""
    text = response.headers.get(name)
    if text is None or len(text) > LONGEST:
        return None
    # The authority as it was asked for, query and all: a reference may be empty, and then it is the URL itself.
    here = f"{request.scheme}://{host}{request.path}" + (f"?{request.query}" if request.query else "")
    try:
        there = urljoin(here, text.strip())
        url = url_of(there)
    except ValueError:
        return None
    same = there.partition("://")[0].lower() == request.scheme and url.startswith(host + "/")
    return url if same else None


class PurgeLog:
    """The purges that still matter, the latest of each name."""

    def __init__(self) -> None:
        self.seq = 0
        self.fleet = 0
        """The fleet's number that is known here."""
        self.urls: OrderedDict[str, Purge] = OrderedDict()
        self.patterns: OrderedDict[str, Purge] = OrderedDict()
        self.groups: OrderedDict[str, Purge] = OrderedDict()
        self.everything: Purge | None = None
        self._hard_everything = 0
        self.url_horizon = 0
        """A fetch that began before this number may have missed a purge that is forgotten by now."""
        self.horizon = 0
        """The same for patterns and groups, by the fleet's number."""
        self.sweeps: list[Callable[[Sequence[Purge]], None]] = []
        """Whoever holds entries takes them out by these purges, before the purges are forgotten."""

    def add(self, purge: Purge, fleet: int | None = None) -> Purge:
        """Enter a purge; returns it with its number."""
        self.seq += 1
        if purge.kind is Kind.ALL:
            times = 1 if self.everything is None else self.everything.times + 1
            made = Purge(purge.kind, purge.what, purge.soft, self.seq, fleet, times)
            self._add_everything(made)
            return made
        table, most = self._table(purge.kind)
        before = table.pop(purge.what, None)
        times = 1 if before is None else before.times + 1
        made = Purge(purge.kind, purge.what, purge.soft, self.seq, fleet, times)
        if before is not None and made.soft and not before.soft:
            # A soft one must not lift the hard one for what is older than both.
            self._sweep([before])
        table[made.what] = made
        if len(table) > most:
            self._forget(made.kind, table, most // 2)
        return made

    def _table(self, kind: Kind) -> tuple[OrderedDict[str, Purge], int]:
        if kind is Kind.URL:
            return self.urls, MOST_URLS
        return (self.patterns, MOST_PATTERNS) if kind is Kind.PATTERN else (self.groups, MOST_GROUPS)

    def _add_everything(self, purge: Purge) -> None:
        if not purge.soft:
            for table in (self.urls, self.patterns, self.groups):
                table.clear()
            self._hard_everything = purge.seq
        self.everything = purge

    def _forget(self, kind: Kind, table: OrderedDict[str, Purge], count: int) -> None:
        gone = [table.popitem(last=False)[1] for _ in range(count)]
        self._sweep(gone)
        self.url_horizon = max(self.url_horizon, gone[-1].seq)
        if kind is not Kind.URL:
            self.horizon = max([self.horizon, *(purge.fleet or self.fleet for purge in gone)])

    def _sweep(self, purges: Sequence[Purge]) -> None:
        for sweep in self.sweeps:
            sweep(purges)

    def judge(self, entry: Entry) -> Purge | None:
        """What makes this entry out of date; of several a hard one. None: it holds, and is vouched for until the next.

        Call it when ``entry.vouched`` is not ``seq``.
        """
        found = self._since(entry.url, entry.groups, entry.seq, entry.vouched)
        if found is None:
            entry.vouched = self.seq
        return found

    def missed_by(self, url: str, groups: Sequence[str], seq: int) -> bool:
        """Whether what was asked for at number ``seq`` was purged meanwhile, or may have been."""
        return seq < self.url_horizon or self._since(url, groups, seq, seq) is not None

    def _since(self, url: str, groups: Sequence[str], seq: int, vouched: int) -> Purge | None:
        if self._hard_everything > seq:
            return Purge(Kind.ALL, "", False, self._hard_everything)
        soft: Purge | None = None
        everything = self.everything
        if everything is not None and everything.seq > vouched:
            soft = everything
        for purge in self._later(url, groups, vouched):
            if not purge.soft:
                return purge
            soft = purge
        return soft

    def _later(self, url: str, groups: Sequence[str], vouched: int) -> Iterable[Purge]:
        purge = self.urls.get(url)
        if purge is not None and purge.seq > vouched:
            yield purge
        for purge in reversed(self.patterns.values()):  # the latest first
            if purge.seq <= vouched:
                break
            if purge.matches(url, groups):
                yield purge
        if groups:
            host = url.partition("/")[0]
            for name in groups:
                for key in (f"{host}\n{name}", f"\n{name}"):
                    purge = self.groups.get(key)
                    if purge is not None and purge.seq > vouched:
                        yield purge

    def declared(self, url: str, groups: Sequence[str]) -> dict[tuple[Kind, str], int]:
        """How often what speaks of such an answer was declared: two looks tell whether somebody did between them."""
        every = [self.everything] if self.everything is not None else []
        return {(purge.kind, purge.what): purge.times for purge in (*every, *self._later(url, groups, 0))}

    def missed_by_fleet(self, url: str, groups: Sequence[str], fleet: int) -> Purge | None:
        """The same for an answer from the shared store, by the fleet's number."""
        if fleet < self.horizon:
            return Purge(Kind.ALL, "", False)
        found: Purge | None = None
        every = [self.everything] if self.everything is not None else []
        for purge in (*every, *self._later(url, groups, 0)):
            if purge.fleet is None or purge.fleet > fleet:
                if not purge.soft:
                    return purge
                found = purge
        return found


def undisturbed(
    before: Mapping[tuple[Kind, str], int], after: Mapping[tuple[Kind, str], int], ours: Iterable[Purge]
) -> bool:
    """Whether nobody but we has declared anything between two looks (`PurgeLog.declared`)."""
    own = {(purge.kind, purge.what) for purge in ours}
    return all(times == before.get(name, 0) + (name in own) for name, times in after.items())


# -- declared by operators ---------------------------------------------------------------------------------------------

_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Declared:
    """``on: POST /messages/{id}`` and what it purges."""

    __slots__ = ("_method", "_path", "_purge", "_soft")

    def __init__(self, on: str, purge: Sequence[str], *, soft: bool) -> None:
        """Raises ValueError, with what was expected."""
        method, _, path = on.strip().partition(" ")
        path = path.strip()
        if not path.startswith("/") or not method or method != method.upper():
            raise ValueError("a method in upper case, or *, and a path, such as `POST /messages`")
        names = _PARAMETER.findall(path)
        for pattern in purge:
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                raise ValueError("paths to purge, with a `*` at their end at most")
            if unknown := set(_PARAMETER.findall(pattern)) - set(names):
                raise ValueError(f"parameters in `purge` that `on` has: {', '.join(sorted(unknown))} is not there")
        self._method = method
        pieces = _PARAMETER.split(path.removesuffix("*"))
        texts = [f"(?P<{piece}>[^/]+)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)]
        self._path = re.compile("".join(texts) + ("" if path.endswith("*") else r"\Z"))
        self._purge = tuple(purge)
        self._soft = soft

    def purges(self, method: str, path: str) -> list[Purge]:
        """What a successful request purges."""
        if self._method not in ("*", method):
            return []
        found = self._path.match(path)
        if found is None:
            return []
        return [Purge(Kind.PATTERN, _filled(pattern, found.groupdict()), self._soft) for pattern in self._purge]


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    # A `*` that a client sent stands for itself and nothing else: whoever writes to `/users/*` must not empty it all.
    return _PARAMETER.sub(lambda found: values[found[1]].replace("*", "%2A"), pattern)
