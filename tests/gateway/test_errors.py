"""The catalogue is complete and says of each error what nobody downstream may guess."""

import inspect
from http import HTTPStatus

import pytest

from gateway import errors
from gateway.errors import ClientError, GatewayError, Retry, Source, UpstreamError, catalogue

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, GatewayError)]
OWN = [error for error in catalogue() if error.__module__ == "gateway.errors"]


def test_the_catalogue_has_every_error_once():
    assert set(OWN) == set(CLASSES) - {GatewayError, ClientError, UpstreamError}
    assert len(set(catalogue())) == len(catalogue())


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.__name__)
class TestEvery:
    def test_it_is_explained(self, error):
        assert error.__doc__ and (error.__doc__[0].isupper() or error.__doc__.startswith("``"))
        assert error.title and not error.title.endswith(".")

    def test_its_code_is_a_name_for_programs(self, error):
        assert error.code.replace("_", "").isalpha() and error.code.islower()

    def test_its_status_fits_its_source(self, error):
        known = {status.value for status in HTTPStatus} | {499}
        assert error.status in known
        if error.source is Source.CLIENT:
            assert 400 <= error.status <= 499 or error.status == 505
        elif error.source is not Source.POLICY:
            assert error.status >= 500

    def test_only_what_failed_on_the_way_to_a_target_is_tried_again(self, error):
        if error.retry is not Retry.NEVER:
            assert issubclass(error, UpstreamError)

    def test_it_can_be_raised_bare(self, error):
        made = error()
        assert str(made) == error.title
        assert (made.detail, made.reason, made.headers, made.extensions) == ("", "", (), None)


def test_one_code_has_one_status():
    by_code = {}
    for error in OWN:
        by_code.setdefault(error.code, set()).add((error.status, error.title))
    assert {code: seen for code, seen in by_code.items() if len(seen) > 1} == {}


@pytest.mark.parametrize(
    ("given", "detail", "reason"),
    [
        pytest.param({}, "", "", id="nothing"),
        pytest.param({"detail": "For you."}, "For you.", "For you.", id="what the client is told is logged, too"),
        pytest.param({"reason": "for us"}, "", "for us", id="what is logged is not told"),
        pytest.param({"detail": "For you.", "reason": "for us"}, "For you.", "for us", id="both"),
    ],
)
def test_who_is_told_what(given, detail, reason):
    made = errors.Forbidden(**given)
    assert (made.detail, made.reason) == (detail, reason)
    assert "for us" not in str(made)


def test_where_the_next_request_would_begin_is_unknown_the_connection_closes():
    closing = {error.__name__ for error in OWN if error.closes}
    assert {"MalformedMessage", "RequestTimeout", "PayloadTooLarge", "HeadTooLarge", "Draining"} <= closing
    assert not {"Forbidden", "TooManyRequests", "RouteNotFound", "UpstreamReset"} & closing


def test_an_error_of_a_plugin_joins_the_catalogue():
    class OfAPlugin(GatewayError):
        """Only here."""

        code = "of_a_plugin"

    assert OfAPlugin in catalogue()
