"""webhook_signature: what providers signed goes through, once; what anybody else sends does not."""

import asyncio
import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable, UpstreamReset
from gateway.http import Principal, Response
from gateway.http.event import Event, event_of
from gateway.services.clock import ManualClock
from gateway.testing import Chunks, answering, exchange, opened, ports, request
from plugins.webhook_signature import WebhookSignature
from plugins.webhook_signature.scheme import Known, presets

NOW = 1_800_000_000
SECRET = "whsec_test_secret"
OTHER = "whsec_another_one"
BODY = b'{"id":"evt_1","object":"event","type":"charge.succeeded"}'
EXAMPLE = {"provider": "stripe", "secrets": [SECRET]}
OPEN = {"provider": "github", "secrets": [SECRET]}


def hashed(secret, body=BODY, at=NOW):
    return hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()


def stripe(body=BODY, secrets=(SECRET,), at=NOW, header=None, **more):
    value = header or f"t={at}," + ",".join(f"v1={hashed(secret, body, at)}" for secret in secrets)
    return request("POST", "/hooks/stripe", headers={"Stripe-Signature": value}, body=body, **more)


def event(number):
    return json.dumps({"id": f"evt_{number}"}).encode()


def at(seconds, **more):
    made = ports(**more)
    made.clock = ManualClock(wall=float(seconds))
    return made


def reasons(it):
    return [each.error.reason.partition(":")[0] for each in it.ports.refusals]


# -- vectors that providers published ----------------------------------------------------------------------------------

TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
TWILIO_JSON = b'{"property": "value", "boolean": true}'
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a1"
    b"4d10d2c447fce8b6703c"
)
TELNYX_BODY = (
    b'{\n  "sms_id":"834f3d53-8a3c-4aa0-a733-7f2d682a72df",\n  "direction": "inbound",\n  "from": "+13129450002",\n'
    b'  "to": "+13125550001",\n  "body": "Hello!"\n}'
)
SQUARE_BODY = (
    b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f",'
    b'"created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}'
)
SENDGRID_BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":'
    b'"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":'
    b'"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":'
    b'"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)
ADYEN_ITEM = {
    "pspReference": "7914073381342284",
    "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704",
    "amount": {"value": 1130, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
    "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
}
ADYEN_SECRET = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"


def adyen(*items):
    return json.dumps({"notificationItems": [{"NotificationRequestItem": each} for each in items]}).encode()


STANDARD = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
STANDARD_V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def standard(prefix, signature):
    name, moment, body = STANDARD
    return {f"{prefix}-id": name, f"{prefix}-timestamp": str(moment), f"{prefix}-signature": signature}, body, moment


def twilio(url, body, signature, headers):
    return {"headers": {"X-Twilio-Signature": signature, **headers}, "body": body, "url": url}


VECTORS = [
    pytest.param(
        "github",
        "It's a Secret to Everybody",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        {},
        id="github",
    ),
    pytest.param(
        "telnyx_v1",
        "rq789onm321yxzkjihfEdcAm",
        {"X-Telnyx-Signature": "t=1520983646,h=WlEXoEsHH2RMgy2x8eyvg10JlMBco0s51fdNpMORF00="},
        TELNYX_BODY,
        {"at": 1520983646},
        id="telnyx_v1",
    ),
    pytest.param(
        "twilio",
        "12345",
        {"X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=", **FORM},
        TWILIO_FORM,
        {"url": TWILIO_URL},
        id="twilio, a form",
    ),
    pytest.param(
        "twilio",
        "12345",
        {"X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4=", "Content-Type": "application/json"},
        TWILIO_JSON,
        {"url": f"{TWILIO_URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"},
        id="twilio, JSON",
    ),
    pytest.param(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        {"at": 1531420618},
        id="slack",
    ),
    pytest.param(
        "svix", STANDARD_SECRET, standard("svix", STANDARD_V1)[0], STANDARD[2], {"at": STANDARD[1]}, id="svix"
    ),
    pytest.param(
        "standard_webhooks",
        STANDARD_SECRET,
        standard("webhook", STANDARD_V1)[0],
        STANDARD[2],
        {"at": STANDARD[1]},
        id="standard_webhooks",
    ),
    pytest.param(
        "standard_webhooks_v1a",
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        standard("webhook", f"{STANDARD_V1} {STANDARD_V1A}")[0],
        STANDARD[2],
        {"at": STANDARD[1]},
        id="standard_webhooks_v1a",
    ),
    pytest.param(
        "square",
        "Ibxx_5AKakO-3qeNVR61Dw",
        {"x-square-hmacsha256-signature": "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="},
        SQUARE_BODY,
        {"url": "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9"},
        id="square",
    ),
    pytest.param(
        "sendgrid",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglS"
        "I8eNEc6wEA3F+g==",
        {
            "X-Twilio-Email-Event-Webhook-Signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM"
            "+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
            "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
        },
        SENDGRID_BODY,
        {"at": 1600112502},
        id="sendgrid",
    ),
    pytest.param("adyen", ADYEN_SECRET, {}, adyen(ADYEN_ITEM), {}, id="adyen"),
]


async def sent(provider, secret, headers, body, more):
    """The status, the body as it arrived, and the reason."""
    url = more.get("url", "https://gateway.test/hook")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    made = at(more.get("at", NOW))
    target = answering(200)
    asked = request("POST", slash + path, headers={**headers, "Host": host}, body=body, host=host, scheme=scheme)
    async with opened(WebhookSignature, {"provider": provider, "secrets": [secret]}, ports=made) as it:
        response = await it(asked, target)
        return response.status, target.bodies, reasons(it)


@pytest.mark.parametrize(("provider", "secret", "headers", "body", "more"), VECTORS)
async def test_a_published_vector_goes_through(provider, secret, headers, body, more):
    assert await sent(provider, secret, headers, body, more) == (200, [body], [])


@pytest.mark.parametrize(("provider", "secret", "headers", "body", "more"), VECTORS)
async def test_a_published_vector_with_another_body_does_not(provider, secret, headers, body, more):
    changed = body.replace(b"EUR", b"USD").replace(b"1234", b"1235").replace(b"He", b"he").replace(b"t", b"T", 1)
    assert changed != body
    status, bodies, _ = await sent(provider, secret, headers, changed, more)
    assert (status, bodies) == (401, [])


def test_every_preset_that_claims_a_vector_has_one():
    claimed = {name for name, preset in presets().items() if preset.known is Known.PUBLIC_VECTOR}
    assert claimed == {row.values[0] for row in VECTORS}


# -- secrets, signatures and time --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "used", "status"),
    [
        pytest.param([SECRET], [SECRET], 200, id="the secret"),
        pytest.param([SECRET, OTHER], [OTHER], 200, id="the second of two secrets"),
        pytest.param([OTHER], [SECRET, OTHER], 200, id="the second of two signatures"),
        pytest.param(["third", OTHER], [SECRET, OTHER], 200, id="the second secret made the second signature"),
        pytest.param([SECRET], [OTHER], 401, id="another secret"),
        pytest.param([SECRET, OTHER], ["third"], 401, id="none of several"),
    ],
)
async def test_any_secret_and_any_signature(known, used, status):
    response = await exchange(WebhookSignature, {**EXAMPLE, "secrets": known}, stripe(secrets=used))
    assert response.status == status


@pytest.mark.parametrize(
    ("settings", "age", "status"),
    [
        pytest.param({}, 0, 200, id="now"),
        pytest.param({}, 300, 200, id="as old as allowed"),
        pytest.param({}, 301, 401, id="too old"),
        pytest.param({}, -300, 200, id="as far ahead as allowed"),
        pytest.param({}, -301, 401, id="too far ahead"),
        pytest.param({"tolerance": "10m"}, 600, 200, id="an operator's own tolerance"),
        pytest.param({"tolerance": "off"}, 1e8, 200, id="age does not matter"),
        pytest.param({"future_tolerance": "1s"}, -2, 401, id="an operator's own future"),
    ],
)
async def test_time(settings, age, status):
    response = await exchange(WebhookSignature, {**EXAMPLE, **settings}, stripe(at=int(NOW - age)))
    assert response.status == status


# -- attacks -----------------------------------------------------------------------------------------------------------

SIGNED = hashed(SECRET)
BLANK = "0" * 64
MANY = f"t={NOW}," + ",".join([f"v1={BLANK}"] * 40 + [f"v1={SIGNED}"])


@pytest.mark.parametrize(
    ("header", "why"),
    [
        pytest.param(None, "no_header", id="no field"),
        pytest.param("", "no_header", id="an empty field"),
        pytest.param(f"t={NOW}", "no_header", id="no signature in it"),
        pytest.param(f"t={NOW},v0={SIGNED}", "no_header", id="an old version of it"),
        pytest.param(f"t={NOW},v1=", "malformed", id="an empty signature"),
        pytest.param(f"t={NOW},v1={SIGNED[:-2]}", "malformed", id="a shorter signature"),
        pytest.param(f"t={NOW},v1={SIGNED}00", "malformed", id="a longer signature"),
        pytest.param(f"t={NOW},v1={SIGNED[:-1]}\u0660", "malformed", id="digits that are not ASCII"),
        pytest.param(f"t={NOW},v1={SIGNED[:30]} {SIGNED[30:]}", "malformed", id="a blank in the signature"),
        pytest.param(f"v1={SIGNED}", "no_header", id="no timestamp"),
        pytest.param(f"t=,v1={SIGNED}", "bad_timestamp", id="an empty timestamp"),
        pytest.param(f"t=+{NOW},v1={SIGNED}", "bad_timestamp", id="a timestamp with a sign"),
        pytest.param(f"t={NOW}.0,v1={SIGNED}", "bad_timestamp", id="a timestamp with a fraction"),
        pytest.param(f"t={'9' * 400},v1={SIGNED}", "bad_timestamp", id="a timestamp beyond all numbers"),
        pytest.param(f"t={NOW},t={NOW - 1},v1={SIGNED}", "bad_timestamp", id="two timestamps"),
        pytest.param(f"t={NOW - 1},v1={SIGNED}", "no_match", id="a timestamp that was not signed"),
        pytest.param(f"t={NOW},v1={BLANK}", "no_match", id="a made-up signature"),
        pytest.param(MANY, "no_match", id="a signature too late"),
        pytest.param("," * 100_000, "no_header", id="a field of separators"),
    ],
)
async def test_attacks(header, why):
    headers = {} if header is None else {"Stripe-Signature": header}
    target = answering(200)
    async with opened(WebhookSignature, EXAMPLE) as it:
        response = await it(request("POST", "/", headers=headers, body=BODY), target)
        assert (response.status, target.calls, reasons(it)) == (401, 0, [why])
        assert it.ports.value("webhook_requests_total", "test", "webhook_signature", why) == 1
        assert response.error.code == "webhook_unverified"
        assert response.headers["WWW-Authenticate"]
    assert why.encode() not in response.body.whole, "the sender is not told why"


async def test_every_refusal_looks_the_same_to_the_sender():
    answers = set()
    for header in (f"t={NOW},v1={BLANK}", f"t=1,v1={SIGNED}", "x"):
        response = await exchange(WebhookSignature, EXAMPLE, stripe(header=header))
        answers.add((response.status, response.body.whole, tuple(response.fields)))
    assert len(answers) == 1


ATTACKS = [
    pytest.param(
        "twilio",
        "12345",
        {"X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=", **FORM},
        TWILIO_FORM,
        {"url": TWILIO_URL.replace("foo=1", "foo=2")},
        id="another URL than the signed one",
    ),
    pytest.param(
        "twilio",
        "12345",
        {
            "X-Twilio-Signature": base64.b64encode(hmac.digest(b"12345", b"https://a.test/x", "sha1")).decode(),
            "Content-Type": "application/json",
        },
        b'{"evil": true}',
        {"url": "https://a.test/x"},
        id="a body of JSON with the signature of a request without one",
    ),
    pytest.param(
        "twilio",
        "12345",
        {"X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4="},
        TWILIO_JSON,
        {
            "url": f"{TWILIO_URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620&"
            "bodySHA256=" + hashlib.sha256(b"x").hexdigest()
        },
        id="two digests of the body",
    ),
    pytest.param(
        "adyen",
        ADYEN_SECRET,
        {},
        adyen(ADYEN_ITEM, {**ADYEN_ITEM, "amount": {"value": 999999, "currency": "EUR"}}),
        {},
        id="a forged item behind a genuine one",
    ),
    pytest.param("adyen", ADYEN_SECRET, {}, b'{"notificationItems":[]}', {}, id="a list of nothing"),
    pytest.param("adyen", ADYEN_SECRET, {}, b"[" * 100_000, {}, id="a body nested without end"),
    pytest.param("adyen", ADYEN_SECRET, {}, b"\xff\xfe", {}, id="a body that is no JSON"),
    pytest.param(
        "standard_webhooks",
        STANDARD_SECRET,
        {**standard("webhook", STANDARD_V1)[0], "webhook-id": "msg_other"},
        STANDARD[2],
        {"at": STANDARD[1]},
        id="another event id",
    ),
    pytest.param(
        "standard_webhooks",
        STANDARD_SECRET,
        standard("webhook", STANDARD_V1A.replace("v1a", "v1"))[0],
        STANDARD[2],
        {"at": STANDARD[1]},
        id="an Ed25519 signature where a hash is due",
    ),
    pytest.param("gitlab_token", "token", {"X-Gitlab-Token": "tokem"}, b"{}", {}, id="another token"),
    pytest.param("gitlab_token", "token", {"X-Gitlab-Token": ""}, b"{}", {}, id="an empty token"),
]


@pytest.mark.parametrize(("provider", "secret", "headers", "body", "more"), ATTACKS)
async def test_attacks_on_other_schemes(provider, secret, headers, body, more):
    status, bodies, _ = await sent(provider, secret, headers, body, more)
    assert (status, bodies) == (401, [])


@given(st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_made_up_field_gets_through_or_breaks(value):
    async def run():
        response = await exchange(WebhookSignature, EXAMPLE, stripe(header=value or "-"))
        assert response.status == 401

    asyncio.run(run())


@given(
    st.lists(
        st.sampled_from([f"t={NOW}", f"v1={SIGNED}", f"v1={BLANK}", "v0=1", "", " ", "=", f" v1={SIGNED} "]), max_size=8
    )
)
@settings(max_examples=100, deadline=None)
def test_it_goes_through_if_and_only_if_time_and_signature_are_there(parts):
    async def run():
        response = await exchange(WebhookSignature, EXAMPLE, stripe(header=",".join(parts) or "-"))
        times = sum(part == f"t={NOW}" for part in parts)
        assert (response.status == 200) == (times == 1 and any(SIGNED in part for part in parts))

    asyncio.run(run())


# -- the body ----------------------------------------------------------------------------------------------------------


async def test_the_bytes_as_they_came_also_in_pieces():
    body = b'{ "id" : "evt_1",\r\n "e":"\\u00e9" }\n'
    headers = {"Stripe-Signature": f"t={NOW},v1={hashed(SECRET, body)}"}
    target = answering(200)
    asked = request("POST", "/", headers=headers, chunks=Chunks([body[:7], body[7:]]))
    assert (await exchange(WebhookSignature, EXAMPLE, asked, target)).status == 200
    assert target.body == body


@pytest.mark.parametrize(
    ("mode", "status", "calls"),
    [pytest.param("enforce", 413, 0, id="refused"), pytest.param("shadow", 200, 1, id="in shadow it passes whole")],
)
async def test_a_body_over_the_limit(mode, status, calls):
    target = answering(200)
    asked = request("POST", "/", chunks=[b"x" * 60, b"y" * 60])
    response = await exchange(WebhookSignature, {**EXAMPLE, "max_body": "100B"}, asked, target, mode=mode)
    assert (response.status, target.calls) == (status, calls)
    if calls:
        assert target.body == b"x" * 60 + b"y" * 60


# -- what those behind learn -------------------------------------------------------------------------------------------


async def test_those_behind_know_the_event_and_the_principal():
    target = answering(200)
    await exchange(WebhookSignature, EXAMPLE, stripe(), target)
    assert event_of(target.request) == Event("stripe", "evt_1", float(NOW))
    assert target.request.principal.id == "webhook:stripe"


async def test_who_was_known_before_stays_the_principal():
    target = answering(200)
    await exchange(WebhookSignature, EXAMPLE, stripe(principal=Principal("alice")), target)
    assert target.request.principal.id == "alice"


async def test_in_shadow_a_forgery_passes_and_nobody_believes_it():
    target = answering(200)
    async with opened(WebhookSignature, EXAMPLE, mode="shadow") as it:
        response = await it(stripe(secrets=["wrong"]), target)
        assert (response.status, it.ports.would_refuse) == (200, ["webhook_unverified"])
    assert (event_of(target.request), target.request.principal) == (None, None)


# -- events that come again --------------------------------------------------------------------------------------------


async def test_an_event_that_was_delivered_is_acknowledged_and_goes_no_further():
    target = answering(201, body=b"made")
    async with opened(WebhookSignature, EXAMPLE, ports=at(NOW)) as it:
        first = await it(stripe(), target)
        it.ports.clock.advance(60)
        again = await it(stripe(at=NOW + 60), target)  # signed anew
        other = await it(stripe(event(2), at=NOW + 60), target)
        assert [each.status for each in (first, again, other)] == [201, 200, 201]
        assert (again.body.whole, again.error, target.calls) == (b"", None, 2)
        assert it.ports.value("webhook_requests_total", "test", "webhook_signature", "replayed") == 1
        assert any("replay" in line for line in it.ports.lines)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(answering(503), id="the target answered 503"),
        pytest.param(answering(302), id="the target answered 302"),
        pytest.param(answering(410), id="the target answered 410"),
        pytest.param(answering(error=UpstreamReset()), id="the target broke off"),
        pytest.param(answering(error=StoreUnavailable()), id="a plugin behind refused"),
    ],
)
async def test_the_retry_of_what_was_not_delivered_goes_through(first):
    target = answering(200)
    async with opened(WebhookSignature, EXAMPLE) as it:
        assert (await it(stripe(), first)).status != 200
        assert (await it(stripe(), target)).status == 200
        assert (await it(stripe(), target)).status == 200
    assert target.calls == 1


async def test_an_answer_that_breaks_off_or_whose_sender_leaves_was_no_delivery():
    broken = answering(200, chunks=[b"x"], error=UpstreamReset())
    target = answering(200)
    async with opened(WebhookSignature, EXAMPLE) as it:
        with pytest.raises(UpstreamReset):
            await it(stripe(), broken)
        asked = stripe()
        it.leave(asked, await it.head(asked, answering(200, chunks=[b"x"])))
        arrived = asyncio.Event()

        async def forever(_asked):
            arrived.set()
            await asyncio.Event().wait()

        client = asyncio.ensure_future(it(stripe(), forever))
        await arrived.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await it(stripe(), target)
    assert target.calls == 1


class Held:
    """A target that answers when it is told to."""

    def __init__(self):
        self.arrived, self.proceed = asyncio.Event(), asyncio.Event()
        self.calls = 0

    async def __call__(self, _asked):
        self.calls += 1
        self.arrived.set()
        await self.proceed.wait()
        return Response(200)


async def test_two_at_the_same_moment_are_not_both_delivered():
    target = Held()
    async with opened(WebhookSignature, EXAMPLE) as it:
        first = asyncio.ensure_future(it(stripe(), target))
        await target.arrived.wait()
        second = await it(stripe(), target)
        assert (second.status, second.error.code, second.headers["Retry-After"]) == (503, "webhook_in_flight", "5")
        target.proceed.set()
        assert (await first).status == 200
        assert (await it(stripe(), target)).status == 200
    assert target.calls == 1


@pytest.mark.parametrize(
    ("settings", "mode", "again"),
    [
        pytest.param({}, "enforce", 0, id="a day"),
        pytest.param({"replay": {"ttl": "1h"}}, "enforce", 1, id="forgotten after its time"),
        pytest.param({"replay": "off"}, "enforce", 1, id="off"),
        pytest.param({}, "shadow", 1, id="shadow lets it pass"),
    ],
)
async def test_how_long_an_event_is_remembered(settings, mode, again):
    target = answering(200)
    async with opened(WebhookSignature, {**EXAMPLE, **settings}, mode=mode, ports=at(NOW)) as it:
        await it(stripe(), target)
        it.ports.clock.advance(7200)
        await it(stripe(at=NOW + 7200), target)
    assert target.calls == 1 + again


async def test_how_a_replay_is_acknowledged_is_the_operators_choice():
    async with opened(WebhookSignature, {**EXAMPLE, "replay": {"status": 204}}) as it:
        await it(stripe())
        assert (await it(stripe())).status == 204


def github(body=BODY, **headers):
    signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
    return request("POST", "/", headers={"X-Hub-Signature-256": f"sha256={signature}", **headers}, body=body)


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        pytest.param({}, 2, id="two equal events can both be real"),
        pytest.param({"replay": {"by_body": True}}, 1, id="known by their bodies where that is asked for"),
    ],
)
async def test_events_without_an_id(settings, calls):
    target = answering(200)
    async with opened(WebhookSignature, {**OPEN, **settings}) as it:
        for _ in range(2):
            assert (await it(github(), target)).status == 200
    assert target.calls == calls


async def test_a_forgery_cannot_make_an_event_known_beforehand():
    target = answering(200)
    async with opened(WebhookSignature, EXAMPLE) as it:
        assert (await it(stripe(secrets=["wrong"]), target)).status == 401
        assert (await it(stripe(), target)).status == 200
    assert target.calls == 1


async def test_several_workers_need_one_store():
    with pytest.raises(RuntimeError, match=r"stores\.shared"):
        async with opened(WebhookSignature, EXAMPLE, ports=ports(workers=2)):
            pass
    async with opened(WebhookSignature, {**EXAMPLE, "replay": "off"}, ports=ports(workers=2)):
        pass


# -- handshakes --------------------------------------------------------------------------------------------------------


def zoom(body, secret="zoom", moment=NOW):
    made = hmac.digest(secret.encode(), f"v0:{moment}:".encode() + body, "sha256").hex()
    headers = {"x-zm-signature": f"v0={made}", "x-zm-request-timestamp": str(moment)}
    return request("POST", "/", headers=headers, body=body)


def slack(body, secret="slack"):
    made = hmac.digest(secret.encode(), f"v0:{NOW}:".encode() + body, "sha256").hex()
    headers = {"X-Slack-Signature": f"v0={made}", "X-Slack-Request-Timestamp": str(NOW)}
    return request("POST", "/", headers=headers, body=body)


def b64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("provider", "secret", "asked", "wanted"),
    [
        pytest.param(
            "zoom",
            "zoom",
            zoom(b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}'),
            {
                "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
                "encryptedToken": hmac.digest(b"zoom", b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hex(),
            },
            id="Zoom",
        ),
        pytest.param("slack", "slack", slack(b'{"type":"url_verification","challenge":"abc"}'), b"abc", id="Slack"),
        pytest.param("dropbox", "s", request("GET", "/?challenge=abc"), b"abc", id="Dropbox"),
        pytest.param(
            "x",
            "s",
            request("GET", "/?crc_token=dG9rZW4="),
            {"response_token": "sha256=" + b64(hmac.digest(b"s", b"dG9rZW4=", "sha256"))},
            id="X",
        ),
        pytest.param(
            "okta",
            "s",
            request("GET", "/", headers={"X-Okta-Verification-Challenge": "abc"}),
            {"verification": "abc"},
            id="Okta",
        ),
        pytest.param("woocommerce", "s", request("POST", "/", body=b"webhook_id=12"), b"", id="WooCommerce's first"),
    ],
)
async def test_handshakes_are_answered_here(provider, secret, asked, wanted):
    target = answering(200)
    response = await exchange(WebhookSignature, {"provider": provider, "secrets": [secret]}, asked, target)
    found = json.loads(response.body.whole) if isinstance(wanted, dict) else response.body.whole
    assert (response.status, target.calls, found) == (200, 0, wanted)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        pytest.param("dropbox", request("GET", "/?challenge=<script>"), id="markup is not echoed"),
        pytest.param("dropbox", request("GET", "/"), id="no token"),
        pytest.param("x", request("GET", '/?crc_token={"a":1}'), id="a body is not hashed for anybody"),
        pytest.param("x", request("GET", "/?crc_token=a&crc_token=b"), id="two tokens"),
        pytest.param(
            "x",
            request(
                "POST",
                "/",
                headers={"X-Twitter-Webhooks-Signature": "sha256=" + b64(hmac.digest(b"s", b"12345", "sha256"))},
                body=b"12345",
            ),
            id="a token that was hashed is no body",
        ),
        pytest.param(
            "zoom",
            zoom(b'{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}', "wrong"),
            id="a handshake with a wrong signature",
        ),
        pytest.param("woocommerce", request("POST", "/", body=b"webhook_id=12&x=1"), id="more than the first form"),
    ],
)
async def test_attacks_on_handshakes(provider, asked):
    secret = {"zoom": "zoom"}.get(provider, "s")
    target = answering(200)
    response = await exchange(WebhookSignature, {"provider": provider, "secrets": [secret]}, asked, target)
    assert (response.status, target.calls) == (401, 0)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [pytest.param({"handshakes": False}, "enforce", id="switched off"), pytest.param({}, "shadow", id="in shadow")],
)
async def test_handshakes_are_left_to_the_target(settings, mode):
    target = answering(200, body=b"mine")
    asked = slack(b'{"type":"url_verification","challenge":"abc"}')
    response = await exchange(
        WebhookSignature, {"provider": "slack", "secrets": ["slack"], **settings}, asked, target, mode=mode
    )
    assert (response.body.whole, target.calls) == (b"mine", 1)


# -- the reference -----------------------------------------------------------------------------------------------------


def test_the_reference_says_how_each_preset_is_known():
    page = WebhookSignature.reference()
    for name, preset in presets().items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"| {preset.known} |" in row
