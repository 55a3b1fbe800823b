import uuid

import pytest

from gateway.services import ids

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_request_ids_are_uuids_of_version_7_in_order() -> None:
    made = [ids.request_id() for _ in range(5000)]
    assert made == sorted(set(made))
    for each in map(uuid.UUID, made):
        assert (each.version, each.variant) == (7, uuid.RFC_4122)


def test_order_holds_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.request_id()
    monkeypatch.setattr(ids, "_nanoseconds", lambda: 1_000_000)
    after = [ids.request_id() for _ in range(100)]
    assert [first, *after] == sorted({first, *after})


def test_the_time_is_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_order", ids._Order())
    monkeypatch.setattr(ids, "_nanoseconds", lambda: 0x017F22E279B0 * 1_000_000)  # RFC 9562, appendix A.6
    assert ids.request_id().startswith("017f22e2-79b0-7")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("a" * 128, True, id="as long as may be"),
        pytest.param("a" * 129, False, id="one too long"),
        pytest.param("", False, id="empty"),
        pytest.param("1-67891233-abcdef012345678912345678", True, id="as load balancers write it"),
        pytest.param('a"b', False, id="a quote"),
        pytest.param("a\\b", False, id="a backslash"),
        pytest.param("a b", False, id="a space"),
        pytest.param("a\n", False, id="a line break at the end"),
        pytest.param("a,b", False, id="two in one"),
        pytest.param("é", False, id="not ASCII"),
    ],
)
def test_accepted_request_ids(given: str, kept: bool) -> None:
    assert ids.accepted_request_id(given) == (given if kept else "")


@pytest.mark.parametrize(
    ("parent", "flags"),
    [
        pytest.param(PARENT, b"01", id="sampled"),
        pytest.param(PARENT[:-2] + "ff", b"03", id="unknown flags are not passed on"),
        pytest.param("cc" + PARENT[2:] + "-later", b"01", id="a future version with more"),
        pytest.param("cc" + PARENT[2:], b"01", id="a future version"),
    ],
)
def test_a_trace_is_continued_with_a_new_parent(parent: str, flags: bytes) -> None:
    made = ids.continue_trace(parent)
    assert made is not None
    version, trace, span, got = made.split(b"-")
    assert (version, trace.decode(), got) == (b"00", parent[3:35], flags)
    assert span.decode() != parent[36:52]
    assert len(span) == 16


@pytest.mark.parametrize(
    "parent",
    [
        pytest.param("ff" + PARENT[2:], id="version ff"),
        pytest.param(PARENT + "-more", id="version 00 with more"),
        pytest.param("cc" + PARENT[2:] + "more", id="a future version with more but no hyphen"),
        pytest.param("00-" + "0" * 32 + PARENT[35:], id="trace id of zeros"),
        pytest.param(PARENT[:36] + "0" * 16 + "-01", id="parent id of zeros"),
        pytest.param(PARENT.upper(), id="upper case"),
        pytest.param(PARENT + "\n", id="a line break at the end"),
        pytest.param(PARENT[:-1], id="too short"),
        pytest.param("", id="empty"),
    ],
)
def test_not_a_trace(parent: str) -> None:
    assert ids.continue_trace(parent) is None


def test_a_trace_begun_here_is_valid() -> None:
    made = ids.make_trace().decode()
    assert made.endswith("-02")
    assert ids.continue_trace(made) is not None
