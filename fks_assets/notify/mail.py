"""E-mail over SMTP. A mail server may stand in a private network, so its address is not held to be public."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime

from fks_assets.clock import to_datetime
from fks_assets.notify.channel import Channel, Network, target_of
from fks_assets.notify.message import Message, digest_text, digest_title, plain, shortened, worst
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
    mail["Message-ID"] = f"<fks.{first.event_id}.{first.created_at}.{len(messages)}@{rules.sender.rpartition('@')[2]}>"
    mail["X-Fks-Event"] = first.event_id
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
    task = asyncio.create_task(asyncio.to_thread(_deliver, rules, password, mail, opened))
    try:
        return await asyncio.wait_for(asyncio.shield(task), DEADLINE_SECONDS)
    except TimeoutError:
        # A server that drips resets every timeout but this one.
        for each in opened:
            with contextlib.suppress(OSError, AttributeError):
                each.sock.shutdown(socket.SHUT_RDWR)
        return await task


def _deliver(rules: EmailChannel, password: str | None, mail: EmailMessage, opened: list[smtplib.SMTP]) -> Outcome:
    context = ssl.create_default_context()
    try:
        with _TlsServer(opened, rules, context) if rules.security == "tls" else _Server(opened, rules) as server:
            if rules.security == "starttls":
                server.starttls(context=context)
            if rules.user is not None and password is not None:
                server.login(rules.user, password)
            server.send_message(mail, rules.sender, list(rules.recipients))
    except smtplib.SMTPRecipientsRefused as error:
        return _judged(max(code for code, _ in error.recipients.values()))
    except smtplib.SMTPResponseException as error:
        return _judged(error.smtp_code)
    except smtplib.SMTPNotSupportedError:
        return Outcome(Result.DEAD, f"the server does not offer {rules.security}, or no login")
    except ssl.SSLError as error:
        return Outcome(Result.LATER, f"no secure connection: {error.reason or type(error).__name__}")
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(Result.LATER, f"cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}")
    return Outcome(Result.DELIVERED)


def _judged(code: int) -> Outcome:
    """Return what a reply code means: 4yz is for now, 5yz for good (RFC 5321, 4.2.1)."""
    words = f"answered {code}"
    if code in _NO_LOGIN:
        return Outcome(Result.DEAD, f"{words}: the login was refused")
    return Outcome(Result.REFUSED if code >= 500 else Result.LATER, words)
