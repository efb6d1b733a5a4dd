"""Webhook addresses cannot lead into the private network: not by form, name, redirect or an answer that changes."""

import asyncio
import socket
from typing import Any

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.notify.addresses import PublicResolver, check_url, is_public
from fks_assets.notify.http import Unreachable, post
from fks_assets_tests.notify.hooks import Hooks, Reply

# Forms from OWASP's server-side request forgery cheat sheet, and what resolvers take for addresses besides (inet_aton).
REFUSED = [
    *(
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "",
    ),
    *("https://", "https:///x", "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0/", "https://0.0.0.0/"),
    *("https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://017700000001/"),
    *("https://127.0.0.1.:443/", "https://127.0.0.1:22/", "https://127.255.255.254/", "https://10.0.0.1/", "https://172.16.0.1/"),
    *("https://172.31.255.255/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1/"),
    *("https://192.0.2.1/", "https://198.18.0.1/", "https://224.0.0.1/", "https://240.0.0.1/", "https://255.255.255.255/"),
    *("https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/"),
    *("https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/"),
    *("https://[64:ff9b::7f00:1]/", "https://[64:ff9b::10.0.0.1]/", "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/"),
    *("https://[2001:db8::1]/", "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://a.localhost/"),
    *("https://printer.local/", "https://db.internal/", "https://intranet/", "https://host/", "https://router.lan/"),
    *(
        "https://user@example.com/",
        "https://user:pw@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1@example.com/",
    ),
    *("https://example.com\\@127.0.0.1/", "https://exam ple.com/", " https://example.com/", "https://example.com/\r\nX: y"),
    *(
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://１２７.0.0.1/",
        "https://ⓛocalhost/",
        "https://[::1",
        "https://-a.com/",
    ),
]


@pytest.mark.parametrize("url", REFUSED)
def test_no_form_of_an_address_leads_inside(url: str) -> None:
    """S4."""
    with pytest.raises(InvalidInput):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://discord.com/api/webhooks/1/x",
        "https://hooks.example.org:8443/a?b=c",
        "https://93.184.216.34/x",
        "https://[2606:4700::6810:84e5]/",
    ],
)
def test_public_addresses_are_taken(url: str) -> None:
    assert check_url(url)


def test_a_channel_of_discord_goes_to_discord_alone() -> None:
    with pytest.raises(InvalidInput, match=r"evil\.example\.com is not one of discord\.com"):
        check_url("https://evil.example.com/api/webhooks/1/x", hosts=("discord.com",))


def test_loopback_is_for_tests_and_nothing_else_opens_with_it() -> None:
    assert check_url("http://127.0.0.1:80/x", loopback=True) == "127.0.0.1"
    for url in ("http://10.0.0.1/", "http://example.com/", "https://[::ffff:127.0.0.1]/", "http://127.0.0.2/"):
        with pytest.raises(InvalidInput):
            check_url(url, loopback=True)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::808:808", True),
        ("fe80::1%eth0", False),
    ],
)
def test_what_is_wrapped_inside_an_address_counts(address: str, public: bool) -> None:
    assert is_public(address) is public


def answering(*answers: list[str]) -> Any:
    """Return a resolver of the operating system that gives other addresses each time it is asked."""
    left = list(answers)

    async def getaddrinfo(self: object, host: str, port: int, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in (left.pop(0) if len(left) > 1 else left[0])]

    return getaddrinfo


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["169.254.169.254"]])
def test_a_name_that_leads_inside_is_refused(answer: list[str], monkeypatch: pytest.MonkeyPatch, hooks: Hooks) -> None:
    """S4: one address that is not public is enough."""
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", answering(answer))
    with pytest.raises(Unreachable, match="not public"):
        asyncio.run(post(f"https://rebind.example.com:{hooks.url.rpartition(':')[2]}/x", b"{}", {}))
    assert not hooks.calls


def test_the_address_that_was_judged_is_the_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: a resolver that answers publicly first and with loopback afterwards is asked once."""
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", answering(["93.184.216.34"], ["127.0.0.1"]))
    found = asyncio.run(PublicResolver().resolve("rebind.example.com", 443))
    assert [each["host"] for each in found] == ["93.184.216.34"]
    with pytest.raises(OSError, match="not public"):
        asyncio.run(PublicResolver().resolve("rebind.example.com", 443))


def test_redirects_are_judged_like_the_first_address(hooks: Hooks) -> None:
    """S4: at most three, each checked; one that would turn the message into a question is none."""
    for place in ("http://10.0.0.1/", "https://169.254.169.254/", "file:///etc/passwd", "https://localhost.evil.internal/"):
        hooks.plans["/a"] = [Reply(307, headers={"Location": place})]
        with pytest.raises(Unreachable):
            asyncio.run(post(f"{hooks.url}/a", b"{}", {}, loopback=True))
    hooks.plans["/a"] = [Reply(308, headers={"Location": "/b"})]
    hooks.plans["/b"] = [Reply(307, headers={"Location": f"{hooks.url}/c"})]
    assert asyncio.run(post(f"{hooks.url}/a", b"{}", {}, loopback=True)).status == 204
    hooks.plans["/c"] = [Reply(307, headers={"Location": "/a"})]
    with pytest.raises(Unreachable, match="more than 3 times"):
        asyncio.run(post(f"{hooks.url}/a", b"{}", {}, loopback=True))
    hooks.plans["/a"] = [Reply(302, headers={"Location": "/b"})]
    assert asyncio.run(post(f"{hooks.url}/a", b"{}", {}, loopback=True)).status == 302


def test_a_server_that_hangs_or_never_ends_is_given_up(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.plans["/hang"] = [Reply(hang=True)]
    with pytest.raises(Unreachable, match="gave no answer"):
        asyncio.run(post(f"{hooks.url}/hang", b"{}", {}, loopback=True, deadline_seconds=0.3))
    hooks.plans["/long"] = [Reply(500, b"x" * 10_000_000)]
    assert len(asyncio.run(post(f"{hooks.url}/long", b"{}", {}, loopback=True)).body) <= 65_536
