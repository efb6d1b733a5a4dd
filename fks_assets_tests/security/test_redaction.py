"""A secret that this process knows is in none of its logs and errors, however it got there."""

import base64
import io
import json
import logging
import re
import resource
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets import redaction
from fks_assets.errors import ExchangeRefused, TradingError
from fks_assets.redaction import HIDDEN, clean, hide, no_secrets_in_errors, public_environment, redacted, redacted_json
from fks_assets_tests.security.canaries import API_KEY, PASSWORD, SECRET, WEBHOOK, WEBHOOK_TOKEN, hits

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _known() -> None:
    hide(API_KEY, SECRET, PASSWORD)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What a handler of the root logger writes."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("secret", [API_KEY, SECRET, PASSWORD])
@pytest.mark.parametrize(
    "shown",
    [
        str,
        lambda secret: quote(secret, safe=""),
        quote_plus,
        lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"u:{secret}:x".encode()).decode(),
        lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"users:{secret}!".encode()).decode(),
        lambda secret: secret.encode().hex(),
        lambda secret: secret.encode().hex().upper(),
        json.dumps,
        lambda secret: repr({"X-MBX-APIKEY": secret.encode()}),
    ],
)
def test_every_form_of_a_secret_is_hidden_and_the_rest_stays(secret, shown):
    """S2: plain, url-encoded, base64 at each of its three offsets, hexadecimal, escaped."""
    text = redacted(f"before {shown(secret)} after")
    assert hits(text) == []
    assert text.startswith("before ") and text.endswith(" after")
    assert HIDDEN in text


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_stands_around_it_a_secret_is_hidden_and_hiding_twice_changes_nothing(before: str, after: str):
    once = redacted(f"{before}{API_KEY}{after}")
    assert API_KEY not in once
    assert redacted(once) == once


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_text_without_a_secret_stays_as_it_is(text: str):
    forms = {form for secret in (API_KEY, SECRET, PASSWORD) for form in redaction.forms_of(secret)}
    known = "://" in text or any(form in text for form in forms)
    assert known or redacted(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://desk:x9@db:5432/fks", "postgresql://desk:[hidden]@db:5432/fks"),
        ("see http://:pw@proxy:3128 now", "see http://:[hidden]@proxy:3128 now"),
        ("at https://api.example.org:443/v1?mail=a@b.c", "at https://api.example.org:443/v1?mail=a@b.c"),
        (WEBHOOK, f"https://hooks.example.org/…{WEBHOOK[-4:]}"),
        ("POST https://discord.com/api/webhooks/123/abcDEF-99zz: 429", "POST https://discord.com/…9zz: 429"),
        ("https://example.org/hooked/on/candles", "https://example.org/hooked/on/candles"),
    ],
)
def test_a_url_shows_no_password_and_a_webhook_its_host_and_end(text: str, shown: str):
    """S3: also when nobody has said that it is a secret."""
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_logs_of_any_logger_are_redacted_with_arguments_tracebacks_and_stacks(stream: io.StringIO):
    """S2: our own, Dagster's, ccxt's, aiohttp's, SQLAlchemy's."""
    for name in ("", "fks_assets.desk", "dagster", "ccxt", "aiohttp.client", "sqlalchemy.engine", "asyncio", "made.later"):
        logger = logging.getLogger(name)
        logger.warning("key %s and %r", API_KEY, {"secret": SECRET})
        logger.warning(f"connect to postgresql://desk:{quote(PASSWORD, safe='')}@db/fks")
        logger.warning("too few %s %s", SECRET)
        logger.warning("a stack", stack_info=True)
        try:
            try:
                raise KeyError(SECRET)
            except KeyError as error:
                raise RuntimeError(f"signed with {API_KEY}") from error
        except RuntimeError:
            logger.exception("failed with %s", API_KEY)
    said = stream.getvalue()
    assert hits(said) == []
    assert said.count("RuntimeError: signed with [hidden]") == 8
    assert "Logging error" not in said


def test_an_error_keeps_its_type_and_traceback_and_loses_its_secrets():
    """S2: causes, contexts, notes and attributes as well."""

    def fail() -> None:
        try:
            raise OSError(5, f"cannot read {SECRET}")
        except OSError as error:
            error.add_note(f"was {API_KEY}")
            raise ExchangeRefused(f"refused {API_KEY}", exchange="binance", endpoint=f"order?sig={SECRET}") from error

    with pytest.raises(ExchangeRefused) as caught, no_secrets_in_errors():
        fail()
    text = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert hits(text) == []
    assert "refused [hidden]" in text and "in fail" in text


def test_an_error_whose_words_cannot_be_cleaned_is_replaced():
    class Stubborn(Exception):
        def __str__(self) -> str:
            return f"it is {SECRET}"

    assert not clean(Stubborn())
    with pytest.raises(TradingError, match=r"Stubborn: it is \[hidden\]") as caught, no_secrets_in_errors():
        raise Stubborn
    assert hits("".join(traceback.format_exception(caught.value))) == []


def test_errors_that_end_a_process_or_a_thread_show_no_secret_and_leave_no_core():
    """S2: standard error of a process that dies of an error; RLIMIT_CORE."""
    code = (
        "import sys, threading, resource; from fks_assets.redaction import hide; secret = sys.stdin.read(); hide(secret)\n"
        "thread = threading.Thread(target=lambda: int(secret)); thread.start(); thread.join()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)); raise RuntimeError('with ' + secret)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=API_KEY, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.returncode == 1
    assert done.stdout == "(0, 0)\n"
    assert "RuntimeError: with [hidden]" in done.stderr and "invalid literal for int()" in done.stderr
    assert hits(done.stderr) == []


def test_short_secrets_do_not_eat_honest_words_and_secrets_learned_later_are_hidden():
    hide("fks", None, "")
    assert redacted("fks up") == "fks up"
    assert redacted("later-Learned-1") == "later-Learned-1"
    hide("later-Learned-1")
    assert redacted("later-Learned-1") == HIDDEN
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def test_a_json_document_keeps_its_shape_and_its_classes():
    document = {"__class__": f"Event{API_KEY}", "words": [SECRET, 3, None, {"key": API_KEY}], "__set__": [API_KEY], "n": 1.5}
    read = json.loads(redacted_json(json.dumps(document)))
    assert read == {"__class__": f"Event{API_KEY}", "words": [HIDDEN, 3, None, {"key": HIDDEN}], "__set__": [HIDDEN], "n": 1.5}
    honest = '{"a":  1, "words": "none"}'
    assert redacted_json(honest) is honest


def test_threads_learn_secrets_at_once():
    """A run reads several accounts; no secret is lost between them."""
    made = [f"secret-number-{number:04}" for number in range(64)]
    threads = [threading.Thread(target=hide, args=(secret,)) for secret in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redacted(" ".join(made)) == " ".join([HIDDEN] * 64)


def test_processes_that_need_no_secret_are_given_none():
    environment = {
        "PATH": "/bin",
        "FKS_HOME": "/x",
        "FKS_EXCHANGE": "kraken",
        "FKS_DATABASE_URL": f"postgresql://a:{PASSWORD}@b/c",
        "FKS_CREDENTIAL_KEY": "k",
        "FKS_API_KEY": API_KEY,
        "FKS_API_SECRET": SECRET,
        "FKS_API_PASSWORD": "p",
        "PGPASSWORD": PASSWORD,
        "AWS_SECRET_ACCESS_KEY": "a",
        "AWS_ACCESS_KEY_ID": "b",
        "AWS_SESSION_TOKEN": "c",
        "ALERT_WEBHOOK_URL": WEBHOOK,
    }
    kept = {"PATH": "/bin", "FKS_HOME": "/x", "FKS_EXCHANGE": "kraken"}
    assert public_environment(environment) == kept
    assert public_environment(environment, "PGPASSWORD") == kept | {"PGPASSWORD": PASSWORD}
    assert WEBHOOK_TOKEN not in str(public_environment(environment))
