"""What a request asks of a cache."""

import pytest

from gateway.testing import request
from plugins.cache.asked import (
    AUTHORIZATION,
    CONDITION,
    CONTROL,
    DOUBTFUL,
    PRECONDITION,
    RANGE,
    RETOLD,
    bits_of,
    wishes_of,
)


@pytest.mark.parametrize(
    ("name", "bit"),
    [
        pytest.param("Accept", 0, id="no concern of a cache"),
        pytest.param("CACHE-control", CONTROL, id="Cache-Control, in any case"),
        pytest.param("Range", RANGE, id="Range"),
        pytest.param("If-None-Match", CONDITION, id="If-None-Match"),
        pytest.param("If-Modified-Since", CONDITION, id="If-Modified-Since"),
        pytest.param("If-Match", PRECONDITION, id="If-Match"),
        pytest.param("If-Unmodified-Since", PRECONDITION, id="If-Unmodified-Since"),
        pytest.param("Authorization", AUTHORIZATION, id="Authorization"),
        pytest.param("If_None_Match", DOUBTFUL, id="what CGI takes for If-None-Match"),
        pytest.param("X_Anything", 0, id="an underscore in a name that is nobody's concern"),
        pytest.param("X-HTTP-Method-Override", DOUBTFUL, id="another method"),
        pytest.param("X-Forwarded-Host", RETOLD, id="another host"),
    ],
)
@pytest.mark.parametrize("edited", [False, True], ids=["as it came", "edited by a plugin"])
def test_bits(name: str, bit: int, edited: bool):
    asked = request(headers={name: "x"})
    if edited:
        asked.edit_headers()
    assert bits_of(asked) == bit


@pytest.mark.parametrize(
    ("text", "age", "left", "satisfied"),
    [
        pytest.param("", 10, 0, True, id="nothing"),
        pytest.param("no-cache", 0, 99, False, id="§5.2.1.4 no-cache"),
        pytest.param("max-age=10", 10, 0, True, id="§5.2.1.1 just young enough"),
        pytest.param("max-age=10", 11, 9, False, id="§5.2.1.1 too old"),
        pytest.param("max-age=x", 1, 9, False, id="§5.2.1.1 what cannot be read is nought"),
        pytest.param("min-fresh=9", 0, 9, True, id="§5.2.1.3 just fresh enough"),
        pytest.param("min-fresh=10", 0, 9, False, id="§5.2.1.3 not for long enough"),
    ],
)
def test_wishes(text: str, age: float, left: float, satisfied: bool):
    assert wishes_of(request(headers={"Cache-Control": text})).satisfied(age, left) is satisfied


@pytest.mark.parametrize(
    ("value", "bit"),
    [
        pytest.param("keep-alive", 0, id="what nearly all send"),
        pytest.param("Keep-Alive, TE, HTTP2-Settings", 0, id="what is about the connection"),
        pytest.param("close, Accept-Language", DOUBTFUL, id="a field that the target then does not see"),
        pytest.param("x" * 300, DOUBTFUL, id="a long one"),
    ],
)
def test_what_connection_names(value: str, bit: int):
    asked = request(headers={"Connection": value, "Accept-Language": "de"})
    assert bits_of(asked) == bits_of(asked) == bit
    asked.edit_headers()
    assert bits_of(asked) == 0, "gone before we look"
