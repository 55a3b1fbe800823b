"""Templates of what is signed: what they take, and what they become."""

import pytest

from plugins.webhook_signature.template import Template, placeholders, split_path


def shown(kind, name):
    return f"<{kind}{':' + name if name else ''}>".encode()


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        pytest.param("{timestamp}.{body}", b"<timestamp>.<body>", id="Stripe's"),
        pytest.param("v0:{timestamp}:{body}", b"v0:<timestamp>:<body>", id="text around"),
        pytest.param(
            "{header.X-Id}{json.a.b}{query.q}{value.v}", b"<header:X-Id><json:a.b><query:q><value:v>", id="named"
        ),
        pytest.param("{{{method}}}", b"{<method>}", id="braces of its own"),
        pytest.param("", b"", id="nothing"),
        pytest.param("é", "é".encode(), id="text beyond ASCII"),
    ],
)
def test_fill(text, filled):
    assert Template(text).fill(shown) == filled


@pytest.mark.parametrize("text", ["{", "}", "{bdy}", "{header}", "{header.}", "{json.a b}", "{id.x}", "{a{b}}"])
def test_what_is_refused(text):
    with pytest.raises(ValueError, match=r"braces|placeholders|members"):
        Template(text)


def test_placeholders():
    assert placeholders("{id}.{json.a.b}.{id}") == {"id", "json.a.b"}


@pytest.mark.parametrize("path", ["", "a..b", ".".join("abcdefghi"), "a b"])
def test_paths_that_are_none(path):
    with pytest.raises(ValueError, match="members"):
        split_path(path)
