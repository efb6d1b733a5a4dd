"""Telegram: plain text from a bot, without any markup that a text could use, and nobody is called by it."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from fks_assets.notify.addresses import check_url
from fks_assets.notify.channel import Channel, Network, address_shown, send_body, target_of
from fks_assets.notify.message import Message, digest_title, escaped_digest, plain, shortened, utf16_length
from fks_assets.notify.outcome import Answer, Outcome, Result, judged
from fks_assets.settings.notifications import TelegramChannel

# https://core.telegram.org/bots/api#sendmessage
TEXT_LIMIT = 4096
# What calls people or bots: @name, and /word where a word begins.
_CALL = re.compile(r"@|(?<!\S)/")


def open_telegram(name: str, rules: TelegramChannel, network: Network) -> Channel:
    """Return the channel of a bot and a chat. Raises InvalidInput for a missing token or an address that is not allowed."""
    token = network.secret(rules.token_env)
    host = check_url(rules.api_url, loopback=network.loopback)
    url = f"{rules.api_url}/bot{token}/sendMessage"

    async def send(messages: Sequence[Message]) -> Outcome:
        body = orjson.dumps(telegram_document(list(messages), rules.chat_id))
        return await send_body(url, body, loopback=network.loopback, judge=judged_by_telegram)

    return Channel(
        name=name,
        target=target_of("telegram", rules.api_url, token, rules.chat_id),
        host=host,
        shown=address_shown(host, token),
        send=send,
        takes=rules.takes,
        per_minute=rules.per_minute,
        backup=rules.backup,
    )


def telegram_document(messages: list[Message], chat_id: str) -> dict[str, Any]:
    """Return the parameters of sendMessage for one message, or for a digest of several."""
    first = messages[0]
    title = first.title if len(messages) == 1 else digest_title(messages)
    room = TEXT_LIMIT - utf16_length(title) - utf16_length(first.footer) - 4
    text = shortened(quiet(plain(first.text)), room) if len(messages) == 1 else escaped_digest(messages, room, quiet)
    return {
        "chat_id": chat_id,
        "text": f"{title}\n{text}\n\n{first.footer}",
        "link_preview_options": {"is_disabled": True},
    }


def quiet(text: str) -> str:
    """Return text in which Telegram finds no mention and no command, as it does in plain text too."""
    return _CALL.sub("\\g<0>\u200b", text)


def judged_by_telegram(answer: Answer, now_ms: int) -> Outcome:
    """Return what an answer means: a chat that is unknown or has blocked the bot takes no other message either."""
    description = str(answer.document.get("description", ""))
    if answer.status == 400 and any(words in description for words in ("chat not found", "chat_id is empty", "PEER_ID_INVALID")):
        return Outcome(Result.DEAD, "answered 400: chat not found")
    return judged(answer, now_ms)
