"""Where an exchange's time went: forks that are part of it share it, others begin anew."""

from gateway.http import Request
from gateway.http.spent import Spent


def test_nothing_is_spent_at_first():
    spent = Spent()
    assert {getattr(spent, name) for name in Spent.__slots__ if name != "plugins"} == {0.0}
    assert spent.plugins is None


def test_a_fork_for_somebody_else_has_its_own():
    request = Request("GET", "/")
    assert request.spent is None
    request.spent = Spent()
    assert request.fork().spent is None
