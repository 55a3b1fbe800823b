"""ip_restriction: who is in which network, and what comes of it."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config import load_text
from gateway.plugin.document import FileReference
from gateway.testing import answering, exchange, opened, ports, request, settings_of
from plugins.ip_restriction import IpRestriction, Networks

EXAMPLE = {"allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.6.6.0/24"]}
OFFICE = {"allow": ["192.0.2.0/24"]}
BAD = {"deny": ["198.51.100.7", "2001:db8:bad::/48"]}


@pytest.mark.parametrize(
    ("given_settings", "address", "status"),
    [
        pytest.param(OFFICE, "192.0.2.0", 200, id="first of the network"),
        pytest.param(OFFICE, "192.0.2.255", 200, id="last of the network"),
        pytest.param(OFFICE, "192.0.3.0", 403, id="next to it"),
        pytest.param(OFFICE, "192.0.1.255", 403, id="just before it"),
        pytest.param(OFFICE, "2001:db8::1", 403, id="another family"),
        pytest.param(OFFICE, "::ffff:192.0.2.1", 200, id="IPv4 in IPv6"),
        pytest.param(OFFICE, "::ffff:c000:201", 200, id="IPv4 in IPv6, in hex"),
        pytest.param(OFFICE, "::ffff:192.0.3.1", 403, id="another in IPv6"),
        pytest.param(OFFICE, "::192.0.2.1", 403, id="the deprecated compatible form is not IPv4"),
        pytest.param(OFFICE, "", 403, id="no address: a unix socket"),
        pytest.param(OFFICE, "unknown", 403, id="no address at all"),
        pytest.param(OFFICE, "192.0.2.1.5", 403, id="too many parts"),
        pytest.param(OFFICE, "192.0.2", 403, id="too few parts"),
        pytest.param(OFFICE, "0300.0.2.1", 403, id="octal"),
        pytest.param(OFFICE, "192.0.2.1\0", 403, id="a null byte"),
        pytest.param(BAD, "198.51.100.7", 403, id="denied"),
        pytest.param(BAD, "198.51.100.8", 200, id="not denied"),
        pytest.param(BAD, "::ffff:198.51.100.7", 403, id="denied, in IPv6"),
        pytest.param(BAD, "2001:db8:bad:1::9", 403, id="denied IPv6"),
        pytest.param(BAD, "2001:db8:bae::9", 200, id="not denied IPv6"),
        pytest.param(BAD, "", 200, id="no address and no allow list"),
        pytest.param(EXAMPLE, "10.1.2.3", 200, id="allowed"),
        pytest.param(EXAMPLE, "10.6.6.6", 403, id="allowed and denied is denied"),
        pytest.param(EXAMPLE, "11.0.0.1", 403, id="neither"),
        pytest.param(EXAMPLE, "2001:db8:ffff::", 200, id="allowed IPv6"),
        pytest.param({"allow": ["fe80::/10"]}, "fe80::1%eth0", 200, id="with a zone"),
        pytest.param({"allow": []}, "192.0.2.1", 403, id="an empty list allows nobody"),
        pytest.param({"deny": ["0.0.0.0/0"]}, "192.0.2.1", 403, id="all of IPv4"),
        pytest.param({"deny": ["0.0.0.0/0"]}, "2001:db8::1", 200, id="and none of IPv6"),
        pytest.param({"deny": ["::/0"]}, "2001:db8::1", 403, id="all of IPv6"),
        pytest.param({"deny": ["::/0"]}, "192.0.2.1", 200, id="and none of IPv4"),
        pytest.param({"deny": ["::ffff:0:0/96"]}, "192.0.2.1", 403, id="IPv4 as a network of IPv6"),
        pytest.param({"deny": ["::ffff:192.0.2.0/120"]}, "192.0.2.1", 403, id="a part of it"),
        pytest.param({"deny": ["::ffff:192.0.2.0/120"]}, "192.0.3.1", 200, id="not another part of it"),
        pytest.param({"deny": ["192.0.2.0/24\n# spare\n\n 198.51.100.0/24 # x"]}, "198.51.100.1", 403, id="lines"),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["first", "again"])
async def test_who_is_let_in(given_settings, address, status, known):
    target = answering()
    async with opened(IpRestriction, given_settings) as live:
        for _ in range(1 + known):
            response = await live(request(client_ip=address), target)
    assert response.status == status
    assert target.calls == (1 + known if status == 200 else 0)


async def test_a_refusal_tells_the_log_and_not_the_client():
    given_ports = ports()
    response = await exchange(IpRestriction, OFFICE, request(client_ip="203.0.113.9"), ports=given_ports)
    assert response.error.code == "address_refused"
    assert "203.0.113.9" in response.error.reason
    assert b"203.0.113" not in response.body.whole
    assert given_ports.refused == ["address_refused"]


async def test_shadow_lets_in_and_counts_each():
    given_ports, target = ports(), answering()
    async with opened(IpRestriction, OFFICE, mode="shadow", ports=given_ports) as live:
        for _ in range(2):
            assert (await live(request(client_ip="203.0.113.9"), target)).status == 200
    assert (given_ports.would_refuse, target.calls) == (["address_refused"] * 2, 2)


async def test_what_is_remembered_is_bounded():
    async with opened(IpRestriction, OFFICE) as live:
        for number in range(6000):
            await live.head(request(client_ip=f"10.0.{number >> 8}.{number & 255}"))
        assert len(live.plugin._verdicts) <= 4096


NETWORKS = st.one_of(
    st.builds(
        lambda n, length: ipaddress.IPv4Network((n, length), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda n, length: ipaddress.IPv6Network((n, length), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    ),
)


@settings(max_examples=200)
@given(networks=st.lists(NETWORKS, max_size=8), near=st.integers(0, 7), offset=st.integers(-2, 2), data=st.data())
def test_it_agrees_with_the_standard_library(networks, near, offset, data):
    if networks:
        network = networks[near % len(networks)]
        most = 2 ** (32 if network.version == 4 else 128) - 1
        edge = data.draw(st.sampled_from([int(network.network_address), int(network.broadcast_address)]))
        address = (ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address)(
            max(0, min(most, edge + offset))
        )
    else:
        address = data.draw(st.ip_addresses())
    plain = getattr(address, "ipv4_mapped", None) or address
    six = ipaddress.IPv6Address(f"::ffff:{plain}") if plain.version == 4 else plain
    four_in_six = ipaddress.IPv6Network("::ffff:0:0/96")
    expected = any(
        plain in network or (network.version == 6 and network.subnet_of(four_in_six) and six in network)
        for network in networks
    )
    assert (str(address) in Networks(map(str, networks))) == expected


def test_a_long_list_costs_no_more_than_a_short_one():
    """As steps, which do not depend on the machine: one for each prefix length."""
    long = Networks(f"{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}.0/24" for n in range(50_000))
    assert (len(long._four), long.size) == (1, 50_000)


@pytest.mark.parametrize(
    "given_settings",
    [
        pytest.param({}, id="no list"),
        pytest.param({"deny": []}, id="an empty one that does nothing"),
        pytest.param({"allow": ["10.0.0.0/33"]}, id="a length there is not"),
        pytest.param({"allow": ["10.0.0.1/8"]}, id="an address with a length"),
        pytest.param({"allow": ["example.com"]}, id="a name"),
        pytest.param({"allow": ["10.0.0.0/8\nnonsense"]}, id="a bad line"),
        pytest.param({"allow": [10]}, id="a number"),
        pytest.param({"allow": [FileReference({"file": "/nonexistent/list"})]}, id="a file that is not there"),
    ],
)
def test_settings_that_cannot_be_meant(given_settings):
    with pytest.raises(ValidationError):
        settings_of(IpRestriction, given_settings)


def test_a_bad_line_is_named():
    with pytest.raises(ValidationError, match="line 3"):
        settings_of(IpRestriction, {"allow": ["10.0.0.0/8\n\n10.0.0.1/8\n"]})


def test_a_list_in_a_file_is_watched(tmp_path):
    (tmp_path / "bad.txt").write_text("# from the abuse desk\n203.0.113.0/24\n2001:db8::/32\n")
    config = f"""
upstreams: {{a: {{targets: ["http://127.0.0.1:1"]}}}}
routes:
  - name: a
    match: {{path: /}}
    upstream: a
    plugins: [{{plugin: ip_restriction, with: {{deny: [{{file: "{tmp_path}/bad.txt"}}, 192.0.2.1]}}}}]
"""
    loaded = load_text(config, {})
    plugin = loaded.config.routes[0].plugins[0]
    assert Networks(plugin.settings.deny).size == 3
    assert tmp_path / "bad.txt" in loaded.files
