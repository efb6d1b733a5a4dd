"""Discord: one embed a message, coloured by severity, within Discord's limits, and nobody is pinged by what a text contains."""

import re
from typing import Any

from fks_assets.clock import iso
from fks_assets.notify.channel import Channel, Network, webhook_channel
from fks_assets.notify.message import COLOURS, Message, digest_title, escaped_digest, plain, shortened, utf16_length, worst
from fks_assets.settings.notifications import DiscordChannel

HOSTS = ("discord.com", "ptb.discord.com", "canary.discord.com", "discordapp.com")
# https://discord.com/developers/docs/resources/message#embed-object-embed-limits
CONTENT_LIMIT, TITLE_LIMIT, TEXT_LIMIT, FOOTER_LIMIT, EMBEDS_LIMIT = 2000, 256, 4096, 2048, 6000
# A colon makes links and emoji; a dash or plus makes a list where a line begins.
_MARKDOWN = re.compile(r"([\\`*_~|<>\[\]#:])")
_LIST = re.compile(r"^([ \t]*)([-+])", re.MULTILINE)


def open_discord(name: str, rules: DiscordChannel, network: Network) -> Channel:
    """Return the channel of a webhook. Raises InvalidInput for an address that is missing or none of Discord's."""
    return webhook_channel(name, "discord", rules, network, hosts=HOSTS, payload=discord_payload)


def discord_payload(messages: list[Message]) -> dict[str, Any]:
    """Return the body for one message, or for a digest of several."""
    first = messages[0]
    if len(messages) == 1:
        title, text, footer = escaped(first.title), escaped(plain(first.text)), first.footer
        severity, at = first.severity, first.created_at
    else:
        severity, at = worst(messages), max(each.created_at for each in messages)
        title, text = digest_title(messages), escaped_digest(messages, TEXT_LIMIT, escaped)
        footer = f"#{first.event_id} and others · {severity}{' · SIMULATED' if first.simulated else ''}"
    title, footer = shortened(title, TITLE_LIMIT), shortened(footer, FOOTER_LIMIT)
    room = min(TEXT_LIMIT, EMBEDS_LIMIT - utf16_length(title) - utf16_length(footer))
    embed = {
        "title": title,
        "description": shortened(text, room),
        "color": COLOURS[severity],
        "timestamp": iso(at),
        "footer": {"text": footer},
    }
    body = {"username": "fks", "embeds": [embed], "allowed_mentions": {"parse": []}}
    # A phone shows the content of a message and not its embeds.
    return {**body, "content": shortened(f"**{title}**", CONTENT_LIMIT)} if severity == "URGENT" else body


def escaped(text: str) -> str:
    """Return text that Discord shows as it is: no markdown, no mention, no link that is not what it says."""
    return _LIST.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", text)).replace("@", "@\u200b")
