"""The redis-server of the fixtures is a real one that can be paused, killed and started again."""

from __future__ import annotations

import socket

import pytest
import redis


def test_the_session_server_is_emptied_before_each_test(redis_server):
    assert redis_server.command("DBSIZE") == 0
    redis_server.command("SET", "left", "over")


def test_and_the_next_test_finds_nothing_of_it(redis_server):
    assert redis_server.command("DBSIZE") == 0
    redis_server.command("SET", "left", "over")


def test_a_killed_server_refuses_and_comes_back_empty_on_the_same_port(start_redis):
    server = start_redis()
    server.command("SET", "kept", "no")
    url = server.url
    server.kill()
    with pytest.raises(redis.ConnectionError):
        server.command("PING")
    server.start()
    assert server.url == url
    assert server.command("GET", "kept") is None


def test_a_paused_server_keeps_its_connections_and_answers_when_it_goes_on(start_redis):
    server = start_redis()
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
        server.pause()
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        server.resume()
        connection.settimeout(20)
        assert connection.recv(100) == b"+PONG\r\n"


def test_two_servers_are_two(start_redis):
    first, second = start_redis(), start_redis("--maxmemory", "1mb")
    first.command("SET", "mine", "1")
    assert second.command("GET", "mine") is None
    assert first.port != second.port


def test_what_uses_the_fixtures_is_marked(request, redis_server):
    assert request.node.get_closest_marker("redis")
