"""Which Host headers are ours."""

from ipaddress import ip_address

import pytest

from cinesync.chassis.http.server import host_names
from cinesync.chassis.http.server.host_names import (
    HostNames,
    host_name,
    interface_addresses,
    known_names,
)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (b"shop.example", "shop.example"),
        (b"SHOP.example.:8443", "shop.example"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"[::1]", "::1"),
        (b"[0:0:0::1]:8000", "::1"),
        (b"xn--kino-0ra.example", "xn--kino-0ra.example"),
        (b"under_score", "under_score"),
    ],
)
def test_a_host_has_one_form(said: bytes, name: str) -> None:
    assert host_name(said) == name


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b":80",
        b"a b",
        b"a,b",
        b"a:80:80",
        b"a:",
        b"a:port",
        b"a:123456",
        b"user@a",
        b"a/b",
        b"a\\b",
        b"a\x00",
        b"a\n",
        b"k\xc3\xafno.example",
        b"[::1",
        b"a" * 300,
    ],
)
def test_what_is_no_host_is_none(said: bytes) -> None:
    assert host_name(said) is None
    assert HostNames(["a"]).accepts(said) is None


def test_a_name_is_known_with_any_port_and_no_other_name_is() -> None:
    hosts = HostNames(["shop.example", "", "[2001:db8::7]"])
    for _ in range(2):  # the second time from memory
        assert hosts.accepts(b"shop.example:1")
        assert hosts.accepts(b"[2001:DB8:0::7]:1")
        assert hosts.accepts(b"www.shop.example") is False
        assert hosts.accepts(b"shop.example.evil.example") is False


def test_memory_of_hosts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_names, "VERIFIED_MAX", 3)
    hosts = HostNames(["a"])
    assert all(hosts.accepts(b"a:%d" % port) for port in range(100))
    assert len(hosts._verified) == 3


def test_a_process_knows_this_machine_its_urls_and_what_it_is_told() -> None:
    hosts = known_names("192.0.2.7", ["https://shop.example:8443/", ""], "a.internal, b.internal")
    for name in ("localhost", "127.0.0.1", "[::1]", "192.0.2.7", "shop.example", "b.internal"):
        assert hosts.accepts(name.encode()), name
    assert hosts.accepts(b"192.0.2.8") is False


def test_who_listens_on_every_address_goes_by_each_of_them() -> None:
    found = list(interface_addresses())
    assert "127.0.0.1" in found
    assert all(ip_address(one) for one in found)
    everywhere = known_names("0.0.0.0", [], "")
    for address in found:
        assert everywhere.accepts((f"[{address}]" if ":" in address else address).encode())
    assert everywhere.accepts(b"203.0.113.99") is False
    assert everywhere.accepts(b"0.0.0.0") is False
