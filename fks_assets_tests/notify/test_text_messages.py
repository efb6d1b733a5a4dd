"""Text messages over real sockets: Twilio's public address is the only thing replaced."""

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from fks_assets.notify import sms
from fks_assets.stores.database import Database
from fks_assets.stores.notification_targets import read_targets
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import Clock, ToldDesk

SMS = {"type": "sms", "url_env": "SMS", "severity": "URGENT"}
SECRET = "b2" * 16


def address_of(account: str, numbers: str = "15557654321") -> str:
    return f"twilio://AC{account * 16}:{SECRET}@15551234567/{numbers}"


def path_of(account: str) -> str:
    return f"/AC{account * 16}/Messages.json"


def refusal(status: int, code: int) -> Reply:
    """Return an error as Twilio writes it (https://www.twilio.com/docs/usage/twilios-response): with a code of its own."""
    return Reply(status, json.dumps({"code": code, "message": "words", "more_info": "…", "status": status}).encode())


@pytest.fixture
def twilio(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio at the server of hooks."""
    from apprise.plugins.twilio import NotifyTwilio

    monkeypatch.setattr(NotifyTwilio, "notify_sms_url", hooks.url + "/{sid}/Messages.json")


def test_a_text_message_goes_over_twilio(home: Path, database: Database, hooks: Hooks, twilio: None) -> None:
    """S2.27: SMS for what is critical, over apprise."""
    desk = ToldDesk(home, database, hooks, {"sms": SMS}, environment={"SMS": address_of("a1")}, clock=Clock())
    account = "AC" + "a1" * 16
    hooks.plans[f"/{account}/Messages.json"] = [Reply(500), Reply(201, b"{}"), Reply(401)]
    number = desk.tell("BTC stop " + "x" * 1000, kind="stop", severity="URGENT")
    asyncio.run(desk.sender().step())
    assert desk.error(number, "sms") == "twilio answered 500"
    desk.clock.forward(60)
    asyncio.run(desk.sender().step())
    (call,) = hooks.accepted
    body = parse_qs(call.body.decode())
    assert body["To"] == ["+15557654321"] and body["Body"][0].startswith(f"fks SIMULATED URGENT #{number}: BTC stop xxx")
    assert len(body["Body"][0]) <= 300
    assert call.headers["authorization"] == "Basic " + base64.b64encode(f"{account}:{SECRET}".encode()).decode()
    later = desk.tell("again", severity="URGENT")
    desk.clock.forward(60)
    asyncio.run(desk.sender().step())
    assert desk.states(later)["sms"] == "DEAD"


@pytest.mark.parametrize("address", ["json://127.0.0.1/x", "apprises://evil.test", "kavenegar://key/1", "twilio:", "file:///etc"])
def test_only_services_at_public_addresses_send_text_messages(address: str, home: Path, database: Database, hooks: Hooks) -> None:
    """S4: apprise would post anywhere."""
    desk = ToldDesk(home, database, hooks, {"sms": SMS}, environment={"SMS": address}, clock=Clock())
    number = desk.tell("hello", severity="URGENT")
    asyncio.run(desk.sender().step())
    asyncio.run(desk.sender().step())
    assert desk.states(number)["sms"] == "DEAD" and not hooks.calls


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (refusal(401, 20003), "DEAD", "twilio answered 20003"),
        (refusal(404, 20404), "DEAD", "twilio answered 20404"),
        (refusal(429, 20429), "PENDING", "twilio answered 20429"),
        (refusal(500, 20500), "PENDING", "twilio answered 20500"),
        (refusal(400, 21211), "FAILED", "twilio answered 21211"),
        (Reply(400), "FAILED", "twilio answered 400"),
        (Reply(503), "PENDING", "twilio answered 503"),
        (Reply(reset=True), "PENDING", "twilio gave no answer"),
    ],
    ids=["revoked", "unknown account", "too many", "broken", "no such number", "400", "503", "reset"],
)
def test_what_twilio_says_is_understood(
    answer: Reply, state: str, words: str, home: Path, database: Database, hooks: Hooks, twilio: None
) -> None:
    """N3: a number that cannot be reached is not tried (and paid for) for ever, and a revoked account is a dead channel."""
    desk = ToldDesk(home, database, hooks, {"sms": SMS}, environment={"SMS": address_of("a1")}, clock=Clock())
    hooks.plans[path_of("a1")] = [answer]
    number = desk.tell("stop", severity="URGENT")
    asyncio.run(desk.sender().step())
    assert (desk.states(number)["sms"], desk.error(number, "sms")) == (state, words)


def test_one_number_that_fails_makes_no_other_ring_again(home: Path, database: Database, hooks: Hooks, twilio: None) -> None:
    """Of several numbers nobody could say which has the message: each is a channel of its own."""
    address = address_of("a1", "15557654321/15557654322")
    desk = ToldDesk(home, database, hooks, {"sms": SMS}, environment={"SMS": address}, clock=Clock())
    number = desk.tell("stop", severity="URGENT")
    asyncio.run(desk.sender().step())
    assert desk.states(number)["sms"] == "DEAD" and not hooks.calls
    assert desk.error(number, "sms") == "twilio: the address leads to 2 numbers; give each a channel of its own"


def test_the_troubles_of_two_phones_are_not_mixed_up(home: Path, database: Database, hooks: Hooks, twilio: None) -> None:
    """Both are under way at once; the account of one was revoked, the service of the other has a bad moment."""
    channels = {"one": SMS, "two": {**SMS, "url_env": "OTHER"}}
    environment = {"SMS": address_of("a1"), "OTHER": address_of("c3")}
    desk = ToldDesk(home, database, hooks, channels, environment=environment, clock=Clock())
    hooks.plans[path_of("a1")] = [Reply(401)]
    hooks.plans[path_of("c3")] = [Reply(500, delay_seconds=0.7)]
    desk.tell("stop", severity="URGENT")
    asyncio.run(desk.sender().step())
    assert {name: target.state for name, target in read_targets(database).items()} == {"log": "UP", "one": "DEAD", "two": "UP"}


def test_a_service_that_drips_is_given_up(
    home: Path, database: Database, hooks: Hooks, twilio: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease would be over long before."""
    monkeypatch.setattr(sms, "DEADLINE_SECONDS", 0.5)
    desk = ToldDesk(home, database, hooks, {"sms": SMS}, environment={"SMS": address_of("a1")}, clock=Clock())
    hooks.plans[path_of("a1")] = [Reply(201, b"{}" + b" " * 40, drip_seconds=0.05)]
    number = desk.tell("stop", severity="URGENT")
    asyncio.run(desk.sender().step())
    assert desk.error(number, "sms") == "twilio gave no answer within 0.5 s"
