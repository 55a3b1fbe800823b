"""Lets in by address: lists of networks to allow and to deny.

Judges the client's address as the gateway knows it, behind trusted proxies. The cost of a look-up does not grow with
the lists: it is one step for each prefix length in them, and nothing for an address that was seen lately.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, model_validator

from gateway.errors import Forbidden
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Plugin, Settings, Stage, Text
from gateway.plugin.settings import expected

_REMEMBERED: Final = 4096
"""Addresses whose verdict is kept."""
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_WRONG: Final = "an address or network such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32"


class AddressRefused(Forbidden):
    """The client's address may not use this route."""

    code, title = "address_refused", "Address not allowed"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """What stands in a list, without remarks."""
    for number, line in enumerate(text.splitlines(), 1):
        kept = line.partition("#")[0].strip()
        if kept:
            yield number, kept


def _check(text: str) -> str:
    for number, line in _lines(text):
        try:
            ipaddress.ip_network(line)
        except ValueError as error:
            where = f" in line {number} of the file" if "\n" in text.strip() else ""
            host = "without bits beyond its length" if "host bits" in str(error) else ""
            raise expected(" ".join(part for part in (_WRONG, host, where.strip()) if part)) from None
    return text


Listed = Annotated[Text, AfterValidator(_check)]


class IpRestrictionSettings(Settings):
    """One of the lists at least. An address in both is denied; with `allow`, whoever is in neither is denied, too.

    An IPv4 address is one however it is written (`::ffff:192.0.2.7`), and `::/0` is all of IPv6 and no more.
    """

    allow: tuple[Listed, ...] | None = Field(
        default=None,
        description="Who is let in, and nobody else: networks, addresses, or `{file: path}` with one on each line and "
        "`#` before remarks. A file that changes is read again like the configuration itself. Unset: everybody.",
    )
    deny: tuple[Listed, ...] = Field(default=(), description="Who is kept out, whatever `allow` says; as `allow`.")

    @model_validator(mode="after")
    def _one_list(self) -> IpRestrictionSettings:
        if self.allow is None and not self.deny:
            raise ValueError("`allow`, `deny` or both are needed")
        return self


class Networks:
    """A set of networks of both families that knows whether an address is in one of them."""

    __slots__ = ("_four", "_six", "size")

    def __init__(self, texts: Iterable[str]) -> None:
        """Each text is a network, or several on lines of their own. Raises ValueError."""
        four: dict[int, set[int]] = {}
        six: dict[int, set[int]] = {}
        self.size = 0
        for text in texts:
            for _, line in _lines(text):
                network: Any = ipaddress.ip_network(line)
                self.size += 1
                length, first = network.prefixlen, int(network.network_address)
                if network.version == 6 and network.subnet_of(_MAPPED):  # IPv4 in other words (RFC 4291 §2.5.5.2)
                    four.setdefault(128 - length, set()).add((first & 0xFFFFFFFF) >> (128 - length))
                elif network.version == 6:  # ::/0 is about IPv6 alone: who denies that means no IPv4 client
                    six.setdefault(128 - length, set()).add(first >> (128 - length))
                else:
                    four.setdefault(32 - length, set()).add(first >> (32 - length))
        # The largest networks first: they are the likeliest to hold an address.
        self._four = sorted(four.items(), reverse=True)
        self._six = sorted(six.items(), reverse=True)

    def __contains__(self, address: str) -> bool:
        """``address`` as the engine writes it; what is not one, such as the peer of a unix socket, is in no network."""
        number, rows = self._parse(address)
        return any(number >> shift in networks for shift, networks in rows)

    def _parse(self, address: str) -> tuple[int, list[tuple[int, set[int]]]]:
        try:
            if ":" not in address:
                return int.from_bytes(socket.inet_pton(socket.AF_INET, address)), self._four
            # A zone (RFC 4007 §11) says on which link, not who.
            packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        except (OSError, ValueError):
            return 0, []
        if packed.startswith(b"\0\0\0\0\0\0\0\0\0\0\xff\xff"):
            return int.from_bytes(packed[12:]), self._four
        return int.from_bytes(packed), self._six


class IpRestriction(Plugin[IpRestrictionSettings]):
    stage = Stage.LIMIT
    refuses = True

    def __init__(self, settings: IpRestrictionSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._allow: Networks | None = None
        self._deny = Networks(())
        self._verdicts: dict[str, str] = {}

    async def open(self) -> None:
        # A reload happens beside traffic, and a list may have a hundred thousand lines.
        self._allow, self._deny = await asyncio.to_thread(self._read)

    def _read(self) -> tuple[Networks | None, Networks]:
        settings = self.settings
        return Networks(settings.allow) if settings.allow is not None else None, Networks(settings.deny)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        address = request.client_ip
        why = self._verdicts.get(address)
        if why is None:
            why = self._judge(address)
        if why:
            self.refuse(AddressRefused(reason=why))
        return await proceed(request)

    def _judge(self, address: str) -> str:
        """Why it is refused; empty if it is not."""
        why = ""
        if address in self._deny:
            why = f"{address} is on the deny list"
        elif self._allow is not None and address not in self._allow:
            why = f"{address or 'a client without address'} is not on the allow list"
        if len(self._verdicts) >= _REMEMBERED:
            self._verdicts.clear()
        self._verdicts[address] = why
        return why
