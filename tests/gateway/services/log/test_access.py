import json
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.http import Exchange, Principal, Request
from gateway.http.delivery import Delivery, note_delivery
from gateway.services.log import AccessLog, Sink
from gateway.services.log.access import LONGEST


class Kept(Sink):
    """Holds what a thread would write."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def _put(self, data: bytes) -> None:
        self.data += data

    def lines(self) -> list[dict[str, Any]]:
        self.close()
        return [json.loads(line) for line in self.data.splitlines()]


SECRETS = ((b"Authorization", b"Bearer s3cret"), (b"Cookie", b"sid=s3cret"))


def exchange(path: str = "/a", agent: str = "curl/8", *, principal: str = "", error: bool = False) -> Exchange:
    fields = (*SECRETS, (b"User-Agent", agent.encode("utf-8", "surrogateescape")))
    request = Request(
        "GET", path, query="token=s3cret", view=view(fields), host="shop.example", client_ip="::1", id="r1"
    )
    request.trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request.target, request.attempts = "http://127.0.0.1:9000", 2
    if principal:
        request.principal = Principal(principal)
    failure = GatewayError('no "room"') if error else None
    return Exchange(request, None, status=200, duration=0.0125, sent_bytes=7, received_bytes=3, error=failure)


def odd(**attributes: Any) -> Exchange:
    made = exchange()
    for name, value in attributes.items():
        setattr(made.request, name, value)
    return made


def view(fields: Any) -> Any:
    from multidict import CIMultiDict

    return CIMultiDict((k.decode(), v.decode("utf-8", "surrogateescape")) for k, v in fields)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(exchange(), id="plain"),
        pytest.param(exchange('/"\\\x00\x7f', 'a"b\n'), id="characters that need escaping"),
        pytest.param(exchange("/caf\u00e9/\U0001f600", "\udcff"), id="beyond ASCII and not UTF-8"),
        pytest.param(exchange("/" + "x" * 5000, "y" * 5000), id="too long"),
        pytest.param(exchange(principal='a"b'), id="a principal"),
        pytest.param(exchange(error=True), id="an error"),
        pytest.param(odd(tenant="acme"), id="a tenant"),
        pytest.param(odd(tenant='ac"me'), id="an odd tenant"),
        pytest.param(odd(principal=Principal("ada", tenant="acme")), id="a principal's tenant"),
        pytest.param(odd(principal=Principal("ada", tenant="acme"), tenant="other"), id="another tenant than its own"),
        pytest.param(odd(id='r"1'), id="a request id that a plugin set"),
        pytest.param(odd(target='unix:/a"b\\c'), id="an odd target"),
        pytest.param(odd(client_ip="a\nb"), id="a line break in the client's address"),
        pytest.param(odd(method="G\u00e9T"), id="a method beyond ASCII"),
    ],
)
def test_the_quick_way_writes_what_the_dictionary_does(made: Exchange) -> None:
    quick, slow = Kept(), Kept()
    AccessLog(quick)(made)
    AccessLog(slow, [lambda line: line])(made)
    (one,), (other,) = quick.lines(), slow.lines()
    one.pop("ts"), other.pop("ts")
    assert one == other
    assert list(one) == list(other)
    assert len(one["agent"]) <= 256
    assert b"s3cret" not in quick.data + slow.data


def test_the_fields() -> None:
    sink = Kept()
    AccessLog(sink)(exchange())
    (line,) = sink.lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "request_id": "r1",
        "client": "::1",
        "method": "GET",
        "host": "shop.example",
        "path": "/a",
        "status": 200,
        "duration_ms": 12.5,
        "bytes_in": 3,
        "bytes_out": 7,
        "route": "-",
        "target": "http://127.0.0.1:9000",
        "attempts": 2,
        "agent": "curl/8",
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "span": "b7ad6b7169203331",
    }


def test_the_tenant_is_the_one_found_for_the_request_else_the_callers() -> None:
    sink = Kept()
    log = AccessLog(sink)
    log(odd(principal=Principal("ada", tenant="acme")))
    log(odd(principal=Principal("ada", tenant="acme"), tenant="other"))
    log(odd(tenant="alone"))
    assert [line["tenant"] for line in sink.lines()] == ["acme", "other", "alone"]


def test_processors_run_in_order_and_may_drop() -> None:
    sink = Kept()
    log = AccessLog(sink, [lambda line: {**line, "path": "*"}, lambda line: None if line["status"] == 200 else line])
    log(exchange())
    assert sink.lines() == []


def test_a_processor_that_fails_loses_the_line_and_is_counted() -> None:
    sink = Kept()
    log = AccessLog(sink, [lambda line: line["absent"]])
    log(exchange())
    assert (sink.lines(), log.failures) == ([], 1)


@pytest.mark.parametrize(
    ("of_routes", "path"),
    [
        pytest.param({"-": [lambda line: {**line, "path": "route"}]}, "route", id="the route's own"),
        pytest.param({"-": []}, "/a", id="none, as the route says"),
        pytest.param({"other": []}, "every", id="those of every line, where nothing is said of the route"),
    ],
)
def test_a_routes_lines_go_through_its_own_processors(of_routes: Any, path: str) -> None:
    sink = Kept()
    AccessLog(sink, [lambda line: {**line, "path": "every"}], of_routes)(exchange())
    assert [line["path"] for line in sink.lines()] == [path]


@pytest.mark.parametrize("processors", [(), (lambda line: line,)], ids=["plain", "with processors"])
def test_a_line_is_no_longer_than_a_pipe_takes_in_one_piece(processors: Any) -> None:
    sink = Kept()
    log = AccessLog(sink, processors)
    log(odd(host="h" * 5000))
    made = exchange(path='/"' + "p" * 9000, agent='"' * 9000, principal='"' * 9000, error=True)
    made.request.host = "h" * 5000
    log(made)
    told = sink.lines()
    assert [line["host"] for line in told] == ["h" * 128] * 2
    assert max(map(len, sink.data.splitlines(keepends=True))) <= LONGEST


class Careful:
    """Masks the client, and what has an @; with a shorter way for lines where only the client changes."""

    def __init__(self) -> None:
        self.quickly = 0

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        return {key: "masked" if key == "client" or "@" in str(value) else value for key, value in line.items()}

    def quick(
        self, request_id: str, client: str, path: str, places: tuple[str, str], words: tuple[str, ...]
    ) -> str | None:
        if any("@" in each for each in (request_id, path, *places, *words)):
            return None
        self.quickly += 1
        return "masked" if client else client


@pytest.mark.parametrize(
    ("made", "quickly"),
    [
        pytest.param(exchange(), 1, id="plain"),
        pytest.param(exchange(principal="ada"), 1, id="a caller"),
        pytest.param(exchange(principal="ada@shop.example"), 0, id="a caller that is masked"),
        pytest.param(exchange("/a@b"), 0, id="a path that is masked"),
        pytest.param(exchange(agent="a@b"), 0, id="an agent that is masked"),
        pytest.param(exchange('/"'), 1, id="a path that needs escaping"),
        pytest.param(exchange(error=True), 0, id="a reason that needs escaping"),
        pytest.param(exchange("/" + "x" * 5000), 1, id="a long line"),
    ],
)
def test_a_processors_shorter_way_writes_what_its_long_one_does(made: Exchange, quickly: int) -> None:
    one, other, careful = Kept(), Kept(), Careful()
    AccessLog(one, [careful])(made)
    AccessLog(other, [careful.__call__])(made)
    (line,), (same,) = one.lines(), other.lines()
    assert {key: value for key, value in line.items() if key != "ts"} == {
        key: value for key, value in same.items() if key != "ts"
    }
    assert line["client"] == "masked"
    assert careful.quickly == quickly


def test_a_shorter_way_that_fails_loses_the_line() -> None:
    class Broken(Careful):
        def quick(self, *_: Any) -> str | None:
            raise ValueError

    sink = Kept()
    log = AccessLog(sink, [Broken()])
    log(exchange())
    assert (sink.lines(), log.failures) == ([], 1)


@pytest.mark.parametrize(
    "processors",
    [pytest.param((), id="as it is"), pytest.param((lambda line: {**line, "masked": True},), id="through a processor")],
)
def test_a_delivery_says_what_it_delivers_and_which_try_it_is(processors: Any) -> None:
    made = exchange()
    note_delivery(made.request, Delivery("0190-item", 3, "inbox/a/inbox"))
    sink = Kept()
    AccessLog(sink, processors)(made)
    (line,) = sink.lines()
    assert (line["delivery"], line["delivery_attempt"]) == ("0190-item", 3)
    assert ("masked" in line) == bool(processors)
