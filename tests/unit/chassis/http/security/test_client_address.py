"""Where a request comes from: past our proxies, and as the storefront states it."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesync.chassis.http.security.client_address import (
    ClientAddresses,
    client_address,
    parse_networks,
)
from cinesync.chassis.http.security.signed_client_address import VISITOR_HEADER, AddressSigner
from cinesync.chassis.settings import SettingsError

SECRET = "a secret that only tests know"
PROXIES = parse_networks("10.0.0.0/8, 2001:db8:ffff::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("198.51.100.1", "", "198.51.100.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # not our proxy: its claim is not read
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, garbage", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:198.51.100.1", "", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "", "2001:db8:1:2::/64"),
        ("2001:db8:ffff::1", "2001:db8:7::9", "2001:db8:7::/64"),
        ("", "", "unknown"),
        ("/run/socket", "1.2.3.4", "unknown"),
    ],
)
def test_the_address_is_the_first_hop_that_is_no_proxy_of_ours(
    peer: str, forwarded_for: str, address: str
) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == address


@settings(deadline=None)
@given(st.text(alphabet=string.printable), st.ip_addresses())
def test_no_claim_of_a_stranger_changes_where_they_come_from(claim: str, stranger: object) -> None:
    alone = client_address(str(stranger), "", ())
    assert client_address(str(stranger), claim, ()) == alone
    assert client_address("10.0.0.1", f"{claim}, 203.0.113.9", PROXIES) == "203.0.113.9"


def test_networks_that_are_none_are_refused() -> None:
    assert parse_networks(" ") == ()
    with pytest.raises(ValueError, match="nonsense"):
        parse_networks("10.0.0.0/8, nonsense")


def scope(peer: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    """A request as a server hands it on."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"client": (peer, 50_000) if peer is not None else None, "headers": raw}


def test_the_address_of_a_request_is_its_peers() -> None:
    addresses = ClientAddresses("", SECRET)
    claim = ("X-Forwarded-For", "203.0.113.9")
    assert addresses.of(scope("192.0.2.7", claim)) == "192.0.2.7"
    assert addresses.of(scope(None, claim)) == "unknown"


def test_a_trusted_proxy_says_who_stands_before_it_whatever_the_client_wrote() -> None:
    addresses = ClientAddresses("10.0.0.0/8", SECRET)
    claims = [("X-Forwarded-For", "6.6.6.6, " * 1_000), ("X-Forwarded-For", "203.0.113.9")]
    assert addresses.of(scope("10.0.0.1", *claims)) == "203.0.113.9"


def test_only_the_storefronts_own_statement_of_a_visitor_is_believed() -> None:
    addresses = ClientAddresses("", SECRET)
    ours, made_up = AddressSigner(SECRET), AddressSigner("a guess")
    stated = (VISITOR_HEADER, ours.sign("2001:db8:1:2::3"))
    assert addresses.of(scope("127.0.0.1", stated)) == "2001:db8:1:2::/64"
    for forged in (made_up.sign("203.0.113.9"), "203.0.113.9", "203.0.113.9 ", " ", "\x7f x"):
        assert addresses.of(scope("192.0.2.7", (VISITOR_HEADER, forged))) == "192.0.2.7", forged


def test_a_proxy_that_is_no_network_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXIES: .*nonsense"):
        ClientAddresses("nonsense", SECRET)
