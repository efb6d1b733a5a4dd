"""Slack: an attachment coloured by severity, in which nothing is a mention, a link or formatting."""

from typing import Any

from fks_assets.notify.channel import Channel, Network, webhook_channel
from fks_assets.notify.message import COLOURS, Message, digest_title, escaped_digest, plain, shortened, worst
from fks_assets.settings.notifications import SlackChannel

HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
TEXT_LIMIT = 3800


def open_slack(name: str, rules: SlackChannel, network: Network) -> Channel:
    """Return the channel of an incoming webhook. Raises InvalidInput for an address that is missing or none of Slack's."""
    return webhook_channel(name, "slack", rules, network, hosts=HOSTS, payload=slack_payload)


def slack_payload(messages: list[Message]) -> dict[str, Any]:
    """Return the body for one message, or for a digest of several."""
    first = messages[0]
    if len(messages) == 1:
        title, text, severity = first.title, shortened(escaped(plain(first.text)), TEXT_LIMIT), first.severity
    else:
        title, text, severity = digest_title(messages), escaped_digest(messages, TEXT_LIMIT, escaped), worst(messages)
    attachment = {
        "color": f"#{COLOURS[severity]:06x}",
        "text": text,
        "footer": escaped(first.footer),
        "mrkdwn_in": [],
    }
    return {"text": escaped(title), "mrkdwn": False, "attachments": [attachment]}


def escaped(text: str) -> str:
    """Return text without control sequences (https://docs.slack.dev/messaging/formatting-message-text#escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
