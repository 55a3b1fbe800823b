"""What a client is told of its key."""

from __future__ import annotations

from gateway.errors import GatewayError, Source


class KeyMissing(GatewayError):
    """The route asks for an idempotency key and the request has none."""

    code, status, title, source = "idempotency_key_missing", 400, "Idempotency key missing", Source.CLIENT


class KeyInvalid(GatewayError):
    """The idempotency key is not a string as a Structured Field has it, is empty or too long."""

    code, status, title, source = "idempotency_key_invalid", 400, "Idempotency key invalid", Source.CLIENT


class KeyInFlight(GatewayError):
    """The first request with this idempotency key is still under way."""

    code, status, title, source = "idempotency_in_flight", 409, "First request still under way", Source.CLIENT


class KeyReused(GatewayError):
    """The idempotency key was used with another request before."""

    code, status, title, source = "idempotency_key_reused", 422, "Idempotency key reused", Source.CLIENT


class OutcomeUnknown(GatewayError):
    """The first request with this idempotency key may have been carried out; nobody knows."""

    code, status, title, source = "idempotency_outcome_unknown", 409, "Outcome unknown", Source.POLICY


class AnswerNotKept(GatewayError):
    """The first request with this idempotency key was carried out; its answer was too large to keep."""

    code, status, title, source = "idempotency_answer_not_kept", 409, "Answer not kept", Source.POLICY
