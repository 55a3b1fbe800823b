"""A real Prometheus scrapes a real gateway, takes the rules, and has an answer to what the dashboard asks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAIN = {"Accept-Encoding": "identity"}
CONFIG = Path(__file__).resolve().parents[2] / "config"

ASKED = [
    pytest.param("sum(rate(sidegate_requests_total[1m])) > 0", id="requests"),
    pytest.param('route:sidegate_requests:rate5m{route="all"} > 0', id="a recorded rate"),
    pytest.param('route:sidegate_errors:ratio_rate5m{route="all"} > 0.4', id="a recorded ratio of errors"),
    pytest.param("route:sidegate_request_duration_seconds:p99_5m > 0", id="a recorded percentile"),
    pytest.param("upstream:sidegate_upstream_attempt_duration_seconds:p99_5m > 0", id="an upstream's percentile"),
    pytest.param('sidegate_upstream_target_healthy{upstream="service"} == 1', id="a target's health"),
    pytest.param("sum(sidegate_event_loop_lag_seconds_count) > 0", id="the loop's lag"),
    pytest.param("sidegate_workers_ready == sidegate_workers", id="workers"),
    pytest.param('sidegate_build_info{version!=""} == 1', id="the build"),
    pytest.param("sidegate_process_open_fds < sidegate_process_max_fds", id="descriptors"),
]


@pytest.fixture(scope="module")
def binary() -> str:
    found = shutil.which("prometheus")
    if found is None:
        if os.environ.get("SIDEGATE_TEST_PROMTOOL") == "required":
            pytest.fail("prometheus is required here (Debian: apt-get install prometheus)")
        pytest.skip("there is no prometheus (Debian: apt-get install prometheus)")
    return found


class Prometheus:
    """One that asks a gateway every quarter of a second."""

    def __init__(self, binary: str, folder: Path, port: int, admin: str) -> None:
        for name in ("recording.yaml", "alerts.yaml"):
            shutil.copy(CONFIG / "prometheus" / name, folder)
        made: dict[str, Any] = yaml.safe_load((CONFIG / "prometheus" / "prometheus.yaml").read_text())
        made["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
        (job,) = made["scrape_configs"]
        del job["authorization"]
        job["static_configs"] = [{"targets": [admin.removeprefix("http://")]}]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(made))
        for name in ("recording.yaml",):  # a group has an interval of its own only if it says so
            assert "interval:" not in (folder / name).read_text()
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def prometheus(binary: str, tmp_path: Path, unused_tcp_port: int) -> Iterator[Any]:
    started: list[Prometheus] = []

    def start(admin: str) -> Prometheus:
        folder = tmp_path / "prometheus"
        folder.mkdir()
        started.append(Prometheus(binary, folder, unused_tcp_port, admin))
        return started[-1]

    yield start
    for each in started:
        each.close()


async def test_it_takes_the_rules_and_answers_what_the_dashboard_asks(
    gateway: Any, behind: Any, httpbin_url: str, session: Any, until: Any, prometheus: Any
) -> None:
    process = gateway(behind(httpbin_url))
    watching = prometheus(process.admin)

    async def ask(what: str, **parameters: str) -> Any:
        try:
            async with session.get(f"{watching.url}/{what}", params=parameters, headers=PLAIN) as answer:
                return json.loads(await answer.read())["data"] if answer.status == 200 else None
        except OSError:
            return None

    async def query(expression: str) -> list[Any]:
        return (await ask("query", query=expression) or {}).get("result", [])

    async def traffic() -> None:
        for path in ("/get", "/status/500"):
            async with session.get(process.url + path) as answer:
                await answer.read()

    async def holds(expression: str) -> bool:
        await traffic()
        return bool(await query(expression))

    for row in ASKED:
        (expression,) = row.values
        await until(lambda expression=expression: holds(expression))
    groups = (await ask("rules"))["groups"]
    unwell = [
        (rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule["health"] != "ok"
    ]
    assert len(groups) >= 6
    assert not unwell
    made = json.loads((CONFIG / "grafana" / "sidegate.json").read_text())
    for panel in made["panels"]:
        for asked in panel.get("targets", ()):
            filled = asked["expr"].replace("$job", ".*").replace("$route", ".*")
            assert await ask("query", query=filled) is not None, panel["title"]
