"""The webhook of a circuit breaker: what is told, how it is signed, and what becomes of it."""

import base64
import hmac
import json

import pytest
from pydantic import ValidationError

from gateway.plugin import Context
from gateway.testing import ports
from plugins.circuit_breaker.webhook import Webhook, WebhookSettings

URL = "https://hooks.test/T0/secret"
RAW = b"0123456789abcdef0123456789abcdef"


class Told:
    def __init__(self, **settings):
        self.ports = ports()
        self.ports.calls.answer(URL, 204)
        made = WebhookSettings.model_validate({"url": URL, "backoff": 0.001, **settings})
        self.context = Context(self.ports, route="upstream:orders", plugin="circuit_breaker", id="cb")
        self.hook = Webhook(made, self.context, "orders")

    async def tell(self, **data):
        with self.ports.capturing():
            self.hook.tell(data)
            await self.ports.settled()

    def outcomes(self):
        return {
            each: self.ports.value("circuit_breaker_events_total", "orders", "cb", each)
            for each in ("delivered", "failed", "dropped")
        }


async def test_what_is_told():
    told = Told()
    await told.tell(target="http://a", state="open")
    (call,) = told.ports.calls.calls
    assert (call.method, call.url, call.headers["Content-Type"]) == ("POST", URL, "application/json")
    assert json.loads(call.body) == {
        "type": "circuit_breaker.state_changed",
        "timestamp": "2027-01-15T08:00:00.000+00:00",
        "data": {"target": "http://a", "state": "open"},
    }
    assert "webhook-signature" not in call.headers
    assert told.outcomes() == {"delivered": 1, "failed": 0, "dropped": 0}


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        pytest.param("whsec_" + base64.b64encode(RAW).decode(), RAW, id="as Standard Webhooks writes secrets"),
        pytest.param(RAW.decode(), RAW, id="as text"),
    ],
)
async def test_how_it_is_signed(secret, key):
    told = Told(secret=secret)
    await told.tell(a=1)
    (call,) = told.ports.calls.calls
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    assert call.headers["webhook-timestamp"] == "1800000000"
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert call.headers["webhook-signature"] == expected


async def test_a_failure_is_tried_again_with_the_same_id():
    told = Told(attempts=3)
    told.ports.calls.answer(URL, 500)
    await told.tell(a=1)
    calls = told.ports.calls.calls
    assert len(calls) == 3
    assert len({each.headers["webhook-id"] for each in calls}) == 1
    assert told.outcomes()["failed"] == 1
    (line,) = told.ports.lines
    assert "status 500" in line
    assert "secret" not in line


async def test_who_is_not_there_is_not_named_in_the_log():
    told = Told(attempts=1, url="https://nowhere.test/T0/secret")
    await told.tell(a=1)
    assert told.outcomes()["failed"] == 1
    assert "secret" not in " ".join(told.ports.lines)


async def test_the_queue_is_bounded():
    told = Told(queue=2)
    for number in range(5):
        told.hook.tell({"n": number})
    await told.ports.settled()
    assert [json.loads(each.body)["data"]["n"] for each in told.ports.calls.calls] == [3, 4]
    assert told.outcomes() == {"delivered": 2, "failed": 0, "dropped": 3}
    await told.hook.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"url": "ftp://x"}, "begins with http", id="no HTTP"),
        pytest.param({"secret": "short"}, "16 bytes", id="a short secret"),
        pytest.param({"secret": "whsec_!!!"}, "base64", id="no base64"),
        pytest.param({"attempts": 0}, "greater", id="never tried"),
        pytest.param({"queue": 1_000_000}, "less", id="a queue without a bound"),
    ],
)
def test_what_is_refused(given, words):
    with pytest.raises(ValidationError, match=words) as caught:
        WebhookSettings.model_validate({"url": URL, **given})
    assert "whsec_!!!" not in str(caught.value)


def test_neither_url_nor_secret_is_shown():
    shown = WebhookSettings.model_validate({"url": URL, "secret": RAW.decode()}).model_dump_json()
    assert "hooks.test" not in shown
    assert RAW.decode() not in shown
