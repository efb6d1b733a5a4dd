"""Slack, Telegram, e-mail and SMS over real sockets; the services' public addresses are the only thing replaced."""

import asyncio
import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from fks_assets.notify import mail
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import read_deliveries
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.mail_server import mail_server
from fks_assets_tests.notify.told import Clock, ToldDesk

BOT = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


def email(port: int, **options: Any) -> dict[str, Any]:
    people = {"sender": "desk@fks.test", "recipients": ["anna@fks.test", "ben@fks.test"]}
    return {"type": "email", "host": "127.0.0.1", "port": port, "security": "none", **people, **options}


def telegram(hooks: Hooks) -> dict[str, Any]:
    return {"type": "telegram", "token_env": "BOT", "chat_id": "-100200300", "api_url": hooks.url}


def error_of(desk: ToldDesk, number: int, channel: str) -> str | None:
    return next(each.last_error for each in read_deliveries(desk.database, [number]) if each.channel == channel)


def test_slack_gets_a_coloured_attachment_without_mentions(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"slack": {"type": "slack", "url_env": "SLACK"}})
    hooks.plans[desk.path("slack")] = [Reply(429, b"", {"Retry-After": "1"}, window=1.0), Reply(200, b"ok")]
    number = desk.tell("<!everyone> R&D <https://evil.test|bank>", severity="URGENT", kind="stop")
    desk.deliver()
    (call,) = hooks.accepted
    (attachment,) = call.document["attachments"]
    assert attachment["text"] == "&lt;!everyone&gt; R&amp;D &lt;https://evil.test|bank&gt;"
    assert (attachment["color"], attachment["mrkdwn_in"]) == ("#e74c3c", [])
    assert desk.states(number)["slack"] == "DELIVERED" and not hooks.violations


def test_telegram_gets_plain_text_and_its_pause_is_obeyed(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"telegram": telegram(hooks)}, environment={"BOT": BOT})
    path = f"/bot{BOT}/sendMessage"
    pause = b'{"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}'
    hooks.plans[path] = [Reply(429, pause, window=1.0), Reply(200, b'{"ok": true}')]
    number = desk.tell("*bold* <b>tag</b> " + "x" * 10_000)
    desk.deliver()
    (call,) = hooks.accepted
    assert "parse_mode" not in call.document and call.document["chat_id"] == "-100200300"
    assert "*bold* <b>tag</b> xxx" in call.document["text"]
    assert len(call.document["text"].encode("utf-16-le")) <= 2 * 4096
    assert desk.states(number)["telegram"] == "DELIVERED" and not hooks.violations


def test_a_chat_that_is_gone_makes_the_channel_dead(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"telegram": telegram(hooks)}, environment={"BOT": BOT}, clock=Clock())
    gone = b'{"ok": false, "error_code": 400, "description": "Bad Request: chat not found"}'
    hooks.plans[f"/bot{BOT}/sendMessage"] = [Reply(400, gone)]
    number = desk.tell("hello")
    asyncio.run(desk.sender().step())
    assert desk.states(number)["telegram"] == "DEAD"


def test_a_mail_reaches_everybody_and_its_headers_cannot_be_written(home: Path, database: Database, hooks: Hooks) -> None:
    """S2.27: e-mail, with a real SMTP server; copies of a message have one Message-ID."""
    with mail_server() as server:
        desk = ToldDesk(home, database, hooks, {"email": email(server.port)})
        number = desk.tell("stop\r\nBcc: eve@evil.test\r\n\r\nbuy\u202e", kind="stop\r\nBcc: eve@evil.test", severity="URGENT")
        desk.deliver()
    (received,) = server.mails
    assert received["To"] == "anna@fks.test, ben@fks.test" and received["Bcc"] is None
    assert "URGENT" in received["Subject"]
    assert received["Message-ID"].startswith(f"<fks.{number}.")
    assert "\u202e" not in received.get_content() and f"#{number}" in received.get_content()
    assert desk.states(number)["email"] == "DELIVERED"


@pytest.mark.parametrize(
    "plan",
    [("MAIL", "451 busy"), ("RCPT", "450 later"), ("BODY", "452 full"), ("CONNECT", "421 closing")],
    ids=lambda plan: plan[0],
)
def test_a_mail_server_that_is_busy_is_asked_again(plan: tuple[str, str], home: Path, database: Database, hooks: Hooks) -> None:
    with mail_server() as server:
        server.plan = [plan]
        desk = ToldDesk(home, database, hooks, {"email": email(server.port)})
        number = desk.tell("hello")
        desk.deliver()
    assert len(server.mails) == 1 and desk.states(number)["email"] == "DELIVERED"


def test_a_mail_server_that_is_down_or_drips_holds_up_nobody(
    home: Path, database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMTP down: the message waits for it, and the other channels have it."""
    monkeypatch.setattr(mail, "DEADLINE_SECONDS", 1.0)
    other = {"type": "slack", "url_env": "SLACK"}
    with mail_server() as server:
        server.drip = True
        desk = ToldDesk(home, database, hooks, {"email": email(server.port), "slack": other}, clock=Clock())
        number = desk.tell("hello")
        asyncio.run(desk.sender().step())
        assert desk.states(number) == {"log": "DELIVERED", "email": "PENDING", "slack": "DELIVERED"}
    desk.clock.forward(60)
    asyncio.run(desk.sender().step())
    assert (error_of(desk, number, "email") or "").startswith("cannot be reached")


def test_a_login_that_is_refused_makes_the_channel_dead(home: Path, database: Database, hooks: Hooks) -> None:
    with mail_server() as server:
        server.plan = [("MAIL", "530 5.7.0 Authentication required")]
        desk = ToldDesk(home, database, hooks, {"email": email(server.port)}, clock=Clock())
        number = desk.tell("hello")
        asyncio.run(desk.sender().step())
    assert desk.states(number)["email"] == "DEAD"
    assert error_of(desk, number, "email") == "answered 530: the login was refused"


def test_a_server_without_encryption_gets_no_mail(home: Path, database: Database, hooks: Hooks) -> None:
    """S3: starttls was asked for; a server that does not offer it could be anybody's."""
    with mail_server() as server:
        desk = ToldDesk(home, database, hooks, {"email": email(server.port, security="starttls")}, clock=Clock())
        number = desk.tell("hello")
        asyncio.run(desk.sender().step())
    assert desk.states(number)["email"] == "DEAD" and not server.mails
    assert error_of(desk, number, "email") == "the server does not offer starttls, or no login"


def test_a_text_message_goes_over_twilio(home: Path, database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """S2.27: SMS for what is critical, over apprise; Twilio's address leads to a local server here."""
    from apprise.plugins.twilio import NotifyTwilio

    monkeypatch.setattr(NotifyTwilio, "notify_sms_url", hooks.url + "/{sid}/Messages.json")
    account, secret = "AC" + "a1" * 16, "b2" * 16
    address = f"twilio://{account}:{secret}@15551234567/15557654321"
    channel = {"type": "sms", "url_env": "SMS", "severity": "URGENT"}
    desk = ToldDesk(home, database, hooks, {"sms": channel}, environment={"SMS": address}, clock=Clock())
    hooks.plans[f"/{account}/Messages.json"] = [Reply(500), Reply(201, b"{}"), Reply(401)]
    number = desk.tell("BTC stop " + "x" * 1000, kind="stop", severity="URGENT")
    asyncio.run(desk.sender().step())
    assert error_of(desk, number, "sms") == "twilio answered 500"
    desk.clock.forward(60)
    asyncio.run(desk.sender().step())
    (call,) = hooks.accepted
    body = parse_qs(call.body.decode())
    assert body["To"] == ["+15557654321"] and body["Body"][0].startswith(f"fks SIMULATED URGENT #{number}: BTC stop xxx")
    assert len(body["Body"][0]) <= 300
    assert call.headers["authorization"] == "Basic " + base64.b64encode(f"{account}:{secret}".encode()).decode()
    later = desk.tell("again", severity="URGENT")
    desk.clock.forward(60)
    asyncio.run(desk.sender().step())
    assert desk.states(later)["sms"] == "DEAD"


@pytest.mark.parametrize("address", ["json://127.0.0.1/x", "apprises://evil.test", "kavenegar://key/1", "twilio:", "file:///etc"])
def test_only_services_at_public_addresses_send_text_messages(address: str, home: Path, database: Database, hooks: Hooks) -> None:
    """S4: apprise would post anywhere."""
    channel = {"type": "sms", "url_env": "SMS"}
    desk = ToldDesk(home, database, hooks, {"sms": channel}, environment={"SMS": address}, clock=Clock())
    number = desk.tell("hello", severity="URGENT")
    asyncio.run(desk.sender().step())
    asyncio.run(desk.sender().step())
    assert desk.states(number)["sms"] == "DEAD" and not hooks.calls
