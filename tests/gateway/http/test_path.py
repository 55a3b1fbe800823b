"""The normal form of a path: the table of tricks, and that no lax reading finds another structure in it."""

from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedPath
from gateway.http.path import PathPolicy, allows, comparable, normalize

SLASH = PathPolicy(encoded_slash=True)
PARAMETERS = PathPolicy(path_parameters=True)
LAX = PathPolicy(encoded_slash=True, path_parameters=True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("", "/", id="an empty path is the root"),
        pytest.param("/", "/", id="the root stays"),
        pytest.param("/orders/5", "/orders/5", id="a plain path stays"),
        pytest.param("/orders/", "/orders/", id="a trailing slash stays"),
        pytest.param("/a/./b", "/a/b", id="a dot is removed"),
        pytest.param("/a/.", "/a/", id="a dot at the end leaves its slash"),
        pytest.param("/public/../admin", "/admin", id="two dots go up"),
        pytest.param("/a/b/..", "/a/", id="two dots at the end leave a slash"),
        pytest.param("/a/..", "/", id="up to the root"),
        pytest.param("/public/%2e%2E/admin", "/admin", id="encoded dots are dots"),
        pytest.param("/public/.%2e/admin", "/admin", id="half-encoded dots are dots"),
        pytest.param("//a///b//", "/a/b/", id="slashes are merged"),
        pytest.param("/a//../b", "/b", id="an empty segment does not count as one to go up from"),
        pytest.param("/%61dmin", "/admin", id="an encoded letter is the letter"),
        pytest.param("/%7Euser", "/~user", id="an encoded tilde is a tilde"),
        pytest.param("/a%3ab", "/a%3Ab", id="hex digits are upper case"),
        pytest.param("/a%20b", "/a%20b", id="an encoded space is kept"),
        pytest.param("/a%3Ab%40c", "/a%3Ab%40c", id="encoded delimiters are kept"),
        pytest.param("/a:b@c+d~e,f=g", "/a:b@c+d~e,f=g", id="raw delimiters are kept"),
        pytest.param("/a%2Bb+c", "/a%2Bb+c", id="plus and encoded plus stay apart"),
        pytest.param("/caf%C3%A9", "/caf%C3%A9", id="encoded UTF-8 is kept"),
        pytest.param("/%F0%9F%98%80", "/%F0%9F%98%80", id="four bytes of UTF-8 are kept"),
        pytest.param("/café", "/caf%C3%A9", id="raw UTF-8 is encoded"),
        pytest.param('/{a}|"b"[c]', "/%7Ba%7D%7C%22b%22%5Bc%5D", id="characters that a path cannot hold are encoded"),
        pytest.param("/what%3F%23", "/what%3F%23", id="an encoded question mark is data"),
        pytest.param("/100%25", "/100%25", id="an encoded percent is kept"),
        pytest.param("/a%2520b", "/a%2520b", id="a space encoded twice is kept"),
        pytest.param("/%25C3%25A9", "/%25C3%25A9", id="UTF-8 encoded twice is kept"),
        pytest.param("/.well-known/x", "/.well-known/x", id="a name may begin with a dot"),
        pytest.param("/a/...", "/a/...", id="three dots are a name"),
        pytest.param("/a/..b", "/a/..b", id="two dots may begin a name"),
        pytest.param("/a%3Bb", "/a%3Bb", id="an encoded semicolon is data"),
    ],
)
def test_is_brought_into_normal_form(path, expected):
    assert normalize(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("*", id="asterisk form"),
        pytest.param("orders", id="no slash at the beginning"),
        pytest.param("http://evil/", id="absolute form"),
        pytest.param("/..", id="above the root"),
        pytest.param("/a/../../b", id="above the root after a segment"),
        pytest.param("/%2e%2e/b", id="above the root, encoded"),
        pytest.param("/a%2fb", id="encoded slash"),
        pytest.param("/a%5Cb", id="encoded backslash"),
        pytest.param("/a\\b", id="backslash"),
        pytest.param("/a%00b", id="NUL"),
        pytest.param("/a%0d%0ab", id="line end"),
        pytest.param("/a%7Fb", id="DEL"),
        pytest.param("/a\x01b", id="raw control"),
        pytest.param("/a\nb", id="raw line feed"),
        pytest.param("/a\n", id="raw line feed at the end"),
        pytest.param("/a b", id="raw space"),
        pytest.param("/a#b", id="fragment"),
        pytest.param("/a?b", id="query"),
        pytest.param("/%zz", id="not hex"),
        pytest.param("/%4", id="cut off"),
        pytest.param("/%", id="a lone percent"),
        pytest.param("/%u002f", id="%u"),
        pytest.param("/%2%35", id="an encoded hex digit"),
        pytest.param("/%C0%AF", id="overlong slash"),
        pytest.param("/%C0%AE%C0%AE/x", id="overlong dots"),
        pytest.param("/%E0%80%AF", id="overlong slash in three bytes"),
        pytest.param("/%F0%80%80%AF", id="overlong slash in four bytes"),
        pytest.param("/%ED%A0%80", id="a surrogate"),
        pytest.param("/%F5%80%80%80", id="beyond Unicode"),
        pytest.param("/%E9/x", id="a cut sequence before a slash"),
        pytest.param("/%E9t%E9", id="Latin-1"),
        pytest.param("/\udce9", id="raw bytes that are not UTF-8"),
        pytest.param("/admin;x", id="path parameter"),
        pytest.param("/public/..;/admin", id="dots with a path parameter"),
        pytest.param("/public/..%3B/admin", id="dots with an encoded path parameter"),
        pytest.param("/public/..%20/admin", id="dots and a space"),
        pytest.param("/a%252e%252e/b", id="dots encoded twice"),
        pytest.param("/a%252Fb", id="slash encoded twice"),
        pytest.param("/a%25255cb", id="backslash encoded three times"),
        pytest.param("/a%2500", id="NUL encoded twice"),
        pytest.param("/%2561dmin", id="a letter encoded twice"),
        pytest.param("/%25%36%31dmin", id="a letter encoded twice, in pieces"),
    ],
)
def test_is_refused(path):
    with pytest.raises(MalformedPath) as caught:
        normalize(path)
    assert caught.value.status == 400
    assert caught.value.detail == ""


@pytest.mark.parametrize(
    ("path", "policy", "expected"),
    [
        pytest.param("/q/%2f/x", SLASH, "/q/%2F/x", id="an encoded slash is kept"),
        pytest.param("/u/DOM%5cme", SLASH, "/u/DOM%5Cme", id="an encoded backslash is kept"),
        pytest.param("/a%252Fb", SLASH, "/a%252Fb", id="a slash encoded twice is kept"),
        pytest.param("/a;v=1/b", PARAMETERS, "/a;v=1/b", id="a path parameter is kept"),
    ],
)
def test_a_lax_policy_keeps_what_it_says(path, policy, expected):
    assert normalize(path, policy) == expected
    assert allows(policy, expected)
    assert not allows(PathPolicy(), expected)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/public/..%2Fadmin", id="dots before an encoded slash"),
        pytest.param("/public%2f../admin", id="dots after an encoded slash"),
        pytest.param("/public/x%2F..%2fadmin", id="dots between encoded slashes"),
        pytest.param("/public/..%5Cadmin", id="dots before an encoded backslash"),
        pytest.param("/public/..%252Fadmin", id="dots before a slash encoded twice"),
        pytest.param("/public/..;/admin", id="dots before a path parameter"),
        pytest.param("/public/.;x/admin", id="a dot before a path parameter"),
        pytest.param("/public/a%252e%252e/b", id="dots encoded twice"),
        pytest.param("/a\\b", id="a raw backslash"),
        pytest.param("/a%00", id="NUL"),
    ],
)
def test_even_a_lax_policy_refuses(path):
    with pytest.raises(MalformedPath):
        normalize(path, LAX)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/v1/items%3Adelete", "/v1/items:delete", id="a colon"),
        pytest.param("/a%21%24%26%27%28%29%2A%2B%2C%3D%40", "/a!$&'()*+,=@", id="every delimiter"),
        pytest.param("/a%20b%C3%A9%3B", "/a%20b%C3%A9%3B", id="data stays encoded"),
        pytest.param("/plain", "/plain", id="nothing to do"),
    ],
)
def test_is_compared_with_delimiters_decoded(path, expected):
    assert comparable(path) == expected


TRICKS = "/ // . .. %2e %2E %2f %5c \\ ; %3b %25 %252e %61 B %41 %20 %C3%A9 %c0%af %E9 é %00 %"
HARMLESS = "a / / 2 f e 5 c + %2B : %3a { | ~ %7e"
PIECES = st.sampled_from(TRICKS.split() + HARMLESS.split())
PATHS = st.one_of(
    st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)),
    st.text(max_size=20).map(lambda text: "/" + text),
)
POLICIES = st.builds(PathPolicy, encoded_slash=st.booleans(), path_parameters=st.booleans())


def normal(path, policy):
    try:
        return normalize(path, policy)
    except MalformedPath:
        return None


@settings(max_examples=200)
@given(PATHS, POLICIES)
def test_the_normal_form_is_its_own(path, policy):
    form = normal(path, policy)
    if form is None:
        return
    assert normalize(form, policy) == form
    assert form.isascii()
    assert form.isprintable()
    assert allows(policy, form)


@settings(max_examples=200)
@given(PATHS)
def test_it_means_what_the_client_sent(path):
    """Byte for byte the same data in each segment, once the path as sent is decoded and its dots are resolved."""
    form = normal(path, PathPolicy())
    if form is None:
        return
    sent = [unquote_to_bytes(segment) for segment in path.split("/")]
    stack: list[bytes] = []
    for segment in sent:
        if segment == b"..":
            stack.pop()
        elif segment not in (b"", b"."):
            stack.append(segment)
    assert [unquote_to_bytes(segment) for segment in form.split("/") if segment] == stack


def lax_overlong(text):
    """A decoder that takes the low bits of whatever it finds (as early IIS did)."""
    raw, out, i = unquote_to_bytes(text), [], 0
    while i < len(raw):
        if raw[i] in (0xC0, 0xC1) and i + 1 < len(raw):
            out.append(chr((raw[i] & 0x1F) << 6 | raw[i + 1] & 0x3F))
            i += 2
        else:
            out.append(chr(raw[i]))
            i += 1
    return "".join(out)


LAX_READINGS = [
    pytest.param(unquote, id="decodes as UTF-8"),
    pytest.param(lambda p: unquote(p, "latin-1"), id="decodes as Latin-1"),
    pytest.param(lambda p: unquote(unquote(p)), id="decodes twice"),
    pytest.param(lambda p: unquote(unquote(unquote(p))), id="decodes three times"),
    pytest.param(lambda p: unquote(p).replace("\\", "/"), id="reads a backslash as a slash"),
    pytest.param(lax_overlong, id="takes overlong UTF-8"),
    pytest.param(lambda p: unquote(p).partition("\0")[0], id="stops at NUL"),
    pytest.param(lambda p: "/".join(s.partition(";")[0] for s in p.split("/")), id="cuts path parameters off"),
    pytest.param(
        lambda p: "/".join(s.partition(";")[0] or s for s in unquote(p).split("/")), id="decodes, then cuts parameters"
    ),
    pytest.param(lambda p: "/".join(s.rstrip(" ") or s for s in unquote(p).split("/")), id="strips spaces at the end"),
]


@pytest.mark.parametrize("reading", LAX_READINGS)
@settings(max_examples=100)
@given(path=PATHS)
def test_no_lax_reading_sees_other_segments(reading, path):
    form = normal(path, PathPolicy())
    if form is None:
        return
    read = reading(form).split("/")
    assert len(read) == form.count("/") + 1
    assert not {".", ".."} & set(read)
    assert "" not in read[1:-1]


@settings(max_examples=100)
@given(PATHS)
def test_comparing_keeps_the_segments(path):
    form = normal(path, PathPolicy())
    if form is not None:
        assert unquote(comparable(form)) == unquote(form)
        assert comparable(form).count("/") == form.count("/")
        assert comparable(comparable(form)) == comparable(form)
