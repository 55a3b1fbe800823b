"""The types that flow through a chain: our own, so that a plugin needs no server and no socket to be tried."""

from gateway.http.body import Body, Filter, Source
from gateway.http.message import Fields, Message, decode, encode
from gateway.http.request import UNROUTED, Attempt, Principal, Request, Route
from gateway.http.reserved import ReservedFields
from gateway.http.response import Exchange, Handler, Response, Tunnel

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
    "ReservedFields",
    "Response",
    "Route",
    "Source",
    "Tunnel",
    "decode",
    "encode",
]
