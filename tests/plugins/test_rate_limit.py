"""rate_limit: who gets through, what they are told, and what is counted."""

import json

import pytest

from gateway.errors import TooManyRequests
from gateway.http import Principal
from gateway.http.problem import Problems
from gateway.services.store import MemoryStore
from gateway.testing import answering, exchange, opened, ports, request
from plugins.rate_limit import RateLimit

EXAMPLE = {"limits": [{"rate": 2, "period": "60s"}]}
ONE = {"limits": [{"rate": 1, "period": "60s"}]}
MISSION = {"key": "principal", "limits": [{"rate": 100, "period": "60s", "burst": 200, "algorithm": "gcra"}]}


def ann(**kwargs):
    return request(principal=Principal("ann", **kwargs))


async def statuses(limiter, *asked):
    return [(await limiter(each)).status for each in asked]


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "fixed_window"])
async def test_exactly_the_limit(algorithm):
    settings = {"limits": [{"rate": 10, "period": "60s", "algorithm": algorithm}]}
    target = answering()
    async with opened(RateLimit, settings) as limiter:
        for _ in range(25):
            await limiter(request(), target)
        assert target.calls == 10
        limiter.ports.clock.advance(120)
        assert (await limiter(request(), target)).status == 200


async def test_a_hundred_a_minute_with_a_burst_of_two_hundred():
    async with opened(RateLimit, MISSION) as limiter:
        assert await statuses(limiter, *[ann()] * 201) == [200] * 200 + [429]
        limiter.ports.clock.advance(60)
        assert await statuses(limiter, *[ann()] * 101) == [200] * 100 + [429]


async def test_what_a_refusal_says():
    async with opened(RateLimit, ONE) as limiter:
        first, second = await limiter(), await limiter()
    assert dict(first.headers)["RateLimit"] == '"1-per-1m";r=0;t=60'
    assert dict(first.headers)["RateLimit-Policy"] == '"1-per-1m";q=1;w=60'
    assert (second.status, second.error.code, second.headers["Retry-After"]) == (429, "rate_limited", "60")
    assert second.headers["RateLimit"] == '"1-per-1m";r=0;t=60'
    said = json.loads(Problems()(second.error, request()).body.whole)
    assert said["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (said["status"], said["violated-policies"]) == (429, ["1-per-1m"])


async def test_headers_off_leaves_answers_as_they_are():
    async with opened(RateLimit, {**ONE, "headers": False}) as limiter:
        first, second = await limiter(), await limiter()
    assert not any(name.startswith("RateLimit") for name in [*first.headers, *second.headers])
    assert second.headers["Retry-After"] == "60"


@pytest.mark.parametrize(
    ("settings", "asked", "passes"),
    [
        pytest.param({}, [request(client_ip="192.0.2.1"), request(client_ip="192.0.2.2")], [1, 1], id="two clients"),
        pytest.param(
            {}, [request(client_ip="2001:db8::1"), request(client_ip="2001:db8::2")], [1, 0], id="one IPv6 household"
        ),
        pytest.param(
            {"ipv6_prefix": 128},
            [request(client_ip="2001:db8::1"), request(client_ip="2001:db8::2")],
            [1, 1],
            id="/128",
        ),
        pytest.param({"key": "principal"}, [ann(), request(principal="bob"), ann()], [1, 1, 0], id="by principal"),
        pytest.param({"key": "principal"}, [request(), request()], [1, 0], id="no principal: by address"),
        pytest.param(
            {"key": "principal"},
            [request(), request(principal="192.0.2.1")],
            [1, 1],
            id="who is called like an address has a count of its own",
        ),
        pytest.param({"key": "principal", "on_missing_key": "skip"}, [request()] * 3, [1, 1, 1], id="skipped"),
        pytest.param({"exempt": {"clients": ["192.0.2.0/24"]}}, [request()] * 3, [1, 1, 1], id="exempt network"),
        pytest.param({"exempt": {"principals": ["ann"]}}, [ann(), ann(), request()], [1, 1, 1], id="exempt principal"),
        pytest.param({"exempt": {"principals": ["bob"]}}, [ann(), ann()], [1, 0], id="not exempt"),
        pytest.param({"cost": 0}, [request()] * 3, [1, 1, 1], id="free"),
        pytest.param(
            {"cost": {"OPTIONS": 0}}, [request("OPTIONS"), request(), request("OPTIONS")], [1, 1, 1], id="a free method"
        ),
        pytest.param({}, [request(client_ip=""), request(client_ip="")], [1, 0], id="no address: together"),
    ],
)
async def test_who_gets_through(settings, asked, passes):
    async with opened(RateLimit, {**ONE, **settings}) as limiter:
        assert await statuses(limiter, *asked) == [200 if passed else 429 for passed in passes]


async def test_deny_what_cannot_be_counted():
    response = await exchange(RateLimit, {**ONE, "key": "header:X", "on_missing_key": "deny"})
    assert (response.status, response.error.code) == (403, "forbidden")


async def test_costs():
    settings = {"limits": [{"rate": 10, "period": "60s"}], "cost": {"POST": 4, "default": 1}}
    async with opened(RateLimit, settings) as limiter:
        asked = [request("POST"), request("POST"), request("POST"), request(), request(), request()]
        assert await statuses(limiter, *asked) == [200, 200, 429, 200, 200, 429]


async def test_plans_by_rate_class():
    settings = {
        "key": "principal",
        "plans": {"gold": [{"rate": 3, "period": "60s"}], "free": [], "default": [{"rate": 1, "period": "60s"}]},
    }
    async with opened(RateLimit, settings) as limiter:
        for name, rate_class, passes in [("a", "gold", 3), ("b", None, 1), ("c", "odd", 1), ("d", "free", 5)]:
            asked = [request(principal=Principal(name, rate_class=rate_class)) for _ in range(5)]
            assert await statuses(limiter, *asked) == [200] * passes + [429] * (5 - passes)


async def test_several_limits_at_once():
    settings = {"limits": [{"rate": 5, "period": "1s"}, {"rate": 7, "period": "1h", "algorithm": "fixed_window"}]}
    async with opened(RateLimit, settings) as limiter:
        assert await statuses(limiter, *[request()] * 6) == [200] * 5 + [429]
        limiter.ports.clock.advance(1)
        assert await statuses(limiter, *[request()] * 3) == [200, 200, 429]
        last = await limiter()
        assert last.error.extensions["violated-policies"] == ["7-per-1h"]


async def test_shadow_lets_pass_and_counts_and_tells_clients_nothing():
    async with opened(RateLimit, ONE, mode="shadow") as limiter:
        answers = [await limiter() for _ in range(3)]
        assert [each.status for each in answers] == [200] * 3
        assert not any(name.startswith("RateLimit") for each in answers for name in each.headers)
        assert limiter.ports.would_refuse == ["rate_limited"] * 2
        labels = ("test", "rate_limit", "client_ip", "1-per-1m", "shadow")
        assert limiter.ports.value("rate_limit_violations_total", *labels) == 2


async def test_violations_are_counted_each_and_logged_once_a_window():
    async with opened(RateLimit, ONE) as limiter:
        for _ in range(5):
            await limiter()
        labels = ("test", "rate_limit", "client_ip", "1-per-1m", "enforce")
        assert limiter.ports.value("rate_limit_violations_total", *labels) == 4
        limiter.ports.clock.advance(60)
        for _ in range(2):
            await limiter()
        lines = [line for line in limiter.ports.lines if "abuse" in line]
    begin = "warning gateway.plugins.rate_limit: abuse on test: client_ip 192.0.2.1 is over 1-per-1m; "
    assert lines == [begin + "1 refused since the last such line", begin + "4 refused since the last such line"]


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        pytest.param("header:X-Key", request(headers={"X-Key": "hunter2"}), id="header"),
        pytest.param("api_key", request(principal="hunter2"), id="API key"),
        pytest.param("{header.X-Key}", request(headers={"X-Key": "hunter2"}), id="template"),
    ],
)
async def test_what_may_be_a_secret_is_not_logged(key, asked):
    async with opened(RateLimit, {**ONE, "key": key}) as limiter:
        await statuses(limiter, asked, asked)
        record = next(each for each in limiter.ports.records if "abuse" in each.getMessage())
    assert "hunter2" not in f"{record.getMessage()} {vars(record)}"
    assert record.subject.startswith("#")


async def test_a_key_cannot_forge_a_log_line():
    async with opened(RateLimit, {**ONE, "key": "principal"}) as limiter:
        await statuses(limiter, *[request(principal="a\nerror forged")] * 2)
        assert all("\n" not in line for line in limiter.ports.lines)


@pytest.mark.parametrize(
    ("used", "ends"), [pytest.param(0, StopIteration, id="let through"), pytest.param(1, TooManyRequests, id="refused")]
)
async def test_with_memory_nothing_suspends(used, ends):
    """A coroutine that never really waits ends at its first step."""
    async with opened(RateLimit, ONE) as limiter:
        await statuses(limiter, *[request()] * used)
        running = limiter.plugin(request(), answering())
        with pytest.raises(ends):
            running.send(None)


async def test_workers_in_memory_share_the_limit_and_say_it_is_approximate():
    given = ports(store=MemoryStore(share=0.5), workers=2)
    async with opened(RateLimit, {"limits": [{"rate": 10, "period": "1h"}]}, ports=given) as limiter:
        assert (await statuses(limiter, *[request()] * 8)).count(200) == 5
        assert given.value("rate_limit_approximate", "test", "rate_limit") == 1


async def test_two_instances_on_one_route_count_apart():
    given = ports()
    for name in ("outer", "inner"):
        async with opened(RateLimit, ONE, ports=given, id=name) as limiter:
            assert (await limiter()).status == 200


async def test_a_changed_limit_keeps_its_count():
    given = ports()
    for rate, passes in [(3, 3), (5, 2), (5, 0)]:
        async with opened(RateLimit, {"limits": [{"rate": rate, "period": "60s"}]}, ports=given) as limiter:
            assert (await statuses(limiter, *[request()] * 6)).count(200) == passes
