"""What this process must not say: once a secret is known here, its logs, errors and core dumps are without it.

`hide` is called where a secret enters the process: a decrypted API key, a database's password, the key of the credentials.
"""

import base64
import html
import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from fks_assets.errors import TradingError

HIDDEN = "[hidden]"
# A shorter secret is a part of too many honest words; in a URL it is hidden all the same.
SHORTEST_SECRET = 8
_USER_INFO = re.compile(r"(?<=://)([^\s/:@'\"]*):[^\s@/?#'\"]+@(?=[^\s@/])")
# Whoever knows the address of a webhook may write there: it is shown as its host and its last four characters.
_WEBHOOK = re.compile(
    r"""(https?:// (?: hooks\.[^\s/'"<>]+ | [^\s/'"<>]+ (?=/(?:[^\s'"<>]*/)?webhooks?/) ) )
        / [^\s'"<>]*? ([^\s'"<>]{4}) (?![^\s'"<>])""",
    re.IGNORECASE | re.VERBOSE,
)
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_SECRET_VARIABLE = re.compile(r"SECRET|PASSW|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY|TOKEN|WEBHOOK|DATABASE_URL", re.IGNORECASE)
# What their words are made of stands in no dictionary.
_OF_OS_ERRORS = ("strerror", "filename", "filename2")
_formatter = logging.Formatter()
_lock = threading.Lock()
_known: set[str] = set()
_forms: tuple[str, ...] = ()
_is_watching = False


def hide(*secrets: str | None) -> None:
    """Leave these secrets out of whatever this process logs or raises from now on, and let it leave no core dump."""
    global _forms, _is_watching
    with _lock:
        if not _is_watching:
            _forbid_core_dumps()
            _watch_logs()
            _is_watching = True
        new = {form for secret in secrets if secret and len(secret) >= SHORTEST_SECRET for form in forms_of(secret)} - _known
        if new:
            _known.update(new)
            _forms = (*_forms, *new)


def forms_of(secret: str) -> set[str]:
    """Return how a secret may look inside other text: plain, escaped, for a URL, hexadecimal, and in base64 at any offset."""
    raw = secret.encode()
    forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], html.escape(secret)}
    forms |= {raw.hex(), raw.hex().upper()}
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        forms |= {quoted, _PERCENT.sub(lambda found: found[0].lower(), quoted)}
    for before in range(3):
        # The digits at the ends depend on what stands beside the secret.
        digits = base64.b64encode(bytes(before) + raw).rstrip(b"=").decode()
        inner = digits[(before * 8 + 5) // 6 : len(digits) - bool((before + len(raw)) % 3)]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SHORTEST_SECRET}


def redacted(text: str) -> str:
    """Return the text with `[hidden]` in the place of every known secret, and of passwords and webhooks in URLs."""
    if found := _longest_first(text, _forms):
        text = re.sub("|".join(map(re.escape, found)), HIDDEN, text)
    if "://" in text and "@" in text:
        text = _USER_INFO.sub(rf"\1:{HIDDEN}@", text)
    if "://" in text and "hook" in text.lower():
        text = _WEBHOOK.sub(r"\1/…\2", text)
    return text


def redacted_json(text: str) -> str:
    """Return a JSON document with every text in it redacted, unchanged when there is nothing to hide.

    Names that begin with two underscores, and their values, say what an object is and stay.
    """
    if not _differs(text):
        return text
    return json.dumps(_redacted_value(json.loads(text)))


def redacted_body(body: bytes, *more: str) -> bytes:
    """Return an answer's bytes without the known secrets and without `more`, for what is passed on of it in messages."""
    text = body.decode("latin-1")
    for form in _longest_first(text, (*_forms, *(form for secret in more for form in forms_of(secret)))):
        text = text.replace(form, HIDDEN)
    return text.encode("latin-1")


def clean(error: BaseException) -> bool:
    """Take secrets out of the words of an error, its causes and contexts, in place; return whether all are gone."""
    seen: set[int] = set()
    left: list[BaseException] = [error]
    is_clean = True
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        # Some errors carry others without being raised from them.
        others = (each.__cause__, each.__context__, *each.args, *vars(each).values(), *getattr(each, "exceptions", ()))
        left += [other for other in others if isinstance(other, BaseException)]
        if any(_differs(part) for part in each.args):
            each.args = tuple(_redacted_part(part) for part in each.args)
        for name in (*vars(each), *_OF_OS_ERRORS):
            value = getattr(each, name, None)
            if isinstance(value, str | bytes) and _differs(value):
                setattr(each, name, _redacted_part(value))
        if notes := getattr(each, "__notes__", None):
            notes[:] = [_redacted_part(note) for note in notes]
        is_clean = is_clean and not _differs(each)
    return is_clean


@contextmanager
def no_secrets_in_errors() -> Iterator[None]:
    """Let no error out of the block whose words hold a secret: it is cleaned, or replaced where that cannot be done."""
    try:
        yield
    except Exception as error:
        if clean(error):
            raise
        raise TradingError(redacted(f"{type(error).__name__}: {_said(error)}")) from None


def public_environment(environment: Mapping[str, str], *keep: str) -> dict[str, str]:
    """Return an environment for a process that needs no secret: without the variables whose names speak of one."""
    return {name: value for name, value in environment.items() if name in keep or not _SECRET_VARIABLE.search(name)}


def _longest_first(text: str, forms: Iterable[str]) -> list[str]:
    """Return which forms are in a text; a part of a secret may be a form of another.

    Searches for single strings are far faster than one pattern of all, and pictures of charts are long.
    """
    return sorted((form for form in forms if form in text), key=len, reverse=True)


def _redacted_value(value: Any) -> Any:
    if isinstance(value, dict):
        is_class = {name: name.startswith("__") and isinstance(part, str) for name, part in value.items()}
        return {name: part if is_class[name] else _redacted_value(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_redacted_value(part) for part in value]
    return redacted(value) if isinstance(value, str) else value


def _differs(value: Any) -> bool:
    text = _said(value)
    return redacted(text) != text


def _redacted_part(value: Any) -> Any:
    if isinstance(value, BaseException) or not _differs(value):
        return value
    return redacted_body(value) if isinstance(value, bytes) else redacted(_said(value))


def _said(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return type(value).__name__


def _forbid_core_dumps() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch_logs() -> None:
    """Make every log record of every logger without secrets, before any handler sees it; uncaught errors too."""
    make, shown, shown_of_thread = logging.getLogRecordFactory(), sys.excepthook, threading.excepthook

    def factory(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        _clean_record(record)
        return record

    def except_hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        clean(error)
        shown(kind, error, traceback)

    def thread_except_hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            clean(args.exc_value)
        shown_of_thread(args)

    logging.setLogRecordFactory(factory)
    sys.excepthook = except_hook
    threading.excepthook = thread_except_hook


def _clean_record(record: logging.LogRecord) -> None:
    try:
        said = record.getMessage()
    except Exception:
        # Its arguments do not fit its message: logging would print both as they are.
        said, record.args = f"{record.msg} {record.args}", ()
        record.msg = redacted(said)
    if (words := redacted(said)) != said:
        record.msg, record.args = words, ()
    if record.exc_info and record.exc_info[1] is not None and not clean(record.exc_info[1]):
        record.exc_text = redacted(_formatter.formatException(record.exc_info))
    if record.stack_info:
        record.stack_info = redacted(record.stack_info)
