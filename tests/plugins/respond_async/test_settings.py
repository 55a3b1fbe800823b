"""Settings of respond_async that cannot be meant, or hardly."""

import pytest

from plugins.respond_async.settings import RespondAsyncSettings, doubts


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"methods": ["HEAD"]}, id="a method whose answer is nothing"),
        pytest.param({"path": "jobs"}, id="a path that is none"),
        pytest.param({"path": "/jobs/"}, id="a path that ends in a slash"),
        pytest.param({"path": "/a/../b"}, id="a path that is another"),
        pytest.param({"path": "/a?b"}, id="a path with a query"),
        pytest.param({"poll": 0}, id="asking all the time"),
        pytest.param({"dead_on": [404]}, id="a status that is the result already"),
    ],
)
def test_what_cannot_be_meant(given):
    with pytest.raises(ValueError, match=r"."):
        RespondAsyncSettings.model_validate(given)


def test_what_can_hardly_be_meant():
    assert doubts(RespondAsyncSettings()) == []
    assert "max_wait" in doubts(RespondAsyncSettings.model_validate({"deadline": "5s"}))[0]
