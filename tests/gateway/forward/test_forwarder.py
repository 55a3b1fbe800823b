from __future__ import annotations

import asyncio

import pytest

from gateway.chain import Link, compose
from gateway.errors import (
    CircuitOpen,
    ClientClosed,
    ConnectFailed,
    FirstByteTimeout,
    GatewayError,
    NoTarget,
    TotalTimeout,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Body, Exchange
from gateway.http.problem import Problems

FAST = {"base": "1ms", "max": "1ms"}


async def close(seen):
    seen.close()


async def reset(seen):
    seen.reset()


async def silent(_seen):
    await asyncio.sleep(60)


def status(code, headers=""):
    async def conduct(seen):
        await seen.answer(str(code).encode(), code, headers)

    return conduct


def in_turn(*conducts):
    """Each request, over all connections, gets the next of these; the last one stays."""
    left = list(conducts)

    async def conduct(seen):
        await (left.pop(0) if len(left) > 1 else left[0])(seen)

    return conduct


async def well(seen):
    await seen.answer()


async def text_of(response):
    whole = response.body.whole
    return whole if whole is not None else b"".join([chunk async for chunk in response.body])


def counted(metrics, name):
    """``{label values: value}`` of what is not 0."""
    families = {family["name"]: family for family in metrics.snapshot()}
    return {tuple(values): value for values, value in families[name]["samples"] if value}


# -- one attempt -----------------------------------------------------------------------------------------------------


async def test_the_short_way(service, upstream, way, get):
    target = await service()
    live = upstream(target.url)
    forward = way(live)
    for _ in range(3):  # the first one opens the connection that the others find
        request = get("/a")
        request.query = "b=c"
        response = await forward(request)
        assert (response.status, await text_of(response)) == (200, b"ok")
        assert (request.target, request.attempts) == (target.url, 1)
    assert [seen.line for seen in target.requests] == ["GET /a?b=c HTTP/1.1"] * 3
    assert target.connections == 1
    assert live.active == 0
    assert live.targets[0].ok.value == 3
    assert live.targets[0].latency > 0


@pytest.mark.parametrize(
    ("host", "sent"),
    [(None, "{target}"), ("target", "{target}"), ("preserve", "client.example"), ("api.internal", "api.internal")],
)
async def test_host(service, upstream, way, get, host, sent):
    target = await service()
    forward = way(upstream(target.url), host=host)
    for _ in range(2):
        await forward(get())
    expected = sent.replace("{target}", target.url.removeprefix("http://"))
    assert [seen.header("host") for seen in target.requests] == [expected] * 2


async def test_a_path_is_rewritten(service, upstream, way, get):
    target = await service()
    request = get("/a")
    request.path_params = {"id": "7"}
    await way(upstream(target.url), rewrite=lambda path, params: f"/v2{path}/{params['id']}")(request)
    assert target.requests[0].line == "GET /v2/a/7 HTTP/1.1"
    assert request.path == "/a"


async def test_what_is_under_way_is_counted_until_its_last_byte(service, upstream, way, get, until):
    async def conduct(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfir")
        await asyncio.sleep(0.02)
        await seen.send(b"st!")

    live = upstream((await service(conduct)).url)
    forward = way(live)
    for _ in range(2):
        response = await forward(get())
        assert live.active == 1
        assert await text_of(response) == b"first!"
        assert live.active == 0
    response = await forward(get())
    response.body.close()
    response.body.close()
    assert live.active == 0


async def test_a_tunnel_is_under_way_until_its_end(service, upstream, way, get):
    async def conduct(seen):
        await seen.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")

    live = upstream((await service(conduct)).url)
    request = get()
    request.upgrade = "websocket"
    response = await way(live)(request)
    assert response.tunnel is not None
    assert live.active == 1
    request.finish(None)
    assert live.active == 0
    response.tunnel.close()


async def test_a_client_that_leaves_is_held_against_no_target(service, upstream, way, get, until):
    target = await service(in_turn(well, silent))
    live = upstream(target.url, {"url": "http://127.0.0.1:9", "weight": 0})
    forward = way(live)
    await forward(get())
    for _ in range(2):  # once on the kept connection, once on a new one
        task = asyncio.ensure_future(forward(get()))
        before = len(target.requests)
        await until(lambda before=before: len(target.requests) > before)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    first = live.targets[0]
    assert (first.failures, first.tally.failed.value, first.tally.bad.value, live.active) == (0, 0, 0, 0)
    assert len(target.requests) == 3


async def test_a_clients_broken_body_is_held_against_no_target(service, upstream, way, get, stream):
    live = upstream((await service()).url)
    with pytest.raises(ClientClosed):
        await way(live)(get(method="POST", body=Body(None, stream(b"half", error=ClientClosed()), 9)))
    assert live.targets[0].failures == 0
    assert live.active == 0


# -- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "first", "outcome", "requests"),
    [
        pytest.param("GET", "refused", 200, 1, id="not connected: GET goes elsewhere"),
        pytest.param("POST", "refused", 200, 1, id="not connected: so does POST, as nothing was sent"),
        pytest.param("GET", close, 200, 1, id="closed before an answer: GET goes elsewhere"),
        pytest.param("DELETE", reset, 200, 1, id="reset before an answer: so does DELETE"),
        pytest.param("POST", close, UpstreamReset, 0, id="closed before an answer: POST was perhaps seen"),
        pytest.param("PATCH", reset, UpstreamReset, 0, id="reset before an answer: PATCH was perhaps seen"),
        pytest.param("GET", status(503), 200, 1, id="503: GET goes elsewhere"),
        pytest.param("POST", status(503), 503, 0, id="503: POST gets it"),
        pytest.param("GET", status(500), 500, 0, id="500 is not retried by default"),
        pytest.param("GET", status(404), 404, 0, id="404 is an answer"),
    ],
)
async def test_the_next_attempt(service, upstream, way, get, refused_url, method, first, outcome, requests):
    """The first target does as told; the second one, of the next level, is well."""
    url = refused_url if first == "refused" else (await service(first)).url
    second = await service()
    live = upstream(url, {"url": second.url, "priority": 1}, retry={"backoff": FAST})
    request = get(method=method, body=Body(b"x") if method in ("POST", "PATCH") else None)
    if isinstance(outcome, int):
        response = await way(live)(request)
        assert response.status == outcome
    else:
        with pytest.raises(outcome):
            await way(live)(request)
    assert len(second.requests) == requests
    assert request.attempts == 1 + requests
    assert request.target == (second.url if requests else url)
    assert live.active == 0


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(close, id="closed before an answer"),
        pytest.param(reset, id="reset before an answer"),
        pytest.param(status(503), id="503"),
    ],
)
async def test_a_post_that_the_target_knows_again_goes_elsewhere(service, upstream, way, get, first):
    second = await service()
    live = upstream((await service(first)).url, {"url": second.url, "priority": 1}, retry={"backoff": FAST})
    request = get(method="POST", body=Body(b"x"))
    request.repeatable = True
    assert (await way(live)(request)).status == 200
    assert (request.attempts, request.target) == (2, second.url)


@pytest.mark.parametrize("warm", [False, True], ids=["on a new connection", "on a kept connection"])
async def test_attempts_end(service, upstream, way, get, metrics, warm):
    target = await service(in_turn(well, status(503)) if warm else status(503))
    live = upstream(target.url, retry={"attempts": 3, "backoff": FAST})
    forward = way(live)
    if warm:
        await forward(get())
    request = get()
    response = await forward(request)
    assert (response.status, await text_of(response)) == (503, b"503")
    assert request.attempts == 3
    assert len(target.requests) == 3 + warm
    assert counted(metrics, "upstream_retry_skipped_total") == {("svc", "attempts"): 1}
    assert counted(metrics, "upstream_retries_total") == {("svc", target.url): 2}
    assert counted(metrics, "upstream_attempts_total")[("svc", target.url, "bad")] == 3


async def test_retry_off_means_one_attempt(service, upstream, way, get, metrics):
    target = await service(status(503))
    response = await way(upstream(target.url, retry="off"))(get())
    assert response.status == 503
    assert len(target.requests) == 1
    assert counted(metrics, "upstream_retry_skipped_total") == {}


async def test_targets_that_were_tried_come_last(service, upstream, way, get):
    targets = [await service(status(503)) for _ in range(4)]
    live = upstream(*(each.url for each in targets), retry={"attempts": 4, "backoff": FAST})
    for round_ in range(1, 3):
        await way(live)(get())
        assert [len(each.requests) for each in targets] == [round_] * 4


async def test_a_kept_connection_that_had_died_is_replaced_at_once(service, upstream, way, get, metrics):
    async def conduct(seen):
        if seen.number == 1:
            await seen.answer()
        else:
            seen.close()

    target = await service(conduct)
    live = upstream(target.url, retry="off")
    forward = way(live)
    await forward(get())
    request = get()
    assert (await forward(request)).status == 200
    assert request.attempts == 2
    assert target.connections == 2
    assert live.targets[0].failures == 0
    with pytest.raises(GatewayError) as ended:  # the target may have seen it, and POST is not the same twice
        await forward(get(method="POST"))
    assert ended.value.code == "connection_reset"


async def test_that_is_done_once(service, upstream, way, get):
    """A target that always closes gets the request twice, not for ever."""
    target = await service(in_turn(well, close))
    live = upstream(target.url, retry="off")
    forward = way(live)
    await forward(get())
    with pytest.raises(UpstreamReset):
        await forward(get())
    assert len(target.requests) == 3


@pytest.fixture
def waits(monkeypatch):
    """The waits between attempts, which are not waited."""
    noted = []
    real = asyncio.sleep

    async def sleep(seconds, *more):
        noted.append(seconds)
        await real(0)

    class Time:
        def __getattr__(self, name):
            return sleep if name == "sleep" else getattr(asyncio, name)

    monkeypatch.setattr("gateway.forward.forwarder.asyncio", Time())
    return noted


async def test_retry_after_is_obeyed_where_there_is_no_other_target(service, upstream, way, get, waits):
    target = await service(in_turn(status(503, "Retry-After: 7\r\n"), well))
    assert (await way(upstream(target.url))(get())).status == 200
    assert waits == [7.0]


async def test_retry_after_of_one_target_does_not_hold_up_another(service, upstream, way, get, waits):
    first, second = await service(status(503, "Retry-After: 7\r\n")), await service()
    response = await way(upstream(first.url, {"url": second.url, "priority": 1}))(get())
    assert response.status == 200
    assert max(waits) < 1


async def test_retry_after_beyond_the_total_time_is_passed_on(service, upstream, way, get, waits, metrics):
    target = await service(status(503, "Retry-After: 120\r\n"))
    response = await way(upstream(target.url))(get())
    assert response.status == 503
    assert (b"Retry-After", b"120") in response.fields
    assert waits == []
    assert counted(metrics, "upstream_retry_skipped_total") == {("svc", "time"): 1}


async def test_the_budget_bounds_retries(service, upstream, way, get, metrics):
    target = await service(status(503))
    live = upstream(target.url, retry={"backoff": FAST, "budget": "20%"}, health={"passive": "off"})
    forward = way(live)
    asked = [get() for _ in range(100)]
    for each in asked:
        await forward(each)
    skipped = counted(metrics, "upstream_retry_skipped_total")
    retried = counted(metrics, "upstream_retries_total")[("svc", target.url)]
    assert skipped[("svc", "budget")] + retried == 100
    assert 25 <= retried <= 40  # a fifth, ten in reserve, and what of these comes back meanwhile
    # Whoever answers in the target's place knows why.
    assert sum(each.gave_up == "budget" for each in asked) == skipped[("svc", "budget")]


async def test_nothing_is_retried_once_an_answer_was_given_up(service, upstream, way, get):
    async def cut(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(0.02)
        seen.close()

    target = await service(cut)
    live = upstream(target.url, retry={"attempts": 5, "backoff": FAST})
    response = await way(live)(get())
    with pytest.raises(TruncatedAnswer):
        await text_of(response)
    response.body.close()  # as whoever ends an exchange does
    assert len(target.requests) == 1
    assert live.active == 0


# -- bodies of requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "length", "first", "works"),
    [
        pytest.param("POST", 100_000, "refused", True, id="nothing was sent: any stream goes elsewhere"),
        pytest.param("PUT", 1000, close, True, id="a short one was held"),
        pytest.param("PUT", 100_000, close, False, id="a long one is gone"),
        pytest.param("POST", 1000, close, False, id="not idempotent"),
    ],
)
async def test_streamed_bodies(service, upstream, way, get, refused_url, stream, method, length, first, works):
    url = refused_url if first == "refused" else (await service(first)).url
    second = await service()
    live = upstream(url, {"url": second.url, "priority": 1}, retry={"backoff": FAST})
    body = Body(None, stream(b"x" * (length // 2), b"y" * (length - length // 2)), length)
    request = get(method=method, body=body)
    if works:
        assert (await way(live)(request)).status == 200
        assert second.requests[0].body == b"x" * (length // 2) + b"y" * (length - length // 2)
    else:
        with pytest.raises(UpstreamReset):
            await way(live)(request)
        assert second.requests == []


async def test_a_slow_upload_is_not_the_targets_time(service, upstream, way, get, stream):
    hold = asyncio.Event()
    target = await service()
    live = upstream(target.url, timeout={"total": "100ms", "first_byte": "100ms"})
    task = asyncio.ensure_future(way(live)(get(method="POST", body=Body(None, stream(b"abc", hold=hold), None))))
    await asyncio.sleep(0.3)
    hold.set()
    assert (await task).status == 200


# -- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True], ids=["on a new connection", "on a kept connection"])
@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        pytest.param({"first_byte": "50ms", "total": "10s"}, FirstByteTimeout, id="first_byte"),
        pytest.param({"first_byte": "10s", "total": "50ms"}, TotalTimeout, id="total"),
        pytest.param({"first_byte": "off", "total": "50ms"}, TotalTimeout, id="total alone"),
        pytest.param({"first_byte": "50ms", "total": "off"}, FirstByteTimeout, id="first_byte alone"),
    ],
)
async def test_a_silent_target_meets_a_deadline(service, upstream, way, get, until, warm, timeout, error):
    target = await service(in_turn(well, silent) if warm else silent)
    live = upstream(target.url, timeout=timeout)
    forward = way(live)
    if warm:
        await forward(get())
    with pytest.raises(error):
        await forward(get())
    assert live.targets[0].failures == 1
    assert live.active == 0
    await until(lambda: live.targets[0].pool.total == 0)


async def test_total_is_over_all_attempts(service, upstream, way, get):
    first, second = await service(silent), await service(silent)
    live = upstream(
        first.url,
        second.url,
        timeout={"first_byte": "150ms", "total": "200ms"},
        retry={"attempts": 9, "on": ["timeout"], "backoff": FAST},
    )
    request = get()
    with pytest.raises(TotalTimeout):
        await way(live)(request)
    assert request.attempts == 2
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_timeout_is_retried_only_where_that_is_asked_for(service, upstream, way, get):
    slow, fast = await service(silent), await service()
    targets = (slow.url, {"url": fast.url, "priority": 1})
    timeout = {"first_byte": "50ms"}
    with pytest.raises(FirstByteTimeout):
        await way(upstream(*targets, timeout=timeout))(get())
    assert (await way(upstream(*targets, timeout=timeout, retry={"on": ["timeout"]}))(get())).status == 200


async def test_no_deadline_at_all(service, upstream, way, get):
    target = await service()
    live = upstream(target.url, timeout={"first_byte": "off", "total": "off", "stream_idle": "off"})
    for _ in range(2):
        assert (await way(live)(get())).status == 200


# -- plugins around the attempt --------------------------------------------------------------------------------------


class Recorder:
    """Stands for a plugin of an attempt chain; enough of one for `compose`."""

    recovers = False

    def __init__(self, refuse=()):
        self.seen = []
        self.ended = []
        self.refuse = set(refuse)

    async def __call__(self, request, proceed):
        attempt = request.attempt
        self.seen.append((attempt.number, attempt.target, request.headers.get("X-Try")))
        request.edit_headers()["X-Try"] = str(attempt.number)
        request.when_done(lambda exchange: self.ended.append((attempt.number, exchange is not None)))
        if attempt.target in self.refuse:
            raise CircuitOpen
        return await proceed(request)

    def done(self, exchange):
        self.ended.append((exchange.request.attempt.number, exchange.status))

    def attempt(self):
        return lambda last: compose([Link(self)], last, Problems())


async def test_the_attempt_chain_runs_once_per_attempt_on_a_fork(service, upstream, way, get, refused_url):
    target = await service()
    recorder = Recorder()
    live = upstream(
        refused_url, {"url": target.url, "priority": 1}, attempt=recorder.attempt(), retry={"backoff": FAST}
    )
    request = get()
    response = await way(live)(request)
    assert response.status == 200
    assert recorder.seen == [(1, refused_url, None), (2, target.url, None)]
    assert target.requests[0].header("x-try") == "2"
    assert "X-Try" not in request.headers
    assert request.attempt is None
    assert (request.attempts, request.target) == (2, target.url)
    assert [number for number, _ in recorder.ended] == [1, 1], "the failed attempt is over at once"
    request.finish(Exchange(request, response, status=200, duration=0.1))
    assert sorted(number for number, _ in recorder.ended) == [1, 1, 2, 2], "the one that answered with the exchange"


@pytest.mark.parametrize("host", [None, "preserve", "api.test"], ids=["the target's", "the client's", "another"])
async def test_an_attempt_says_what_goes_on_the_wire_and_its_path_may_be_changed(service, upstream, get, host):
    target, found = await service(), []

    async def plugin(request, proceed):
        found.append((request.attempt.path, request.attempt.host))
        request.attempt.path += "&key=1"
        return await proceed(request)

    live = upstream(target.url, attempt=lambda last: lambda request: plugin(request, last))
    forward = live.forwarder(live.settings.timeout, rewrite=lambda path, _params: f"/v1{path}", host=host)
    await forward(get("/a%20b", query="c=d"))
    told = {None: target.url.removeprefix("http://"), "preserve": "client.example", "api.test": "api.test"}[host]
    assert found == [("/v1/a%20b?c=d", told)]
    assert (target.requests[0].line, target.requests[0].header("host")) == ("GET /v1/a%20b?c=d&key=1 HTTP/1.1", told)


async def test_a_breaker_that_refuses_sends_the_request_elsewhere(service, upstream, way, get):
    first, second = await service(), await service()
    recorder = Recorder(refuse=[first.url])
    live = upstream(first.url, {"url": second.url, "priority": 1}, attempt=recorder.attempt(), retry={"backoff": FAST})
    assert (await way(live)(get(method="POST"))).status == 200
    assert (len(first.requests), len(second.requests)) == (0, 1)
    assert live.targets[0].failures == 0


async def test_a_refusal_without_another_target_is_the_answer(service, upstream, way, get, metrics):
    target = await service()
    recorder = Recorder(refuse=[target.url])
    live = upstream(target.url, attempt=recorder.attempt())
    response = await way(live)(get())
    assert (response.status, response.error.code) == (503, "circuit_open")
    assert target.requests == []
    assert counted(metrics, "upstream_retry_skipped_total") == {("svc", "no_other_target"): 1}


async def test_a_held_body_is_whole_again_for_each_attempt(service, upstream, way, get):
    class Doubling:
        def feed(self, chunk):
            return chunk * 2

        def finish(self):
            return b""

    class Changing(Recorder):
        async def __call__(self, request, proceed):
            request.body.filter(Doubling())
            return await proceed(request)

    first, second = await service(close), await service()
    live = upstream(
        first.url, {"url": second.url, "priority": 1}, attempt=Changing().attempt(), retry={"backoff": FAST}
    )
    await way(live)(get(method="PUT", body=Body(b"ab")))
    assert (first.requests[0].body, second.requests[0].body) == (b"abab", b"abab")


async def test_no_target_at_all(upstream, way, get):
    live = upstream({"url": "http://127.0.0.1:9", "weight": 0})
    with pytest.raises(NoTarget):
        await way(live)(get())


async def test_one_target_that_refuses(upstream, way, get, refused_url):
    live = upstream(refused_url, retry={"backoff": FAST})
    with pytest.raises(ConnectFailed):
        await way(live)(get())
    assert live.targets[0].tally.failed.value == 2
