"""E-mail over SMTP. A mail server may stand in a private network, so its address is not held to be public."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
import time
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime

from fks_assets.clock import to_datetime
from fks_assets.notify.channel import Channel, Network, target_of
from fks_assets.notify.message import Message, digest_text, digest_title, event_of, plain, shortened, worst
from fks_assets.notify.outcome import Outcome, Result
from fks_assets.settings.notifications import EmailChannel

DEADLINE_SECONDS, ANSWER_SECONDS = 25.0, 10.0
TEXT_LIMIT, AT_ONCE, SUBJECT_LIMIT = 200_000, 200, 150
_NO_LOGIN = (530, 534, 535, 538)


def open_mail(name: str, rules: EmailChannel, network: Network) -> Channel:
    """Return the channel of a mail server. Raises InvalidInput for a password that is missing."""
    password = None if rules.password_env is None else network.secret(rules.password_env)

    async def send(messages: Sequence[Message]) -> Outcome:
        return await _send(rules, password, mail_of(list(messages), rules))

    return Channel(
        name=name,
        target=target_of("email", rules.host, str(rules.port), rules.user or "", password or "", *rules.recipients),
        host=rules.host,
        shown=f"{rules.host}/{len(rules.recipients)} recipients",
        send=send,
        takes=rules.takes,
        per_minute=rules.per_minute,
        backup=rules.backup,
        at_once=AT_ONCE,
        deadline_seconds=DEADLINE_SECONDS,
    )


def mail_of(messages: list[Message], rules: EmailChannel) -> EmailMessage:
    """Return the mail of one message, or of a digest of several; copies of one have the same Message-ID."""
    first = messages[0]
    alone = len(messages) == 1
    title = first.title if alone else digest_title(messages)
    text = shortened(plain(first.text), TEXT_LIMIT) if alone else digest_text(messages, TEXT_LIMIT)
    mail = EmailMessage()
    mail["Subject"] = shortened(plain(f"[fks] {worst(messages)} {title}", one_line=True), SUBJECT_LIMIT)
    mail["From"] = rules.sender
    mail["To"] = ", ".join(rules.recipients)
    mail["Date"] = format_datetime(to_datetime(max(each.created_at for each in messages)))
    mail["Message-ID"] = f"<fks.{event_of(messages)}.{first.created_at}@{rules.sender.rpartition('@')[2]}>"
    mail["X-Fks-Event"] = event_of(messages)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{text}\n\n{first.footer}\n")
    return mail


class _Server(smtplib.SMTP):
    """A connection that is known before its greeting has come."""

    def __init__(self, opened: list[smtplib.SMTP], rules: EmailChannel) -> None:
        opened.append(self)
        super().__init__(rules.host, rules.port, timeout=ANSWER_SECONDS)


class _TlsServer(smtplib.SMTP_SSL):
    """The same, encrypted from the start."""

    def __init__(self, opened: list[smtplib.SMTP], rules: EmailChannel, context: ssl.SSLContext) -> None:
        opened.append(self)
        super().__init__(rules.host, rules.port, timeout=ANSWER_SECONDS, context=context)


async def _send(rules: EmailChannel, password: str | None, mail: EmailMessage) -> Outcome:
    opened: list[smtplib.SMTP] = []
    until = time.monotonic() + DEADLINE_SECONDS
    task = asyncio.create_task(asyncio.to_thread(_deliver, rules, password, mail, opened, until))
    try:
        return await asyncio.wait_for(asyncio.shield(task), DEADLINE_SECONDS)
    except TimeoutError:
        # A server that drips resets every timeout but this one.
        for each in opened:
            with contextlib.suppress(OSError, AttributeError):
                each.sock.shutdown(socket.SHUT_RDWR)
        return await task


def _deliver(rules: EmailChannel, password: str | None, mail: EmailMessage, opened: list[smtplib.SMTP], until: float) -> Outcome:
    context = ssl.create_default_context()
    taken: Outcome | None = None
    try:
        with _TlsServer(opened, rules, context) if rules.security == "tls" else _Server(opened, rules) as server:
            if rules.security == "starttls":
                server.starttls(context=context)
            if rules.user is not None and password is not None:
                server.login(rules.user, password)
            if time.monotonic() > until:
                return Outcome(Result.LATER, f"no connection within {DEADLINE_SECONDS:g} s")
            taken = _taken(server.send_message(mail, rules.sender, list(rules.recipients)), len(rules.recipients))
    except (smtplib.SMTPException, OSError) as error:
        # What goes wrong after it was taken, at the farewell, must not send it again.
        return taken or _failed(error, rules.security)
    return taken


def _taken(refused: dict[str, tuple[int, bytes]], count: int) -> Outcome:
    if not refused:
        return Outcome(Result.DELIVERED)
    return Outcome(Result.DELIVERED, f"{len(refused)} of {count} recipients refused: answered {_least(refused)}")


def _least(refused: dict[str, tuple[int, bytes]]) -> int:
    """Return the mildest code: what one recipient's server wants later is worth another try."""
    return min(code for code, _ in refused.values())


def _failed(error: smtplib.SMTPException | OSError, security: str) -> Outcome:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _judged(_least(error.recipients))
    if isinstance(error, smtplib.SMTPResponseException):
        return _judged(error.smtp_code)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome(Result.DEAD, f"the server does not offer {security}, or no login")
    if isinstance(error, ssl.SSLError):
        return Outcome(Result.LATER, f"no secure connection: {error.reason or type(error).__name__}")
    return Outcome(Result.LATER, f"cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}")


def _judged(code: int) -> Outcome:
    """Return what a reply code means: 4yz is for now, 5yz for good (RFC 5321, 4.2.1)."""
    words = f"answered {code}"
    if code in _NO_LOGIN:
        return Outcome(Result.DEAD, f"{words}: the login was refused")
    return Outcome(Result.REFUSED if code >= 500 else Result.LATER, words)
