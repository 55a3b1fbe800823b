from __future__ import annotations

import pytest


def rows(metrics, name):
    families = {family["name"]: family for family in metrics.snapshot()}
    return {tuple(values): value for values, value in families[name]["samples"]} if name in families else {}


async def test_gauges_show_what_is_open(service, upstream, way, get, metrics):
    target = await service()
    live = upstream(target.url, probe=False)
    assert rows(metrics, "upstream_target_healthy") == {}
    await live.open()
    await way(live)(get())
    key = ("svc", target.url)
    assert rows(metrics, "upstream_target_healthy") == {key: 1.0}
    assert rows(metrics, "upstream_attempts_in_flight") == {key: 0.0}
    assert rows(metrics, "upstream_latency_seconds")[key] > 0
    assert rows(metrics, "upstream_connections") == {(*key, "idle"): 1, (*key, "busy"): 0, (*key, "waiting"): 0}
    live.report(target.url, healthy=False)
    assert rows(metrics, "upstream_target_healthy") == {key: 0.0}
    await live.close()
    assert rows(metrics, "upstream_target_healthy") == {}


async def test_counters_outlive_a_reload_and_gauges_show_the_newer(service, upstream, way, get, metrics):
    target = await service()
    old = upstream(target.url)
    await old.open()
    await way(old)(get())
    new = upstream(target.url, "http://127.0.0.1:9")
    await new.open()
    await way(new)(get())
    await old.close()
    attempts = rows(metrics, "upstream_attempts_total")
    assert attempts[("svc", target.url, "ok")] == 2
    assert len(rows(metrics, "upstream_target_healthy")) == 2


async def test_counters_of_targets_that_are_gone_go(service, upstream, metrics):
    old = upstream("http://127.0.0.1:9", "http://127.0.0.1:10")
    await old.open()
    new = upstream("http://127.0.0.1:9")
    await new.open()
    await old.close()
    assert {values[1] for values in rows(metrics, "upstream_attempts_total")} == {"http://127.0.0.1:9"}
    await new.close()
    assert rows(metrics, "upstream_attempts_total") == {}


@pytest.mark.parametrize("count", [1500])
async def test_rows_are_bounded(upstream, metrics, count):
    live = upstream(*(f"http://127.0.{number // 250}.{number % 250 + 1}:9" for number in range(count)))
    await live.open()
    for name in ("upstream_target_healthy", "upstream_attempts_in_flight", "upstream_latency_seconds"):
        assert len(rows(metrics, name)) == 1000
    assert len(rows(metrics, "upstream_connections")) == 3000
    assert len(rows(metrics, "upstream_attempts_total")) <= 1001
