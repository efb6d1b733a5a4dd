"""Text messages over services that apprise knows; of an answer it says only whether it was a success."""

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from fks_assets.errors import InvalidInput
from fks_assets.notify.channel import Channel, Network, address_shown, target_of
from fks_assets.notify.message import Message, digest_text, digest_title, plain, shortened, utf16_length
from fks_assets.notify.outcome import Outcome, Result
from fks_assets.settings.notifications import SmsChannel

# Services at one public https address each: an address in a setting could lead into the private network.
SERVICES = ("46elks", "bulksms", "clickatell", "d7sms", "httpsms", "msgbird", "nexmo", "plivo", "twilio", "voipms", "vonage")
TEXT_LIMIT, AT_ONCE, DEADLINE_SECONDS = 300, 1000, 30.0
_STATUS = re.compile(r"error=(\d{3})")


def open_sms(name: str, rules: SmsChannel, network: Network) -> Channel:
    """Return the channel of a text message service. Raises InvalidInput for an address that is missing or not understood."""
    url = network.secret(rules.url_env)
    service = urlsplit(url).scheme.lower()
    if service not in SERVICES:
        raise InvalidInput(f"the service {service[:20]!r} is unknown; known: {', '.join(SERVICES)}")

    async def send(messages: Sequence[Message]) -> Outcome:
        return await asyncio.to_thread(_deliver, url, service, sms_text(list(messages)))

    return Channel(
        name=name,
        target=target_of("sms", url),
        host=service,
        shown=address_shown(service, url),
        send=send,
        takes=rules.takes,
        per_minute=rules.per_minute,
        backup=rules.backup,
        at_once=AT_ONCE,
        deadline_seconds=DEADLINE_SECONDS,
    )


def sms_text(messages: list[Message]) -> str:
    """Return the text of one message, or of a digest that names the worst ones: two text messages long."""
    first = messages[0]
    desk = "fks SIMULATED" if first.simulated else "fks"
    if len(messages) == 1:
        head, text = f"{desk} {first.severity} #{first.event_id}: ", plain(first.text, one_line=True)
        return f"{head}{shortened(text, TEXT_LIMIT - len(head))}"
    head = f"{desk} {digest_title(messages)}\n"
    return f"{head}{digest_text(messages, TEXT_LIMIT - utf16_length(head))}"


def _deliver(url: str, service: str, text: str) -> Outcome:
    import apprise

    # It names numbers and addresses, also where nobody captures it.
    logging.getLogger("apprise").propagate = False
    sender: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if sender is None:
        return Outcome(Result.DEAD, f"{service}: the address is not understood")
    with apprise.LogCapture(level=logging.WARNING) as said:
        arrived = sender.notify(body=text)
    if arrived:
        return Outcome(Result.DELIVERED)
    found = _STATUS.search(said.getvalue())
    status = None if found is None else int(found[1])
    words = f"{service} gave no answer" if status is None else f"{service} answered {status}"
    return Outcome(Result.DEAD if status in (401, 403, 404) else Result.LATER, words)
