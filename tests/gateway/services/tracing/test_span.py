"""A span before it is sent."""

from gateway.services.tracing import Kind, Span


def test_a_span_is_open_until_it_ends_and_its_kinds_are_the_protocols():
    span = Span("GET", Kind.CLIENT, b"ab" * 16, b"cd" * 8, b"", 5)
    assert (span.ended, span.error, span.attributes) == (0, "", {})
    assert [int(kind) for kind in (Kind.INTERNAL, Kind.SERVER, Kind.CLIENT, Kind.CONSUMER)] == [1, 2, 3, 5]
