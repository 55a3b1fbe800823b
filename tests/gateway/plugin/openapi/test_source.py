"""Where a description may stand, and what settings say of it."""

import json

import pytest
from pydantic import ValidationError

from gateway.plugin import Settings
from gateway.plugin.openapi import ApiDescription, FetchedDocument
from gateway.plugin.settings import identity

ROOT = {"openapi": "3.1.0", "info": {"title": "A"}}


class Holder(Settings):
    document: ApiDescription


def test_a_file_of_either_kind(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROOT))
    (tmp_path / "a.yaml").write_text("openapi: 3.1.0\ninfo: {title: A}")
    made = [Holder(document={"file": str(tmp_path / name)}) for name in ("a.json", "a.yaml")]
    assert [each.document.document.title for each in made] == ["A", "A"]
    assert identity(made[0]) != identity(made[1])
    assert identity(made[0]) == identity(Holder(document={"file": str(tmp_path / "a.json")}))
    assert made[0].model_dump(mode="json")["document"].startswith("<OpenAPI document")


def test_inline_and_fetched():
    assert Holder(document=ROOT).document.document.title == "A"
    fetched = Holder(document={"url": "https://a.test/openapi.json", "refresh": "1m"}).document
    assert isinstance(fetched, FetchedDocument) and fetched.refresh == 60.0


@pytest.mark.parametrize(
    "given", [3, "x", {}, {"url": "file:///etc/passwd"}, {"file": "/nowhere"}, {"url": "https://a.test", "x": 1}]
)
def test_what_it_cannot_be(given):
    with pytest.raises(ValidationError):
        Holder(document=given)
