"""The compose file: what it mounts is there, what it starts can start, and nothing is open to other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.load import load
from gateway.runtime.review import findings

FOLDER = Path(__file__).resolve().parents[2] / "config" / "compose"
MADE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = MADE["services"]


def test_what_it_brings_up() -> None:
    assert {"gateway", "demo", "redis", "prometheus", "grafana"} == set(SERVICES)


def test_its_gateway_takes_its_configuration() -> None:
    environ = {"SIDEGATE_ADMIN_TOKEN": "x" * 48, "REDIS_URL": SERVICES["gateway"]["environment"]["REDIS_URL"]}
    loaded = load([FOLDER / "gateway.yaml"], environ, review=findings)
    assert not loaded.problems
    (upstream,) = loaded.config.upstreams.values()
    assert [target.url for target in upstream.targets] == ["http://demo:9000"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).exists(), volume
            assert volume.endswith(":ro"), "what is in the tree is not written"
        else:
            assert source in MADE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_this_machines_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_images_have_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert "build" in SERVICES[name] or (":" in image and not image.endswith(":latest"))


def test_prometheus_asks_the_gateway_with_its_token() -> None:
    made = yaml.safe_load((FOLDER.parent / "prometheus" / "prometheus.yaml").read_text())
    (job,) = made["scrape_configs"]
    (secret,) = SERVICES["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert MADE["secrets"][secret] == {"environment": "SIDEGATE_ADMIN_TOKEN"}
    assert job["static_configs"] == [{"targets": ["gateway:9901"]}]
    assert all((FOLDER.parent / "prometheus" / file).exists() for file in made["rule_files"])


def test_grafana_finds_its_source_and_the_dashboard() -> None:
    provisioning = FOLDER.parent / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "sidegate.yaml").read_text())["providers"]
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    assert any(target.startswith(provider["options"]["path"]) for target in mounted)
