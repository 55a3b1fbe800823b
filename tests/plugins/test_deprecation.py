"""deprecation: what callers are told and when, what happens at the end, and who still calls."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.deprecation import Deprecation

# The clock of a test begins at 2027-01-15T08:00:00Z.
EXAMPLE = {"since": "2026-06-01"}
ENDING = {"since": "2026-06-01", "sunset": "2027-03-31", "links": {"successor-version": "https://api.test/v2"}}
ENDED = {"since": "2026-06-01", "sunset": "2027-01-15T08:00:00Z"}
DIM = {**EXAMPLE, "brownouts": [{"from": "2027-01-15T07:00:00Z", "until": "2027-01-15T08:10:00Z"}]}


@pytest.mark.parametrize(
    ("settings", "own", "said"),
    [
        pytest.param(EXAMPLE, {}, {"Deprecation": "@1780272000"}, id="a date in the past"),
        pytest.param({"since": "2030-01-01"}, {}, {"Deprecation": "@1893456000"}, id="a date in the future"),
        pytest.param(
            {"since": "2026-06-01T02:00:00+02:00"}, {}, {"Deprecation": "@1780272000"}, id="a time in another zone"
        ),
        pytest.param(
            ENDING,
            {},
            {
                "Deprecation": "@1780272000",
                "Sunset": "Wed, 31 Mar 2027 00:00:00 GMT",
                "Link": '<https://api.test/v2>; rel="successor-version"',
            },
            id="the end and what replaces it",
        ),
        pytest.param(EXAMPLE, {"Deprecation": "@1"}, {"Deprecation": "@1"}, id="what the service says stands"),
        pytest.param(
            {**EXAMPLE, "override": True}, {"Deprecation": "@1"}, {"Deprecation": "@1780272000"}, id="unless overridden"
        ),
    ],
)
async def test_what_is_said(settings, own, said):
    response = await exchange(Deprecation, settings, request(), answering(200, headers=own))
    assert response.status == 200
    assert {
        name: response.headers[name] for name in ("Deprecation", "Sunset", "Link") if name in response.headers
    } == said


async def test_links_stand_beside_the_services_own():
    target = answering(200, headers={"Link": '</next>; rel="next"'})
    response = await exchange(Deprecation, ENDING, request(), target)
    assert response.headers.getall("Link") == ['</next>; rel="next"', '<https://api.test/v2>; rel="successor-version"']


@pytest.mark.parametrize(
    ("settings", "mode", "status", "calls"),
    [
        pytest.param(ENDING, "enforce", 200, 1, id="before the end"),
        pytest.param(ENDED, "enforce", 410, 0, id="from the second of the end on"),
        pytest.param({**ENDED, "after_sunset": "serve"}, "enforce", 200, 1, id="served on"),
        pytest.param(ENDED, "shadow", 200, 1, id="in shadow"),
        pytest.param(DIM, "enforce", 503, 0, id="in a brownout"),
        pytest.param(DIM, "shadow", 200, 1, id="in a brownout's shadow"),
        pytest.param(
            {**EXAMPLE, "brownouts": [{"from": "2027-01-15T07:00:00Z", "until": "2027-01-15T08:00:00Z"}]},
            "enforce",
            200,
            1,
            id="after a brownout",
        ),
    ],
)
async def test_the_end(settings, mode, status, calls):
    target = answering(200)
    response = await exchange(Deprecation, settings, request(), target, mode=mode)
    assert (response.status, target.calls) == (status, calls)
    assert response.headers["Deprecation"] == "@1780272000"


async def test_it_ends_by_itself():
    async with opened(Deprecation, {**ENDED, "sunset": "2027-01-15T08:01:00Z"}) as live:
        assert (await live()).status == 200
        live.ports.clock.advance(60)
        response = await live()
        assert (response.status, response.error.code) == (410, "api_gone")
        assert response.headers["Sunset"] == "Fri, 15 Jan 2027 08:01:00 GMT"


async def test_a_brownout_says_when_to_come_back():
    response = await exchange(Deprecation, DIM)
    assert (response.error.code, response.headers["Retry-After"]) == ("api_brownout", "601")


async def test_who_still_calls():
    async with opened(Deprecation, {**EXAMPLE, "callers": 2}) as live:
        for who in ("ada", "bob", "eve", None, "ada"):
            await live(request(principal=who))
            live.ports.clock.advance(1)
        (view,) = live.plugin.admin()
        assert await view.answer({}) == [
            {"caller": "ada", "calls": 2, "last": "2027-01-15T08:00:04+00:00"},
            {"caller": "other", "calls": 2, "last": "2027-01-15T08:00:03+00:00"},
            {"caller": "bob", "calls": 1, "last": "2027-01-15T08:00:01+00:00"},
        ]
        family = next(
            each for each in live.ports.metrics.snapshot() if each["name"].endswith("deprecation_calls_total")
        )
        assert {labels[2]: count for labels, count in family["samples"]} == {"ada": 2, "bob": 1, "other": 2}


async def test_the_caller_is_known_although_authentication_stands_further_inside():
    async def authenticated(asked):
        asked.principal = request(principal="ada").principal
        return await answering(200)(asked)

    async with opened(Deprecation, EXAMPLE) as live:
        await live(request(), authenticated)
        assert (await live.plugin.admin()[0].answer({}))[0]["caller"] == "ada"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="no date"),
        pytest.param({"since": "2027"}, id="a year, which would be 34 minutes after 1970 began"),
        pytest.param({"since": 1780272000}, id="a number"),
        pytest.param({"since": "2026-06-01 10:00"}, id="a time without a zone"),
        pytest.param({"since": "soon"}, id="no date at all"),
        pytest.param({"since": "2026-06-01", "sunset": "2026-05-31"}, id="an end before the beginning"),
        pytest.param({**EXAMPLE, "links": {"next": "https://x.test"}}, id="a relation that says nothing of it"),
        pytest.param({**EXAMPLE, "links": {"sunset": "https://x.test>; rel=next"}}, id="a link that breaks out"),
        pytest.param({**EXAMPLE, "brownouts": [{"from": "2026-07-02", "until": "2026-07-01"}]}, id="a backward window"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Deprecation, settings)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_any_time_is_said_in_whole_seconds(moment):
    plugin_settings = settings_of(Deprecation, {"since": moment.isoformat()})
    assert int(plugin_settings.since.timestamp()) == int(moment.timestamp())
