"""Which hosts are reached, and which addresses behind their names."""

import ipaddress
import socket
from typing import Any

import pytest

from luthier.act.guard import Guard, is_public, open_pool
from luthier.act.tool import CallError


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (("api.example.com",), "https://api.example.com/a"),
        (("API.example.com",), "http://api.EXAMPLE.com./a"),
        (("api.example.com:8443",), "https://api.example.com:8443/"),
        (("*.example.com",), "https://a.b.example.com/"),
        (("[::1]:8080",), "http://[::1]:8080/"),
    ],
)
def test_a_host_on_the_list_may_be_asked(hosts: tuple[str, ...], url: str) -> None:
    Guard(hosts).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://example.com.evil.example/",
        "https://notexample.com/",
        "https://api.example.com:22/",
        "https://api.example.com@evil.example/",
        "https://user:word@api.example.com/",
        "file:///etc/passwd",
        "gopher://api.example.com/",
        "//api.example.com/",
        "https://",
        "https://[::1",
        "https://api.example.com:99999/",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(CallError) as caught:
        Guard(("api.example.com", "*.example.com")).check(url)
    assert caught.value.mend


def test_a_star_is_for_what_is_below_the_name_only() -> None:
    with pytest.raises(CallError) as caught:
        Guard(("*.example.com",)).check("https://example.com/")
    assert "allow_hosts" in caught.value.mend


# RFC 1918, 6598, 3927, 4193, 4291, 6052, 3056 and the addresses clouds serve metadata at
PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "2002:7f00:1::", "fd00:ec2::254"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known_however_they_are_written(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]"])
def test_a_name_for_this_machine_is_refused_after_it_is_looked_up(host: str) -> None:
    with pytest.raises(CallError) as caught:
        Guard((host,)).addresses(host.strip("[]"), 80)
    assert "not public" in caught.value.what
    assert "allow_private" in caught.value.mend
    assert Guard((host,), allow_private=True).addresses(host.strip("[]"), 80)


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("93.184.215.14", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(CallError, match="not public"):
        Guard(("mixed.example",)).addresses("mixed.example", 80)


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers with a public address first and a private one later (DNS rebinding) gains nothing."""
    asked: list[str] = []
    connected: list[Any] = []

    def once(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", ("93.184.215.14" if len(asked) == 1 else "127.0.0.1", 80))]

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        connected.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", once)
    monkeypatch.setattr(socket, "create_connection", connect)
    with open_pool(Guard(("rebind.example",))) as pool, pytest.raises(Exception, match="no network here"):
        pool.request("GET", "http://rebind.example/")
    assert asked == ["rebind.example"]
    assert connected == [("93.184.215.14", 80)]


def test_a_name_without_an_address_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(CallError, match="no address"):
        Guard(("nowhere.example",)).addresses("nowhere.example", 80)
