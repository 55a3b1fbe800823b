"""PEM files that cannot be used are told with their place; whole configurations stand in ``test_check.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.pem import authority_mistakes, certificate_mistakes
from gateway.testing.authority import Authority


@pytest.fixture
def files(tmp_path: Path) -> Path:
    authority = Authority()
    authority.issue("a").write(tmp_path, "a")
    authority.issue("b").write(tmp_path, "b")
    (tmp_path / "none.pem").write_text("nothing of the kind")
    return tmp_path


@pytest.mark.parametrize(
    ("cert", "key", "places"),
    [
        pytest.param("a.crt", "a.key", [], id="a certificate and its key"),
        pytest.param("a.crt", "b.key", ["cert"], id="another's key"),
        pytest.param("none.pem", "a.key", ["cert"], id="no certificate"),
        pytest.param("gone.pem", "a.key", ["cert"], id="a file that is not there"),
        pytest.param("gone.pem", "gone.key", ["cert", "key"], id="two files that are not there"),
    ],
)
def test_a_certificate(files: Path, cert: str, key: str, places: list[str]) -> None:
    found = list(certificate_mistakes(files / cert, files / key, ("tls",)))
    assert [path for path, _ in found] == [("tls", place) for place in places]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("a.crt", 0, id="a certificate"),
        pytest.param("none.pem", 1, id="none"),
        pytest.param("gone.pem", 1, id="a file that is not there"),
    ],
)
def test_authorities(files: Path, name: str, count: int) -> None:
    assert [path for path, _ in authority_mistakes(files / name, ("ca",))] == [("ca",)] * count
