"""What a text cannot do: ping people, format, hide, grow beyond limits, or carry a secret out."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import SettingsError
from fks_assets.notify.discord import discord_payload
from fks_assets.notify.log_file import MOST_BYTES, OLDER_FILES, append
from fks_assets.notify.message import Message, digest_text, plain, utf16_length
from fks_assets.notify.slack import slack_payload
from fks_assets.notify.sms import sms_text
from fks_assets.notify.telegram import telegram_document
from fks_assets.settings import SHIPPED_DESK, read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reconciliations import beat, read_heartbeats
from fks_assets.stores.notifications import MOST_TEXT, notify, read_notifications
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import TOKEN, Clock, ToldDesk, discord

SEVERITY = st.sampled_from(["INFO", "WARN", "HIGH", "URGENT"])
# Whatever a feed, an exchange or an error may hold, and what is worth more tries.
TEXT = st.text(max_size=12_000) | st.text(alphabet="@everyone<>`*_~|\\[]()#:-\n\u202e\u200bمرحبا😀", min_size=1, max_size=9_000)
MESSAGE = st.builds(
    Message, st.integers(1, 10**9), st.text(max_size=300), SEVERITY, TEXT, st.just(1_795_000_000_000), st.integers(0, 9)
)


def shown(escaped: str) -> str:
    """Return what Discord shows of a text, by its rule that a backslash takes a character's meaning."""
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", escaped)


@given(st.lists(MESSAGE, min_size=1, max_size=12))
def test_no_message_is_beyond_the_limits_of_discord(messages: list[Message]) -> None:
    """N4: 2,000 for the content, 256 for a title, 4,096 for a text, 6,000 for all; nobody is mentioned."""
    body = discord_payload(messages)
    (embed,) = body["embeds"]
    lengths = [utf16_length(text) for text in (embed["title"], embed["description"], embed["footer"]["text"])]
    assert lengths[0] <= 256 and lengths[1] <= 4096 and lengths[2] <= 2048 and sum(lengths) <= 6000
    assert utf16_length(body.get("content", "")) <= 2000
    assert body["allowed_mentions"] == {"parse": []}
    json.dumps(body)


@given(st.lists(MESSAGE, min_size=1, max_size=12))
def test_no_message_is_beyond_the_limits_of_the_others(messages: list[Message]) -> None:
    assert utf16_length(telegram_document(messages, "1")["text"]) <= 4096
    assert utf16_length(sms_text(messages)) <= 300
    (attachment,) = slack_payload(messages)["attachments"]
    assert utf16_length(attachment["text"]) <= 3800
    assert not re.search(r"[<>]", attachment["text"])


@given(TEXT)
def test_every_character_that_formats_is_escaped(text: str) -> None:
    """N4: without its backslashes a text is what was said, and no character that formats stands without one."""
    description = discord_payload([Message(1, "alert", "INFO", text, 0)])["embeds"][0]["description"]
    bare = re.sub(r"\\.", "", description, flags=re.DOTALL)
    assert not re.search(r"[`*_~|<>\[\]#:]", bare)
    assert not re.search(r"^[ \t]*[-+]", description, re.MULTILINE)
    assert "@everyone" not in description and "@here" not in description
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", description)
    if utf16_length(description) < 4096:
        assert shown(description).replace("@\u200b", "@") == plain(text)


@pytest.mark.parametrize("severity", ["INFO", "URGENT"])
def test_what_pings_people_elsewhere_is_only_text(severity: str, home: Path, database: Database, hooks: Hooks) -> None:
    """N4: @everyone, a code fence, a right-to-left override, a title of 10 kB, over the real socket."""
    desk = ToldDesk(home, database, hooks, {"discord": discord("first")})
    desk.tell("@everyone <@&123> ```sql DROP``` \u202etxt.exe " + "A" * 10_000, kind="x" * 10_000, severity=severity)
    desk.deliver()
    body = hooks.accepted[0].document
    text = json.dumps(body, ensure_ascii=False)
    assert "@everyone" not in text and "\u202e" not in text and "```" not in text and "<@" not in text.replace("\\<", "")
    assert len(body["embeds"][0]["title"]) <= 256 and body["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize("count", [1, 3])
def test_telegram_calls_nobody_and_runs_no_command(count: int) -> None:
    """N4: without any markup Telegram still makes @name a mention and /word a command."""
    words = "@admin_{0} /start_{0} a/b 1/2 me@x.org"
    messages = [Message(number, "alert", "HIGH", words.format(number), 0) for number in range(count)]
    text = telegram_document(messages, "1")["text"]
    assert not re.search(r"@\w|(^|\s)/\w", text)
    assert "a/b 1/2" in text and text.replace("\u200b", "").count("@admin_0 /start_0") == 1


def test_a_digest_names_every_message_while_there_is_room() -> None:
    messages = [Message(number, "alert", "WARN", f"market {number} is late", 0) for number in range(40)]
    lines = digest_text(messages, 4096).splitlines()
    assert len(lines) == 40 and lines[7] == "#7 WARN market 7 is late"
    short = digest_text([*messages, Message(99, "stop", "URGENT", "stop", 0)], 300).splitlines()
    assert short[0] == "#99 URGENT stop"
    assert short[-1] == f"… and {41 - (len(short) - 1)} more: fks notifications"


def test_an_address_is_never_said(home: Path, database: Database, hooks: Hooks, caplog: pytest.LogCaptureFixture) -> None:
    """S3: not in the database, a log or a message, not even when someone writes it into one; host and last four only."""
    channels = {"first": discord("first"), "second": discord("second", backup=True)}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(404, desk.address("first").encode())]
    with caplog.at_level(logging.DEBUG):
        desk.tell(f"look at {desk.address('FIRST')} and {TOKEN}")
        for _ in range(3):
            asyncio.run(desk.sender().step())
            desk.clock.forward(5)
        logging.getLogger("any").error("posting to %s failed", desk.address("FIRST"))
    assert hooks.accepted
    rows: list[Any] = []
    with database.transaction() as connection:
        for table in ("deliveries", "notification_targets"):
            rows += connection.exec_driver_sql(f"SELECT to_jsonb(t) FROM {table} t").scalars()
    said = json.dumps(rows) + caplog.text + "".join(call.text for call in hooks.accepted) + (home / "alerts.log").read_text()
    assert TOKEN not in said and TOKEN[:30] not in said
    assert f"127.0.0.1/…{TOKEN[-4:]}" in said


def test_a_token_in_a_question_is_a_secret_too(home: Path, database: Database, hooks: Hooks) -> None:
    """S3: many services of one's own want it behind a question mark."""
    channel = {"type": "webhook", "url_env": "HOOK", "secret_env": "KEY"}
    token = "Qz7" + "t" * 40
    environment = {"HOOK": f"{hooks.url}/in?token={token}&x=1", "KEY": "k" * 32}
    desk = ToldDesk(home, database, hooks, {"own": channel, "first": discord("first")}, environment=environment)
    number = desk.tell(f"the token is {token}")
    desk.deliver()
    assert desk.states(number) == {"log": "DELIVERED", "own": "DELIVERED", "first": "DELIVERED"}
    assert not any(token in call.body.decode() for call in hooks.accepted)


@pytest.mark.parametrize(
    "channel",
    [
        f'type = "discord"\nurl_env = "https://discord.com/api/webhooks/1/{TOKEN}"',
        f'type = "telegram"\nchat_id = "1"\ntoken_env = "123:{TOKEN}"',
    ],
)
def test_a_pasted_secret_in_the_settings_is_refused_without_being_shown(channel: str, home: Path) -> None:
    """S3: the setting wants the name of a variable."""
    place = home / "desk.toml"
    place.write_text(f"{SHIPPED_DESK.read_text()}\n[notifications.channels.a]\n{channel}\n")
    with pytest.raises(SettingsError, match=r"notifications\.channels\.a\..*_env: .*pattern") as raised:
        read_settings({"FKS_DESK": str(place)}, home)
    assert TOKEN not in str(raised.value)


def test_the_log_makes_room_before_it_is_full(home: Path) -> None:
    path = home / "alerts.log"
    message = Message(1, "alert", "INFO", "x" * (MOST_BYTES // 3), 0)
    for number in range(12):
        append(path, [Message(number, "alert", "INFO", message.text, 0)])
    files = sorted(each.name for each in home.iterdir())
    assert files == ["alerts.log", *(f"alerts.log.{number}" for number in range(1, OLDER_FILES + 1))]
    assert all(each.stat().st_size <= MOST_BYTES for each in home.iterdir())
    newest = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert newest[-1] == 11


def test_half_a_line_of_a_crash_stays_alone(home: Path) -> None:
    path = home / "alerts.log"
    path.write_text('{"event": "1", "mess')
    append(path, [Message(2, "alert", "INFO", "whole", 0)])
    assert json.loads(path.read_text().splitlines()[1])["message"] == "whole"


@pytest.mark.parametrize("words", ["nul \x00 inside", "half \ud83d a pair", "x" * 300_000], ids=["NUL", "surrogate", "long"])
def test_no_words_undo_what_they_tell_of(words: str, database: Database) -> None:
    """N1: the row is in the event's transaction, so one that the database refuses would take the event with it."""
    for _ in range(2):
        with database.transaction() as connection:
            beat(connection, "the event", at_ms=1)
            notify(connection, "alert", "HIGH", words, f"alert:{words}")
    (told,) = read_notifications(database)
    assert told.message.startswith(words[:4]) and len(told.message) <= MOST_TEXT
    assert "the event" in read_heartbeats(database)
    with database.transaction() as connection:
        assert notify(connection, "alert", "HIGH", words, f"alert:{words}, another one")
