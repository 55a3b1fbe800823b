"""The mark of a delivery."""

from gateway.http.delivery import Delivery, delivery_of, note_delivery
from gateway.http.event import Event, event_of, note_event
from gateway.testing import request


def test_a_clients_request_is_no_delivery():
    assert delivery_of(request()) is None


def test_it_stands_beside_other_marks_and_goes_with_forks():
    asked = request()
    note_event(asked, Event("stripe", "evt"))
    fork = asked.fork()
    note_delivery(asked, Delivery("1", 2, "t"))
    assert delivery_of(asked.fork()) == Delivery("1", 2, "t")
    assert event_of(asked) == Event("stripe", "evt")
    assert delivery_of(fork) is None
