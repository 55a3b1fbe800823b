"""What a client may not say: fields by which proxies in front of a service tell it who the client is and what it asked.

Services believe such fields of whoever sends them: an address that opens an allow list, a scheme, a path before it was
rewritten, a certificate. So they are taken only from ``trusted_proxies``. CGI and WSGI hand fields on as variables in
which ``-`` and ``_`` are one, so ``X_Forwarded_For`` is ``X-Forwarded-For`` to them; no honest sender writes it so,
and it is taken from nobody.

Fields that ``Connection`` names end at this hop (RFC 9110 §7.6.1). They go before any plugin looks: else a tenant, a
key or a language would count here that the service never hears of.
"""

from __future__ import annotations

from typing import Final

from gateway.http.fields import KINDS, Kind, named_by_connection
from gateway.http.peer import NOWHERE
from gateway.http.request import Request

MOST_SPELLINGS: Final = 4096

FREE: Final = 0
"""Anybody may send it."""
TRUSTED: Final = 1
"""A trusted proxy may."""
NOBODY: Final = 2

_FAMILIES: Final = (b"x-forwarded-", b"ssl-client-", b"x-ssl-client-", b"x-envoy-")
_NAMES: Final = frozenset(
    {
        b"forwarded",
        b"forwarded-for",
        b"x-forwarded",
        # the client's address
        b"x-real-ip",
        b"x-client-ip",
        b"client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-originating-ip",
        b"x-remote-ip",
        b"x-remote-addr",
        b"x-proxyuser-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"proxy-client-ip",
        b"wl-proxy-client-ip",
        # what was asked for before it was rewritten
        b"x-original-host",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-host",
        b"x-http-host-override",
        b"x-scheme",
        b"x-url-scheme",
        b"x-script-name",
        b"script-name",
        b"front-end-https",
        # the client's certificate; RFC 9440 §2.4 has it taken out of what clients send
        b"client-cert",
        b"client-cert-chain",
        b"x-client-cert",
    }
)
_CONNECTION: Final = b"connection"
_POISON: Final = b"proxy"
"""CGI makes ``HTTP_PROXY`` of it, by which many HTTP clients find their proxy (CVE-2016-5385 and others)."""


class Screened(dict[bytes, int]):
    """Raw name, in any case → who may send it."""

    def __missing__(self, name: bytes) -> int:
        if len(self) >= MOST_SPELLINGS:  # a sender of ever new names must not grow it
            self.clear()
        self[name] = found = _who(name.lower())
        return found


def _who(name: bytes) -> int:
    if name == _CONNECTION:
        return NOBODY  # if it names others: they are not passed on, so nobody here may go by them either
    folded = name.replace(b"_", b"-")
    told = folded.startswith(_FAMILIES) or folded in _NAMES
    if name == _POISON or (folded != name and (told or KINDS[folded] != Kind.PASS)):
        return NOBODY
    return TRUSTED if told else FREE


SCREENED: Final = Screened()


def screen(request: Request) -> None:
    """Take out what the sender of ``request`` may not say.

    Fields that were in order are noted at the connection, where most requests have the same; so callers ask first
    whether they are those: ``request.fields is request.peer.screened``.
    """
    peer = request.peer or NOWHERE
    fields = request.fields
    free = TRUSTED if peer.trusted else FREE
    screened = SCREENED
    unwanted: set[bytes] = set()
    for name, value in fields:
        if screened[name] > free:
            if KINDS[name] != Kind.CONNECTION:
                unwanted.add(name.lower())
            elif named := named_by_connection(value):
                unwanted.update([each for each in named if each.isascii()], [_CONNECTION])
    if unwanted:
        request.drop(*[name.decode("ascii") for name in unwanted])
    elif peer is not NOWHERE:
        peer.screened = fields
