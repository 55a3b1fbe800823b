"""Descriptions of APIs (OpenAPI 3.0 and 3.1), read once and asked by plugins: which operation is this request, what
parameters, bodies and answers does it have, which schemas and examples.

    document = ApiDocument.read(content)
    found = document.find("GET", "/v1/pets/7")      # (Operation, {"id": "7"}), or the methods that the path has
    operation.body.content["application/json"].schema; operation.outcome(200).content[…].examples()
    Translation(document.root, legacy=document.legacy)(schema)     # JSON Schema 2020-12 that stands alone
"""

from gateway.plugin.openapi.document import ApiDocument, escaped, value_at
from gateway.plugin.openapi.error import OpenApiError
from gateway.plugin.openapi.operation import Body, Media, Operation, Outcome, Parameter
from gateway.plugin.openapi.schema import Translation
from gateway.plugin.openapi.shape import Shape, shape_of
from gateway.plugin.openapi.source import ApiDescription, FetchedDocument, GivenDocument
from gateway.plugin.openapi.style import Misspelt, decode_pairs, decode_text, pairs_of

__all__ = [
    "ApiDescription",
    "ApiDocument",
    "Body",
    "FetchedDocument",
    "GivenDocument",
    "Media",
    "Misspelt",
    "OpenApiError",
    "Operation",
    "Outcome",
    "Parameter",
    "Shape",
    "Translation",
    "decode_pairs",
    "decode_text",
    "escaped",
    "pairs_of",
    "shape_of",
    "value_at",
]
