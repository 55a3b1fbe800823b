"""Signatures: AWS's own published examples, and templates under a keyed hash."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.upstream_auth.signing import Aws4, Sent, compile_signed, sign

# The credentials and the time of the examples in AWS's documentation and its Signature Version 4 test suite.
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def sent(method="GET", path="/", host="example.amazonaws.com", body=b"", now=NOW):
    return Sent(method, path, host, body, now)


@pytest.mark.parametrize(
    ("service", "request_", "headers", "signature"),
    [
        pytest.param(
            "service",
            sent(),
            {},
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="test suite: get-vanilla",
        ),
        pytest.param(
            "service",
            sent("POST"),
            {},
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="test suite: post-vanilla",
        ),
        pytest.param(
            "service",
            sent(path="/?Param2=value2&Param1=value1"),
            {},
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="test suite: get-vanilla-query-order-key-case",
        ),
        pytest.param(
            "iam",
            sent(path="/?Action=ListUsers&Version=2010-05-08", host="iam.amazonaws.com"),
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            id="documentation: ListUsers",
        ),
    ],
)
def test_examples_of_aws(service, request_, headers, signature):
    fields = dict(Aws4("us-east-1", service, KEY, SECRET, None).fields(request_, headers))
    assert fields["X-Amz-Date"] == "20150830T123600Z"
    assert fields["Authorization"].endswith(f"Signature={signature}")


def test_s3_says_what_the_body_hashes_to():
    signer = Aws4("us-east-1", "s3", KEY, SECRET, "session")
    fields = dict(signer.fields(sent("PUT", "/a%20b", body=b"x"), {}))
    assert fields["X-Amz-Content-Sha256"] == hashlib.sha256(b"x").hexdigest()
    assert fields["X-Amz-Security-Token"] == "session"
    assert "host;x-amz-content-sha256;x-amz-date;x-amz-security-token" in fields["Authorization"]
    assert dict(signer.fields(sent("PUT"), {}, unsigned=True))["X-Amz-Content-Sha256"] == "UNSIGNED-PAYLOAD"


def test_a_new_day_has_a_new_key():
    signer = Aws4("us-east-1", "service", KEY, SECRET, None)
    first = signer.fields(sent(), {})
    signer.fields(sent(now=NOW + 86400), {})
    assert signer.fields(sent(), {}) == first


@pytest.mark.parametrize(
    ("template", "made"),
    [
        pytest.param("{timestamp}.{body}", b"1440938160.b", id="time and body"),
        pytest.param("{method}\\n{path}\\n{host}", b"POST\n/a?b=c\nh", id="lines"),
        pytest.param("", b"", id="nothing"),
        pytest.param("{{body}}", b"{b}", id="braces around"),
    ],
)
def test_templates(template, made):
    assert compile_signed(template)(sent("POST", "/a?b=c", "h", b"b", 1440938160.9)) == made


@pytest.mark.parametrize("template", ["{secret}", "{}", "{body}{x}"])
def test_templates_that_are_refused(template):
    with pytest.raises(ValueError, match="placeholders"):
        compile_signed(template)


@given(st.binary(max_size=50))
def test_a_body_is_never_read_as_a_template(body):
    assert compile_signed("{body}")(sent(body=body)) == body


@pytest.mark.parametrize(
    ("secret", "algorithm", "encoding", "message", "made"),
    [
        pytest.param(
            b"Jefe",
            "sha256",
            "hex",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            id="RFC 4231, test case 2",
        ),
        pytest.param(
            b"\x0b" * 20, "sha1", "hex", b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00", id="RFC 2202, case 1"
        ),
        pytest.param(b"\x0b" * 20, "sha1", "base64", b"Hi There", "thcxhlUFcmTii8C2+zeMjvFGvgA=", id="in base64"),
    ],
)
def test_sign(secret, algorithm, encoding, message, made):
    assert sign(secret, algorithm, encoding, message) == made
