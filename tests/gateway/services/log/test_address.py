"""Where lines can be sent to, as operators write it."""

from __future__ import annotations

import pytest

from gateway.services.log.address import FACILITIES, SyslogAddress, available, endpoint, parse_address, without_query


def test_facilities_have_the_numbers_of_the_standard() -> None:
    # RFC 5424 table 1.
    found = [FACILITIES[name] for name in ("kern", "user", "daemon", "auth", "authpriv", "cron", "local0", "local7")]
    assert found == [0, 1, 3, 4, 10, 9, 16, 23]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("udp://h", SyslogAddress("udp", "h", 514)),
        ("udp://[::1]:5514", SyslogAddress("udp", "::1", 5514)),
        ("tcp://log.example", SyslogAddress("tcp", "log.example", 601)),
        ("tls://log.example", SyslogAddress("tls", "log.example", 6514)),
        ("unix:/dev/log", SyslogAddress("unix", path="/dev/log")),
        ("unix:///dev/log", SyslogAddress("unix", path="/dev/log")),
    ],
)
def test_addresses(written: str, address: SyslogAddress) -> None:
    assert parse_address(written) == address


@pytest.mark.parametrize(
    "written", ["", "h:514", "http://h", "udp://", "udp://h:x", "udp://h/path", "udp://u:p@h", "unix:", "unix:log"]
)
def test_no_addresses(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(written)


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://h:4318", "http://h:4318/v1/logs"),
        ("http://h:4318/", "http://h:4318/v1/logs"),
        ("https://h/otlp/logs?key=1", "https://h/otlp/logs?key=1"),
    ],
)
def test_endpoints(written: str, url: str) -> None:
    assert endpoint(written) == url


@pytest.mark.parametrize("written", ["", "h:4318", "ftp://h", "http://", "http://h:x", "http://u:p@h", "http://h#f"])
def test_no_endpoints(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        endpoint(written)


@pytest.mark.parametrize(
    ("url", "shown"), [("http://h/v1/logs", "http://h/v1/logs"), ("http://h/a?key=s3cret", "http://h/a?***")]
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert without_query(url) == shown


def test_whether_the_extra_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available()

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert not available()
