"""`queue:` and `stores.durable` as operators write them, and what is wrong with them."""

import pytest

from gateway.config import ConfigurationError, load_text
from gateway.config.dump import dump_masked
from gateway.services.queue.opening import QueueSettings

ROUTE = (
    "upstreams: {s: {targets: ['http://127.0.0.1:1']}}\nroutes: [{name: r, upstream: s, plugins: [{plugin: inbox}]}]\n"
)
DURABLE = "stores: {durable: 'sqlite:///tmp/queue.db'}\n"


def test_the_settings_of_the_queue():
    text = "queue: {keys: [sixteen-bytes-and, older-sixteen-bytes], max_items: 5, max_size: 1MB, retention: 7d}\n"
    made = load_text(ROUTE + DURABLE + text, {}).config
    assert made.queue.settings("me") == QueueSettings(
        gateway="me",
        keys=(b"sixteen-bytes-and", b"older-sixteen-bytes"),
        max_items=5,
        max_size=1_000_000,
        retention=7 * 86400,
    )
    assert "sixteen" not in str(dump_masked(made))


def test_by_default_dead_letters_are_kept_for_thirty_days():
    assert load_text(ROUTE + DURABLE, {}).config.queue.settings("").retention == 30 * 86400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "expected `stores.durable`", id="an inbox without a queue"),
        pytest.param(DURABLE + "queue: {keys: [short]}", "at least 16 bytes", id="a key that can be guessed"),
        pytest.param(DURABLE + "queue: {max_items: 0}", "queue.max_items", id="no items"),
        pytest.param(DURABLE + "queue: {backup: {folder: /no/such/folder}}", "a folder that exists", id="no folder"),
        pytest.param(DURABLE + "queue: {backup: {folder: /tmp, every: 1s}}", "queue.backup.every", id="all the time"),
        pytest.param(
            "stores: {durable: 'redis://127.0.0.1/0'}\nqueue: {backup: {folder: /tmp}}",
            "makes its own copies",
            id="copies of a Redis",
        ),
        pytest.param("stores: {durable: 'memory://'}", "stores.durable", id="a queue that forgets"),
    ],
)
def test_mistakes(text, said):
    with pytest.raises(ConfigurationError) as caught:
        load_text(ROUTE + text, {})
    told = "\n".join(str(problem) for problem in caught.value.problems)
    assert said in told
    assert "short" not in told


def test_an_inbox_that_is_off_needs_none():
    load_text(ROUTE.replace("{plugin: inbox}", "{plugin: inbox, mode: off}"), {})


def test_shadow_makes_no_sense_for_an_inbox():
    with pytest.raises(ConfigurationError, match="never refuses"):
        load_text(DURABLE + ROUTE.replace("{plugin: inbox}", "{plugin: inbox, mode: shadow}"), {})
