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
    given = SERVICES["gateway"]["environment"]
    environ = {name: "x" * 48 if value.startswith("${") else value for name, value in given.items()}
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


def test_what_the_gateway_writes_lies_in_its_volume() -> None:
    """Its root is read-only, and the image makes that folder its user's."""
    made = yaml.safe_load((FOLDER / "gateway.yaml").read_text())
    (volume,) = (volume for volume in SERVICES["gateway"]["volumes"] if not volume.endswith(":ro"))
    folder = volume.split(":")[1]
    assert SERVICES["gateway"]["read_only"]
    assert made["audit"]["path"].startswith(folder + "/")
    assert made["stores"]["durable"].removeprefix("sqlite:///").startswith(folder + "/")
    dockerfile = (FOLDER.parents[1] / "Dockerfile").read_text()
    assert f"--chown=10001:10001 {folder} {folder}" in dockerfile
    assert "USER 10001:10001" in dockerfile


def test_all_that_has_a_state_says_whether_it_is_well() -> None:
    """So that `up --wait` ends when there is something to look at; the gateway's own stands in its image."""
    assert all("healthcheck" in SERVICES[name] for name in ("redis", "prometheus", "grafana"))


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
