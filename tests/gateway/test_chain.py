"""What the chain promises its plugins: order, refusals as answers, recovery, the end, and no answer left open."""

import asyncio

import pytest

from gateway.chain import AnyOf, Disorder, Link, acts, compose, disorders
from gateway.errors import (
    CircuitOpen,
    Forbidden,
    NoTarget,
    StoreUnavailable,
    TooManyRequests,
    Unauthorized,
    UriTooLong,
)
from gateway.http import Body, Exchange, Principal, Response
from gateway.http.problem import Problems
from gateway.plugin import Authenticator, Context, Mode, Plugin, Settings, Stage
from gateway.testing import Chunks, answering, ports, read, request

RENDER = Problems()


def made(kind, name="plugin", mode=Mode.ENFORCE, given=None):
    return kind(Settings(), Context(given or ports(), route="test", plugin=name, id=name, mode=mode))


def chain(*plugins, last=None):
    links = [each if isinstance(each, Link) else Link(each) for each in plugins]
    return compose(links, last or answering(200), RENDER)


class Trace(Plugin[Settings]):
    """Notes its way down and up."""

    notes: list

    async def __call__(self, request, proceed):
        self.notes.append(f"{self.context.id} down")
        response = await proceed(request)
        self.notes.append(f"{self.context.id} up {response.status}")
        return response


class Dress(Plugin[Settings]):
    async def __call__(self, request, proceed):
        response = await proceed(request)
        response.edit_headers()["Dressed"] = "yes"
        return response


class Raise(Plugin[Settings]):
    error: BaseException = Forbidden()

    async def __call__(self, request, proceed):
        raise self.error


class RaiseAfter(Plugin[Settings]):
    error: BaseException = Forbidden()

    async def __call__(self, request, proceed):
        await proceed(request)
        raise self.error


class Recover(Plugin[Settings]):
    recovers = True

    async def __call__(self, request, proceed):
        try:
            return await proceed(request)
        except CircuitOpen:
            return Response(203)


class Noting(Plugin[Settings]):
    def __init__(self, settings, context):
        super().__init__(settings, context)
        self.ended = []

    def done(self, exchange):
        self.ended.append(exchange)


def raising(error, kind=Raise):
    plugin = made(kind, "raise")
    plugin.error = error
    return plugin


# -- order -------------------------------------------------------------------------------------------------------------


async def test_the_first_of_the_list_is_the_outermost():
    notes = []
    plugins = [made(Trace, name) for name in "abc"]
    for plugin in plugins:
        plugin.notes = notes
    assert (await chain(*plugins)(request())).status == 200
    assert notes == ["a down", "b down", "c down", "c up 200", "b up 200", "a up 200"]


async def test_an_empty_chain_is_what_stands_at_its_end():
    target = answering(201)
    assert (await chain(last=target)(request("POST", body="x"))).status == 201
    assert target.body == b"x"


async def test_when_is_asked_for_each_request():
    noting = made(Noting)
    live = chain(Link(noting, lambda asked: asked.method == "POST"))
    for method in ("GET", "POST"):
        asked = request(method)
        response = await live(asked)
        asked.finish(Exchange(asked, response, status=response.status, duration=0))
    assert [each.request.method for each in noting.ended] == ["POST"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [pytest.param(ZeroDivisionError(), 500, id="a bug"), pytest.param(UriTooLong(), 414, id="a refusal")],
)
async def test_a_condition_that_fails_is_an_answer_and_not_a_way_past_the_plugin(failure, status):
    def condition(asked):
        raise failure

    target = answering()
    live = chain(Link(made(Dress), condition), last=target)
    assert (await live(request())).status == status
    assert target.calls == 0


# -- rule 1: a refusal is an answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(Forbidden("No."), 403, "forbidden", id="a refusal"),
        pytest.param(NoTarget(), 503, "no_target", id="a failure of the forwarder"),
        pytest.param(ZeroDivisionError(), 500, "internal_error", id="a bug"),
    ],
)
@pytest.mark.parametrize("where", ["plugin", "end", "after"])
async def test_what_fails_is_an_answer_to_the_layers_outside(error, status, code, where):
    if where == "plugin":
        live = chain(made(Dress), raising(error))
    elif where == "after":
        live = chain(made(Dress), raising(error, RaiseAfter))
    else:
        live = chain(made(Dress), last=_raise(error))
    response = await live(request())
    assert response.status == status
    assert response.error.code == code
    assert response.headers["Dressed"] == "yes"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (b"ZeroDivision" in await read(response)) is False


def _raise(error):
    async def last(request):
        raise error

    return last


async def test_a_bug_is_logged_with_its_traceback_and_its_exchange(caplog):
    await chain(raising(ZeroDivisionError("x")))(request(id="id-9"))
    assert "id-9" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_plugin_that_forgets_to_return_is_named(caplog):
    class Forgetful(Plugin[Settings]):
        async def __call__(self, request, proceed):
            await proceed(request)

    target = answering(200, chunks=[b"a"])
    response = await chain(made(Dress), made(Forgetful), last=target)(request())
    assert (response.status, response.headers["Dressed"]) == (500, "yes")
    assert "Forgetful returned None" in caplog.text
    assert target.sources[0].closed


async def test_cancellation_passes_through():
    with pytest.raises(asyncio.CancelledError):
        await chain(made(Dress), made(Recover), raising(asyncio.CancelledError()))(request())


# -- recovery ----------------------------------------------------------------------------------------------------------


async def test_errors_from_inside_are_raised_only_for_those_that_recover():
    target = answering(error=CircuitOpen())
    assert (await chain(made(Recover), last=target)(request())).status == 203
    assert (await chain(made(Dress), last=target)(request())).status == 503


async def test_one_that_recovers_sees_through_plugins_between():
    assert (await chain(made(Recover), made(Dress), last=answering(error=CircuitOpen()))(request())).status == 203


async def test_what_is_not_recovered_goes_on_as_an_answer():
    response = await chain(made(Dress), made(Recover), last=answering(error=TooManyRequests()))(request())
    assert (response.status, response.error.code, response.headers["Dressed"]) == (429, "rate_limited", "yes")


async def test_a_proxied_error_is_no_error_of_ours():
    """A 503 that the target wrote is an answer; only what failed on our side is raised."""
    response = await chain(made(Recover), last=answering(503, body="theirs"))(request())
    assert (response.status, response.error, await read(response)) == (503, None, b"theirs")


# -- no answer is left open --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Forbidden(), ZeroDivisionError(), asyncio.CancelledError()], ids=["refusal", "bug", "cancelled"]
)
async def test_a_failure_after_the_answer_came_up_closes_its_body(error):
    target = answering(200, chunks=[b"a", b"b"])
    live = chain(made(Dress), raising(error, RaiseAfter), made(Dress), last=target)
    if isinstance(error, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await live(request())
    else:
        await live(request())
    assert target.sources[0].closed


async def test_an_answer_that_a_plugin_made_is_closed_too():
    source = Chunks([b"a"])

    class Own(Plugin[Settings]):
        async def __call__(self, request, proceed):
            return Response(200, body=Body(None, source))

    await chain(raising(Forbidden(), RaiseAfter), made(Own))(request())
    assert source.closed


async def test_a_good_answer_is_not_closed():
    target = answering(200, chunks=[b"a", b"b"])
    response = await chain(made(Dress), made(Recover), last=target)(request())
    assert not target.sources[0].closed
    assert await read(response) == b"ab"


async def test_proceed_twice_with_a_stream_is_an_error_and_with_held_bytes_is_not():
    class Twice(Plugin[Settings]):
        async def __call__(self, request, proceed):
            (await proceed(request)).body.close()
            return await proceed(request)

    target = answering(200)
    assert (await chain(made(Twice), last=target)(request("POST", body="x"))).status == 200
    assert target.bodies == [b"x", b"x"]

    async def streaming(asked):
        return Response(200, body=b"".join([chunk async for chunk in asked.body]))

    response = await chain(made(Twice), last=streaming)(request("POST", chunks=[b"x"]))
    assert (response.status, response.error.code) == (500, "internal_error")


# -- done --------------------------------------------------------------------------------------------------------------


async def test_done_is_registered_for_each_plugin_that_was_entered():
    outer, inner = made(Noting), made(Noting)
    asked = request()
    response = await chain(outer, raising(Forbidden()), inner)(asked)
    assert outer.ended == []
    asked.finish(Exchange(asked, response, status=403, duration=0))
    assert [each.status for each in outer.ended] == [403]
    assert inner.ended == []


async def test_a_plugin_without_done_costs_no_callback():
    asked = request()
    await chain(made(Dress), made(Dress))(asked)
    assert asked._done is None


# -- any ---------------------------------------------------------------------------------------------------------------


class Knows(Authenticator[Settings]):
    found: object = None

    async def authenticate(self, request):
        self.asked = True
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def challenge(self):
        return f"{self.context.id} realm"


def any_of(*found, mode=Mode.ENFORCE, given=None):
    members = []
    for number, each in enumerate(found):
        member = made(Knows, f"Scheme{number % 2}")
        member.found = each
        members.append(member)
    given = given or ports()
    plugin = AnyOf(members, Context(given, route="test", plugin="any", id="any", mode=mode))
    return plugin, members


class Cleansing(Knows):
    def cleanse(self, request):
        request.edit_headers().popall("X-User", None)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "in any"])
async def test_what_a_when_lets_past_an_authenticator_is_cleansed_all_the_same(together):
    plugin = made(Cleansing, "own")
    if together:
        plugin = AnyOf([made(Knows, "other"), plugin], Context(ports(), route="test", plugin="any", id="any"))
    target = answering()
    handler = compose([Link(plugin, lambda request: request.path != "/public")], target, Problems())
    assert (await handler(request("GET", "/public", headers={"X-User": "root"}))).status == 200
    assert "X-User" not in target.request.headers
    assert target.request.principal is None
    assert (await handler(request("GET", "/", headers={"X-User": "root"}))).status == 401
    assert not made(Knows, "plain").cleanses


class Renewing(Knows):
    def dress(self, request, response):
        response.edit_headers().add("Set-Cookie", self.context.id)


async def test_members_dress_the_answer_whoever_knew_the_caller():
    members = [made(Knows, "First"), made(Renewing, "Second"), made(Renewing, "Third")]
    members[0].found = Principal("a")
    plugin = AnyOf(members, Context(ports(), route="test", plugin="any", id="any"))
    response = await chain(plugin)(request())
    assert response.headers.getall("Set-Cookie") == ["Second", "Third"]
    assert plugin.dresses
    assert not AnyOf(members[:1], Context(ports(), route="test", plugin="any", id="any")).dresses


async def test_what_an_authenticator_let_in_is_dressed_and_its_refusals_are_not():
    alone = made(Renewing, "own")
    assert (await chain(alone)(request())).headers.getall("Set-Cookie", []) == []
    alone.found = Principal("a")
    assert (await chain(alone)(request())).headers.getall("Set-Cookie") == ["own"]


BAD = Unauthorized("expired", headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'), ("X-Why", "1")))


@pytest.mark.parametrize(
    ("found", "principal"),
    [
        pytest.param((Principal("a"), Principal("b")), "a", id="the first that knows"),
        pytest.param((None, Principal("b")), "b", id="the second"),
        pytest.param((BAD, Principal("b")), "b", id="bad credentials of one kind do not spoil another's"),
        pytest.param((StoreUnavailable(), Principal("b")), "b", id="one that cannot tell"),
    ],
)
async def test_the_first_that_knows_the_caller_decides(found, principal):
    plugin, members = any_of(*found)
    target = answering()
    assert (await chain(plugin, last=target)(request())).status == 200
    assert target.request.principal.id == principal
    if principal == "a":
        assert not hasattr(members[1], "asked")


@pytest.mark.parametrize(
    ("found", "status", "challenge"),
    [
        pytest.param((None, None), 401, "Scheme0 realm, Scheme1 realm", id="no credentials"),
        pytest.param((BAD, None), 401, "Scheme0 realm, Scheme1 realm", id="bad ones: the challenges of all"),
        pytest.param((None, BAD, None), 401, "Scheme0 realm, Scheme1 realm", id="each challenge once"),
        pytest.param((StoreUnavailable(), BAD), 503, None, id="the first error decides"),
        pytest.param((Forbidden(), BAD), 403, None, id="known and not allowed"),
        pytest.param((ZeroDivisionError(), Principal("b")), 500, None, id="a bug lets nobody in"),
    ],
)
async def test_when_nobody_knows_the_caller(found, status, challenge):
    plugin, _ = any_of(*found)
    target = answering()
    response = await chain(plugin, last=target)(request())
    assert (response.status, target.calls) == (status, 0)
    assert response.headers.getall("WWW-Authenticate", [None]) == [challenge]


async def test_the_same_error_twice_does_not_gather_challenges():
    plugin, _ = any_of(BAD)
    live = chain(plugin)
    for _ in range(3):
        response = await live(request())
        assert response.headers.getall("WWW-Authenticate") == ["Scheme0 realm"]
        assert response.headers["X-Why"] == "1"


async def test_any_in_shadow_lets_pass_and_still_sets_the_principal():
    given = ports()
    plugin, members = any_of(BAD, None, mode=Mode.SHADOW, given=given)
    target = answering()
    assert (await chain(plugin, last=target)(request())).status == 200
    assert target.request.principal is None
    assert given.would_refuse == ["unauthorized"]
    members[1].found = Principal("b")
    await chain(plugin, last=target)(request())
    assert target.request.principal.id == "b"


# -- order: laws and advice --------------------------------------------------------------------------------------------


def staged(stage, **more):
    return type("Staged", (Plugin,), {"stage": stage, **more})


@pytest.mark.parametrize(
    ("plugins", "found"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [("headers", staged(Stage.DRESS)), ("jwt", staged(Stage.AUTHENTICATE)), ("cache", staged(Stage.CACHE))],
            [],
            id="as advised",
        ),
        pytest.param(
            [("cache", staged(Stage.CACHE)), ("jwt", staged(Stage.AUTHENTICATE))],
            [(1, False, "jwt (authenticate) stands inside cache (cache)")],
            id="authentication inside a cache",
        ),
        pytest.param(
            [("cache", staged(Stage.CACHE)), ("x", staged(Stage.ANYWHERE)), ("jwt", staged(Stage.LIMIT))],
            [(2, False, "inside cache")],
            id="what may stand anywhere hides nothing",
        ),
        pytest.param(
            [("respond", staged(Stage.SHAPE, ends=True)), ("a", staged(Stage.ANYWHERE)), ("b", staged(Stage.ANYWHERE))],
            [(0, True, "can never run: a, b")],
            id="after one that answers by itself",
        ),
        pytest.param([("respond", staged(Stage.SHAPE, ends=True))], [], id="one that answers by itself, last"),
        pytest.param(
            [("inbox", staged(Stage.RECOVER, defers=True)), ("headers", staged(Stage.DRESS))],
            [],
            id="what runs later is a list of its own",
        ),
        pytest.param(
            [("inbox", staged(Stage.RECOVER, defers=True)), ("jwt", staged(Stage.AUTHENTICATE))],
            [(1, False, "jwt (authenticate) stands inside inbox, which has answered before it runs")],
            id="authentication after the answer",
        ),
    ],
)
def test_disorders(plugins, found):
    told = disorders(plugins)
    assert [(each.index, each.fatal) for each in told] == [(index, fatal) for index, fatal, _ in found]
    for each, (_, _, words) in zip(told, found, strict=True):
        assert isinstance(each, Disorder)
        assert words in each.message


class Replace(Plugin[Settings]):
    """Answers with another response, and forgets the body of the one it was given."""

    body: object = b""

    async def __call__(self, request, proceed):
        await proceed(request)
        return Response(200, body=self.body)


class Twice(Plugin[Settings]):
    async def __call__(self, request, proceed):
        await proceed(request)
        return await proceed(request)


def streaming(*sources):
    left = list(sources)

    async def last(request):
        return Response(200, body=Body(None, left.pop(0)))

    return last


def end(asked, response):
    asked.finish(Exchange(asked, response, status=200, duration=0.0))


async def test_a_forgotten_body_is_closed_at_once_where_the_new_one_is_whole():
    inner = Chunks([b"a", b"b"])
    await chain(made(Replace), last=streaming(inner))(request())
    assert inner.closed


async def test_a_forgotten_body_is_closed_at_the_end_where_the_new_one_may_be_made_of_it():
    inner, asked = Chunks([b"a", b"b"]), request()

    class Wrapped:
        trailers = None

        async def read(self):
            return (await inner.read()).upper()

        def close(self):
            pass

    plugin = made(Replace)
    plugin.body = Body(None, Wrapped())
    response = await chain(plugin, last=streaming(inner))(asked)
    assert await response.body.pull() == b"A"
    assert not inner.closed
    response.body.close()
    end(asked, response)
    assert inner.closed


async def test_of_two_answers_the_first_is_not_left_open():
    first, second, asked = Chunks([b"a"]), Chunks([b"b"]), request()
    response = await chain(made(Twice), last=streaming(first, second))(asked)
    assert await read(response) == b"b"
    assert not first.closed
    end(asked, response)
    assert first.closed


async def test_a_body_that_went_into_the_new_answer_stays_open():
    inner, asked = Chunks([b"a"]), request()

    class Keep(Plugin[Settings]):
        async def __call__(self, request, proceed):
            return Response(203, body=(await proceed(request)).body)

    response = await chain(made(Keep), last=streaming(inner))(asked)
    assert not inner.closed
    assert await read(response) == b"a"


class Inert(Plugin[Settings]):
    """Brings something, and does nothing to requests."""


class Watching(Plugin[Settings]):
    def done(self, exchange):
        exchange.request.extras["seen"] = True


def test_what_does_nothing_to_an_exchange_has_no_place_in_a_chain():
    assert not acts(Inert)
    assert acts(Watching)
    assert acts(Trace)
