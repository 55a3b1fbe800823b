"""Text with placeholders, compiled at load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from gateway.http import Principal
from gateway.plugin.template import FIELDS, compile_template, tenant_of
from gateway.testing import request


def asked():
    return request(
        "POST",
        "/orders/7?a=1",
        headers={"X-Key": "k"},
        principal=Principal("ann", tenant="acme", rate_class="gold"),
        params={"id": "7"},
        id="id-1",
        route="orders",
        scheme="https",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("plain", "plain", id="no placeholder"),
        pytest.param("{request.id}", "id-1", id="one and nothing else"),
        pytest.param("a-{ request.method }-z", "a-POST-z", id="spaces inside"),
        pytest.param("{request.path}?{request.query}", "/orders/7?a=1", id="two"),
        pytest.param("{request.scheme}://{request.host}", "https://gateway.test", id="scheme and host"),
        pytest.param("{client_ip} {route}", "192.0.2.1 orders", id="client and route"),
        pytest.param("{principal}/{tenant}/{rate_class}", "ann/acme/gold", id="who it is"),
        pytest.param("{header.x-key}", "k", id="a header field, in any case"),
        pytest.param("{header.x-none}", "", id="a header field that is not there"),
        pytest.param("{path.id}{path.none}", "7", id="parameters of the path"),
        pytest.param("{{{route}}}", "{orders}", id="braces of its own"),
        pytest.param("{{}}", "{}", id="only braces"),
    ],
)
def test_values(text, value):
    assert compile_template(text)(asked()) == value


@pytest.mark.parametrize(
    "text", ["{unknown}", "{}", "{header.}", "{request.id", "request.id}", "{a{b}}", "{request.__class__}", "{0}"]
)
def test_what_is_not_known_is_refused_at_load(text):
    with pytest.raises(PydanticCustomError):
        compile_template(text)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_a_value_for_a_request_of_which_nothing_is_known(name):
    assert isinstance(compile_template(f"{{{name}}}")(request()), str)


def test_a_value_is_not_filled_in_again():
    asked = request(headers={"A": "{request.id}"})
    assert compile_template("<{header.a}>")(asked) == "<{request.id}>"


@given(st.text(max_size=40))
def test_any_text_can_be_written_literally(text):
    literal = text.replace("{", "{{").replace("}", "}}")
    assert compile_template(literal)(request()) == text


@pytest.mark.parametrize(
    ("tenant", "principal", "found"),
    [("a", Principal("p", tenant="b"), "a"), (None, Principal("p", tenant="b"), "b"), (None, None, None)],
)
def test_tenant_of(tenant, principal, found):
    assert tenant_of(request(tenant=tenant, principal=principal)) == found
