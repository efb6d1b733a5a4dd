"""A server of one's own: messages as JSON, signed with a shared key and the time, so that nobody else can write or repeat one."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from fks_assets.clock import iso, now_ms
from fks_assets.notify.addresses import check_url
from fks_assets.notify.channel import Channel, Network, address_shown, send_body, target_of
from fks_assets.notify.message import Message, digest_title, event_of, plain, worst
from fks_assets.notify.outcome import Outcome
from fks_assets.settings.notifications import WebhookChannel

TIMESTAMP, SIGNATURE, EVENT = "X-Fks-Timestamp", "X-Fks-Signature", "X-Fks-Event"
AT_ONCE = 200


def open_webhook(name: str, rules: WebhookChannel, network: Network, clock: Callable[[], int] = now_ms) -> Channel:
    """Return the channel of a server. Raises InvalidInput for a missing address or key, and an address that is not allowed."""
    url, key = network.secret(rules.url_env), network.secret(rules.secret_env)
    host = check_url(url, loopback=network.loopback)

    async def send(messages: Sequence[Message]) -> Outcome:
        body = orjson.dumps(webhook_document(list(messages)))
        at = str(clock() // 1000)
        headers = {TIMESTAMP: at, SIGNATURE: f"sha256={signature(key, at, body)}", EVENT: event_of(list(messages))}
        return await send_body(url, body, loopback=network.loopback, headers=headers)

    return Channel(
        name=name,
        target=target_of("webhook", url, key),
        host=host,
        shown=address_shown(host, url),
        send=send,
        takes=rules.takes,
        per_minute=rules.per_minute,
        backup=rules.backup,
        at_once=AT_ONCE,
    )


def signature(key: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256, in hexadecimal, of `timestamp.body`; the timestamp is in UTC seconds."""
    return hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def webhook_document(messages: list[Message]) -> dict[str, Any]:
    """Return the document of one message, or of a digest with all of them in full."""
    if len(messages) == 1:
        return _document(messages[0])
    return {
        "event": event_of(messages),
        "kind": "digest",
        "severity": worst(messages),
        "title": digest_title(messages),
        "simulated": messages[0].simulated,
        "messages": [_document(each) for each in messages],
    }


def _document(message: Message) -> dict[str, Any]:
    return {
        "event": message.event_id,
        "id": message.id,
        "kind": message.kind,
        "severity": message.severity,
        "title": message.title,
        "message": plain(message.text),
        "created_at": iso(message.created_at),
        "escalation": message.round_number,
        "simulated": message.simulated,
    }
