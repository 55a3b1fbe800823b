"""What http_signature refuses with."""

from __future__ import annotations

from gateway.errors import ClientError, Source, Unauthorized


class SignatureInvalid(Unauthorized):
    """A signature is there, and does not hold: altered, expired, repeated, by another key, or of too little."""

    code, title = "signature_invalid", "Signature not valid"


class DigestMismatch(ClientError):
    """The body is not the one that its digest field speaks of (RFC 9530)."""

    code, title, source = "digest_mismatch", "Digest mismatch", Source.CLIENT
