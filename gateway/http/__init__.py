"""The types that flow through a chain: our own, so that a plugin needs no server and no socket to be tried."""

from gateway.http.body import Body, Filter, Source
from gateway.http.message import (
    UNROUTED,
    Attempt,
    Exchange,
    Fields,
    Handler,
    Message,
    Principal,
    Request,
    Response,
    Route,
    Tunnel,
    decode,
    encode,
)

__all__ = [
    "UNROUTED",
    "Attempt",
    "Body",
    "Exchange",
    "Fields",
    "Filter",
    "Handler",
    "Message",
    "Principal",
    "Request",
    "Response",
    "Route",
    "Source",
    "Tunnel",
    "decode",
    "encode",
]
