"""What is shown of routes and chains: all that is in force, nothing that is not, no secret."""

from __future__ import annotations

from gateway.config import load_text
from gateway.supervisor.effective import effective_routes

TEXT = """
upstreams: {a: {targets: [http://127.0.0.1:1]}, b: {targets: [http://127.0.0.1:2]}}
defaults:
  plugins:
    - {plugin: size_limit, id: first}
    - {plugin: headers, with: {response: {set: {X: y}}}}
routes:
  - name: one
    match: {path: /one/, methods: [GET]}
    upstream: a
    without: [headers]
    plugins:
      - {plugin: size_limit, mode: shadow, with: {json: 1KB}, when: {methods: [GET]}}
      - {plugin: headers, mode: off}
  - name: two
    match: {path: /two}
    split: [{upstream: a, weight: 1}, {upstream: b, weight: 3}]
"""


def test_chains_are_those_in_force_outermost_first() -> None:
    one, two = effective_routes(load_text(TEXT, {}).config)
    assert (one["name"], one["upstream"]) == ("one", "a")
    assert [(each["number"], each["id"], each["mode"]) for each in one["chain"]] == [
        (1, "first", "enforce"),
        (2, "size_limit", "shadow"),
    ]
    assert one["chain"][1]["when"] == {"methods": ["GET"]}
    assert one["chain"][1]["with"]["json"] == "1KB"
    assert [(share["upstream"], share["weight"]) for share in two["split"]] == [("a", 1), ("b", 3)]
    assert [each["id"] for each in two["chain"]] == ["first", "headers"]
