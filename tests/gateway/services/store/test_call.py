"""What Redis' refusals mean, and what a batch looks like."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from gateway.services.store.call import ASKING, Call, Refusal, pipeline, refusal
from gateway.services.store.primitives import INCREMENT, LOCK_RELEASE
from gateway.services.store.wire import pack

WRAPPED = "Error running script (call to f_6b1b): @user_script:1: @user_script: 1: "


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ReadOnlyError("You can't write against a read only replica."), Refusal.AWAY, id="a replica"),
        pytest.param(
            ResponseError(WRAPPED + "-READONLY You can't write against a read only replica."),
            Refusal.AWAY,
            id="a replica, seen from a script in Redis 6",
        ),
        pytest.param(ClusterDownError("The cluster is down"), Refusal.AWAY, id="a cluster without its majority"),
        pytest.param(MasterDownError("Link with MASTER is down"), Refusal.AWAY, id="a replica without its master"),
        pytest.param(
            ResponseError("BUSY Redis is busy running a script."),
            Refusal.AWAY,
            id="an endless script",
        ),
        pytest.param(OutOfMemoryError("command not allowed"), Refusal.IMPAIRED, id="full"),
        pytest.param(
            ResponseError(WRAPPED + "-OOM command not allowed when used memory > 'maxmemory'."),
            Refusal.IMPAIRED,
            id="full, seen from a script in Redis 6",
        ),
        pytest.param(
            ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"),
            Refusal.IMPAIRED,
            id="a disk that fails",
        ),
        pytest.param(
            ResponseError("NOREPLICAS Not enough good replicas to write."), Refusal.IMPAIRED, id="too few replicas"
        ),
        pytest.param(TryAgainError("Multiple keys request during rehashing"), Refusal.ONCE, id="a slot half moved"),
        pytest.param(AskError("7 127.0.0.1:1"), Refusal.ONCE, id="a redirection that leads nowhere"),
        pytest.param(NoPermissionError("this user has no permissions"), Refusal.ONCE, id="a key that is not ours"),
        pytest.param(ResponseError("WRONGTYPE Operation against a key"), Refusal.FAULT, id="a value of another type"),
        pytest.param(ResponseError("wrong number of arguments"), Refusal.FAULT, id="a command that is wrong"),
    ],
)
def test_a_refusal(error: ResponseError, expected: Refusal):
    assert refusal(error) is expected


async def test_a_batch_loads_each_script_once_and_asks_before_it_sends():
    future = asyncio.get_running_loop().create_future()
    calls = [
        Call(b"one", future, script=INCREMENT),
        Call(b"two", future),
        Call(b"three", future, script=LOCK_RELEASE),
        Call(b"four", future, script=INCREMENT),
    ]
    calls[2].asking = True
    known = set[bytes]()
    plan, parts = pipeline(calls, known)
    load_increment, load_release = INCREMENT.load_command, LOCK_RELEASE.load_command
    assert parts == [load_increment, b"one", b"two", load_release, ASKING, b"three", b"four"]
    assert plan == [None, calls[0], calls[1], None, None, calls[2], calls[3]]
    assert pipeline(calls[:1], known) == ([calls[0]], [b"one"])
    assert pack(b"ASKING") == ASKING


async def test_a_reply_is_put_through_its_reader():
    call = Call(b"", asyncio.get_running_loop().create_future(), read=lambda reply: reply is not None)
    call.succeed(b"OK")
    call.succeed(None)
    call.fail(ValueError())
    assert await call.future is True
