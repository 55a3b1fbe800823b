"""What a signer writes."""

import http_sf
from multidict import CIMultiDict

from gateway.testing import settings_of
from plugins.http_signature import HttpSignature
from plugins.http_signature.component import View
from plugins.http_signature.signing import Signer

SIGN = {"id": "k", "algorithm": "hmac-sha256", "secret": "x" * 32, "tag": "t"}


def test_fields():
    headers = CIMultiDict(
        {"Signature-Input": "other=();created=1, sidegate=()", "Signature": "other=:AA==:, sidegate=:AA==:"}
    )
    made = Signer(settings_of(HttpSignature, {"sign": SIGN}).sign, ("@method", "x-none"), {})
    made.sign(View(headers, "GET"), headers, 100.5)
    given = http_sf.parse(headers["Signature-Input"].encode(), tltype="dictionary")
    assert (
        list(given) == ["other", "sidegate"] == list(http_sf.parse(headers["Signature"].encode(), tltype="dictionary"))
    )
    items, parameters = given["sidegate"]
    assert items == [("@method", {})], "what is not there is left out"
    assert len(parameters.pop("nonce")) > 16
    assert parameters == {"created": 100, "expires": 160, "keyid": "k", "alg": "hmac-sha256", "tag": "t"}


def test_it_knows_whether_it_needs_the_body():
    assert Signer(settings_of(HttpSignature, {"sign": SIGN}).sign, ("content-digest",), {}).covers_body
    assert not Signer(settings_of(HttpSignature, {"sign": SIGN}).sign, ("content-digest;req",), {}).covers_body
