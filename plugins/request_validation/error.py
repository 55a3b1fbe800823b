"""What request_validation answers."""

from __future__ import annotations

from gateway.errors import ClientError, GatewayError, Source


class RequestInvalid(ClientError):
    """The request is not what the API's description says. Every failure is in ``errors``, by JSON pointer or parameter
    (RFC 9457 §3.1.3 shows the form).
    """

    code, title = "request_invalid", "Request not valid"


class OperationUnknown(ClientError):
    """The API's description has no such path."""

    code, status, title = "operation_unknown", 404, "Not found"


class MediaTypeUnsupported(ClientError):
    """The body is of a type or coding that the operation does not take (RFC 9110 §15.5.16)."""

    code, status, title = "unsupported_media_type", 415, "Unsupported media type"


class DescriptionUnavailable(GatewayError):
    """The API's description could not be fetched yet, so nobody can say whether the request is valid."""

    code, status, title, source = "api_description_unavailable", 503, "Service unavailable", Source.POLICY
