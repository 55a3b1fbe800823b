"""Things that exist once, for as long as somebody holds them."""

from __future__ import annotations

from gateway.services.shared import Shared


class Thing:
    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


async def test_the_first_makes_it_and_the_last_closes_it():
    shared = Shared()
    first, second, other = shared.hold("a", Thing), shared.hold("a", Thing), shared.hold("b", Thing)
    assert first.thing is second.thing is not other.thing
    await first.release()
    await first.release()
    assert (first.thing.closed, len(shared)) == (0, 2)
    await second.release()
    assert (first.thing.closed, other.thing.closed, len(shared)) == (1, 0, 1)


async def test_who_asks_while_the_last_closes_it_gets_another():
    shared = Shared()

    class Slow(Thing):
        async def close(self) -> None:
            self.next = shared.hold("a", Thing)
            await super().close()

    held = shared.hold("a", Slow)
    await held.release()
    assert held.thing.next.thing is not held.thing
    assert len(shared) == 1
