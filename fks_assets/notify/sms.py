"""Text messages over services that apprise knows; of an answer it says only whether it was a success."""

import asyncio
import logging
import re
import threading
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
# A status of HTTP, or a code of the service's own.
_ERROR = re.compile(r"error=(\d*)")
# https://www.twilio.com/docs/api/errors: 20003 the login is refused, 20005 the account is closed, 20404 it is unknown.
_NO_LOGIN = (401, 403, 404, 20003, 20005, 20404)
_FOR_NOW = (408, 425, 429, 20429)


def open_sms(name: str, rules: SmsChannel, network: Network) -> Channel:
    """Return the channel of a text message service. Raises InvalidInput for an address that is missing or not understood."""
    url = network.secret(rules.url_env)
    service = urlsplit(url).scheme.lower()
    if service not in SERVICES:
        raise InvalidInput(f"the service {service[:20]!r} is unknown; known: {', '.join(SERVICES)}")

    async def send(messages: Sequence[Message]) -> Outcome:
        delivering = asyncio.to_thread(_deliver, url, service, sms_text(list(messages)))
        try:
            return await asyncio.wait_for(delivering, DEADLINE_SECONDS)
        except TimeoutError:
            return Outcome(Result.LATER, f"{service} gave no answer within {DEADLINE_SECONDS:g} s")

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


class _Heard(logging.Handler):
    """Keeps what apprise says of the troubles of this thread; other channels may be under way in others."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.said += record.getMessage()


def _deliver(url: str, service: str, text: str) -> Outcome:
    import apprise

    log, heard = logging.getLogger("apprise"), _Heard()
    # It names numbers and addresses.
    log.propagate = False
    log.setLevel(logging.WARNING)
    log.addHandler(heard)
    try:
        sender: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if sender is None:
            return Outcome(Result.DEAD, f"{service}: the address is not understood")
        if len(sender) > 1:
            return Outcome(Result.DEAD, f"{service}: the address leads to {len(sender)} numbers; give each a channel of its own")
        return Outcome(Result.DELIVERED) if sender.notify(body=text) else _judged(service, heard.said)
    finally:
        log.removeHandler(heard)


def _judged(service: str, said: str) -> Outcome:
    """Return what apprise's words about a failure mean; without an error there was no answer."""
    found = _ERROR.search(said)
    if found is None:
        return Outcome(Result.LATER, f"{service} gave no answer")
    code = int(found[1] or 0)
    words = f"{service} answered {code}" if code else f"{service} refused it"
    if code in _NO_LOGIN:
        return Outcome(Result.DEAD, words)
    is_for_now = code in _FOR_NOW or 500 <= code < 600 or 20500 <= code < 20600
    return Outcome(Result.LATER if is_for_now else Result.REFUSED, words)
