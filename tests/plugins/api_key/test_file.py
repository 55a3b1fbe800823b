"""The file of keys: what is refused, and that changing it never harms it."""

from __future__ import annotations

import stat
import threading

import pytest

from plugins.api_key.file import changing, read_keys

HASH = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("keys: [{id: a}]", "hash", id="no hash"),
        pytest.param(f"keys: [{{id: a, hash: {HASH}, x: 1}}]", "x", id="an unknown name"),
        pytest.param("keys: [{id: a, hash: sesame}]", "pattern", id="a key in the open"),
        pytest.param(f"keys: [{{id: 'a b', hash: {HASH}}}]", "pattern", id="an id with a space"),
        pytest.param(f"keys: [{{id: a, hash: {HASH}, expires: 2027-01-01T00:00:00}}]", "timezone", id="no time zone"),
        pytest.param(f"keys: [{{id: a, hash: {HASH}}}, {{id: b, hash: {HASH}}}]", "same hash", id="a key twice"),
        pytest.param(
            f"keys: [{{id: a, hash: {HASH}}}, {{id: a, hash: 'sha256:{'b' * 64}'}}]", "same id", id="an id twice"
        ),
        pytest.param("keys: [", "keys.yaml:1", id="no YAML"),
        pytest.param("[1]", "dictionary", id="a list"),
    ],
)
def test_refused(tmp_path, text, why):
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=why) as caught:
        read_keys(path)
    assert "sesame" not in str(caught.value) and "a" * 64 not in str(caught.value)


@pytest.mark.parametrize("name", ["keys.yaml", "keys.json"])
def test_a_change_keeps_the_rest_and_the_mode(tmp_path, name):
    path = tmp_path / name
    with changing(path) as document:
        document["keys"] = [{"id": "a", "hash": HASH}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    if name.endswith("yaml"):
        path.write_text("# ours\n" + path.read_text())
    with changing(path) as document:
        document["keys"][0]["disabled"] = True
    assert read_keys(path).keys[0].disabled
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text().startswith("# ours" if name.endswith("yaml") else "{")
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_nothing_is_written_over_what_is_not_understood(tmp_path):
    path = tmp_path / "keys.yaml"
    path.write_text("keys: [")
    with pytest.raises(ValueError, match=r"keys\.yaml"), changing(path):
        pytest.fail("was opened for changes")
    assert path.read_text() == "keys: ["


def test_changes_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "keys.json"

    def add(number: int) -> None:
        with changing(path) as document:
            document.setdefault("keys", []).append({"id": f"k{number}", "hash": f"sha256:{number:064x}"})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(path).keys) == 20
