"""Slack, Telegram and e-mail over real sockets; the services' public addresses are the only thing replaced."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fks_assets.notify import mail
from fks_assets.stores.database import Database
from fks_assets.stores.notification_targets import read_targets
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.mail_server import mail_server
from fks_assets_tests.notify.told import Clock, ToldDesk

BOT = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


def email(port: int, **options: Any) -> dict[str, Any]:
    people = {"sender": "desk@fks.test", "recipients": ["anna@fks.test", "ben@fks.test"]}
    return {"type": "email", "host": "127.0.0.1", "port": port, "security": "none", **people, **options}


def telegram(hooks: Hooks) -> dict[str, Any]:
    return {"type": "telegram", "token_env": "BOT", "chat_id": "-100200300", "api_url": hooks.url}


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


@pytest.mark.parametrize("farewell", ["421 busy, closing", "500 what?", "250 fine"])
def test_a_mail_that_was_taken_is_not_sent_again_whatever_follows(
    farewell: str, home: Path, database: Database, hooks: Hooks
) -> None:
    """N2: the server took it, and is rude when we leave."""
    with mail_server() as server:
        server.plan = [("QUIT", farewell)] * 5
        desk = ToldDesk(home, database, hooks, {"email": email(server.port)}, clock=Clock())
        number = desk.tell("hello")
        for _ in range(3):
            asyncio.run(desk.sender().step())
            desk.clock.forward(60)
    assert len(server.mails) == 1 and desk.states(number)["email"] == "DELIVERED"


def test_people_whom_a_mail_does_not_reach_are_shown(home: Path, database: Database, hooks: Hooks) -> None:
    """One of two got it: it is not sent to her again, and the channel says that the other did not."""
    with mail_server() as server:
        server.refused = {"ben@fks.test": "550 no such user"}
        desk = ToldDesk(home, database, hooks, {"email": email(server.port)}, clock=Clock())
        number = desk.tell("hello")
        asyncio.run(desk.sender().step())
        assert len(server.mails) == 1 and desk.states(number)["email"] == "DELIVERED"
        assert read_targets(database)["email"].reason == "1 of 2 recipients refused: answered 550"
        server.refused = {"anna@fks.test": "550 no such user", "ben@fks.test": "450 come back"}
        later = desk.tell("again")
        asyncio.run(desk.sender().step())
        assert desk.states(later)["email"] == "PENDING", "ben's server wants it later"
        server.refused = {}
        desk.clock.forward(60)
        asyncio.run(desk.sender().step())
    assert desk.states(later)["email"] == "DELIVERED" and read_targets(database)["email"].reason is None


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
    assert (desk.error(number, "email") or "").startswith("cannot be reached")


def test_a_login_that_is_refused_makes_the_channel_dead(home: Path, database: Database, hooks: Hooks) -> None:
    with mail_server() as server:
        server.plan = [("MAIL", "530 5.7.0 Authentication required")]
        desk = ToldDesk(home, database, hooks, {"email": email(server.port)}, clock=Clock())
        number = desk.tell("hello")
        asyncio.run(desk.sender().step())
    assert desk.states(number)["email"] == "DEAD"
    assert desk.error(number, "email") == "answered 530: the login was refused"


def test_a_server_without_encryption_gets_no_mail(home: Path, database: Database, hooks: Hooks) -> None:
    """S3: starttls was asked for; a server that does not offer it could be anybody's."""
    with mail_server() as server:
        desk = ToldDesk(home, database, hooks, {"email": email(server.port, security="starttls")}, clock=Clock())
        number = desk.tell("hello")
        asyncio.run(desk.sender().step())
    assert desk.states(number)["email"] == "DEAD" and not server.mails
    assert desk.error(number, "email") == "the server does not offer starttls, or no login"
