"""What one worker tells the others."""

import pytest

from gateway.services.relay import Relay


async def test_without_others_there_is_nobody_to_tell():
    relay, heard = Relay(), []
    relay.hear("news", heard.append)
    assert await relay.tell("news", "x")
    assert heard == [], "the sender itself is not told"


async def test_what_others_tell_reaches_those_who_listen():
    relay, heard = Relay(), []
    hearing = relay.hear("news", heard.append)
    relay.deliver("news", "a")
    relay.deliver("weather", "b")
    hearing.close()
    hearing.close()
    relay.deliver("news", "c")
    assert heard == ["a"]


async def test_the_sender_learns_whether_it_arrived(caplog: pytest.LogCaptureFixture):
    relay, sent = Relay(), []

    async def send(topic: str, message: str) -> None:
        sent.append((topic, message))
        if message == "lost":
            raise ConnectionResetError("the line is closed")

    relay.send = send
    assert await relay.tell("news", "x")
    assert not await relay.tell("news", "lost")
    assert sent == [("news", "x"), ("news", "lost")]
    assert "the other workers could not be told" in caplog.text


async def test_one_that_fails_to_listen_keeps_nobody_from_it(caplog: pytest.LogCaptureFixture):
    relay, heard = Relay(), []

    def fail(_message: str) -> None:
        raise ZeroDivisionError

    relay.hear("news", fail)
    relay.hear("news", heard.append)
    relay.deliver("news", "a")
    assert heard == ["a"]
    assert "was not taken" in caplog.text
