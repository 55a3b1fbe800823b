"""Settings of compression: lists that make no sense."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.compression import Compression


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"encodings": []}, id="no coding"),
        pytest.param({"encodings": ["gzip", "gzip"]}, id="one twice"),
        pytest.param({"encodings": ["deflate"]}, id="one that clients read in two ways"),
        pytest.param({"level": {"gzip": 10}}, id="a level that there is not"),
        pytest.param({"types": ["json"]}, id="half a media type"),
        pytest.param({"types": ["a/b/c"]}, id="one too many"),
        pytest.param({"min_size": 1024}, id="a size without its unit"),
        pytest.param({"decompress": {"max_ratio": 1}}, id="a ratio that lets nothing pass"),
    ],
)
def test_what_is_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Compression, settings)


def test_media_types_have_no_case():
    assert settings_of(Compression, {"types": ["Text/*"]}).types == ("text/*",)
