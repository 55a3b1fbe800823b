"""What a worker tells of its plugins: those in force, each by its own words, a broken one by its error."""

from __future__ import annotations

from gateway.config import load_text
from gateway.reload import Succession
from gateway.runtime import Services
from gateway.supervisor.status import plugin_reports, upstream_states

TEXT = """
upstreams: {a: {targets: [http://127.0.0.1:1]}}
routes:
  - {name: r, match: {path: /}, upstream: a, plugins: [{plugin: size_limit, id: one}, {plugin: size_limit, id: two}]}
"""


async def test_states_and_reports() -> None:
    services = Services()
    succession = Succession(services, lambda _: None)
    await succession.prepare(load_text(TEXT, {}).config)
    succession.commit()
    runtime = succession.current
    assert runtime is not None
    one, two = (instance.plugin.context for instance in runtime.instances.values())
    one.report("state", lambda: {"open": 1})

    def broken() -> dict[str, int]:
        raise ValueError("secret words")

    two.report("state", broken)
    assert plugin_reports(runtime) == [
        {"route": "r", "plugin": "one", "name": "state", "open": 1},
        {"route": "r", "plugin": "two", "name": "state", "error": "ValueError"},
    ]
    assert upstream_states(runtime)["a"]["targets"][0]["target"] == "http://127.0.0.1:1"
    await succession.close()
    assert services.ports.reports == {}
    await services.close()
