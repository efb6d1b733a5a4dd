"""Signed requests on a hostile wire: a key goes to its exchange alone, encrypted, once, and comes back in no word."""

import asyncio
import datetime
import json
import logging
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from fks_assets.clock import now_ms, to_datetime
from fks_assets.errors import ExchangeError, InvalidInput, NotSent, TradingError
from fks_assets.exchanges.orders.signing import ApiKey, Signer, TradingClock
from fks_assets.exchanges.orders.venue import Denied, Unknown
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.transport import HttpTransport
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.orders import venues
from fks_assets_tests.orders.venues import MARKETS, VENUES, accepted_body, an_id, an_order, budgets, clocked, with_venue
from fks_assets_tests.orders.wire import Said, Sent, wire
from fks_assets_tests.security.canaries import API_KEY, SECRET, hits
from fks_assets_tests.stores.processes import child, line_of

DIALECTS = pytest.mark.parametrize("dialect", ["binance", "kraken"])


@pytest.fixture(autouse=True)
def _canary_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venues, "KEY", ApiKey(API_KEY, SECRET))
    # The deadline can be long then, and a machine that is busy with other things meets it.
    monkeypatch.setattr(HttpTransport, "_backoff", lambda self, retry: 0.0)


async def everything(venue: Any) -> list[Any]:
    """Return the outcome or the error of a call of each kind."""
    market = next(iter(MARKETS[each] for each in MARKETS if each == venue.name))
    found: list[Any] = [await venue.place(an_order(venue.name), await venue.ready())]
    found.append(await venue.cancel(market, an_id(), None))
    for query in (venue.order(market, an_id()), venue.balances(), venue.open_orders([market]), venue.my_trades([market], {})):
        try:
            found.append(await query)
        except TradingError as error:
            found.append(error)
    return found


def words_of(found: list[Any]) -> str:
    """Return all that can be read of outcomes and errors: texts, attributes, tracebacks with the variables of every frame."""
    parts = []
    for each in found:
        parts += [str(each), repr(each)]
        if isinstance(each, BaseException):
            parts.append(repr(vars(each)))
            parts += traceback.TracebackException.from_exception(each, capture_locals=True).format()
            parts += traceback.format_exception(each)
    return "\n".join(parts)


def echo(sent: Sent) -> str:
    """Return a request as a talkative server repeats it."""
    return json.dumps({"path": sent.path, "params": sent.params, "headers": sent.headers})


@DIALECTS
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 418, 429, 500, 503])
@pytest.mark.parametrize("how", ["json", "error field", "html", "headers"])
def test_a_server_that_repeats_our_request_gets_it_into_no_word_of_ours(
    dialect: str, status: int, how: str, caplog: pytest.LogCaptureFixture
):
    """S2: key, secret and signature of the request; outcomes, errors, variables of frames, logs at DEBUG."""

    def script(sent: Sent) -> Said:
        said = echo(sent)
        bodies = {
            "json": orjson.dumps({"code": -1000, "msg": said, "request": said}),
            "error field": orjson.dumps({"code": -1013, "msg": said, "error": [f"EGeneral:Invalid arguments:{said}"]}),
            "html": f"<html><body>Bad gateway<pre>{said}</pre></body></html>".encode(),
            "headers": b"{}",
        }
        headers = {"X-Request": said, "Set-Cookie": f"key={API_KEY}", "Location": f"/again?{API_KEY}"} if how == "headers" else {}
        return Said(bodies[how], status, headers)

    with caplog.at_level(logging.DEBUG), wire(clocked(dialect, script)) as server:
        found = asyncio.run(with_venue(dialect, server.url, everything, profile={"deadline_seconds": 10.0}))
        carried = [each for each in server.sent if each.endpoint not in ("time", "Time")]
    assert carried and all(API_KEY in str(each.headers) for each in carried)
    signatures = {each.params.get("signature") or each.headers["api-sign"] for each in carried}
    text = words_of(found) + caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert hits(text) == []
    assert not any(signature in text for signature in signatures)
    assert len(found) == 6


@DIALECTS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(dialect: str, status: int):
    """S2: the key's header would go to whoever the answer names."""
    with wire(lambda sent: Said(b"{}")) as thief:

        def script(sent: Sent) -> Said:
            return Said(b"", status, {"Location": f"{thief.url}{sent.path}"})

        with wire(clocked(dialect, script)) as server:
            found = asyncio.run(with_venue(dialect, server.url, everything, profile={"deadline_seconds": 10.0}))
        assert thief.sent == []
    assert isinstance(found[0], Unknown) and isinstance(found[1], Unknown)
    assert all(isinstance(each, ExchangeError) for each in found[2:])


@DIALECTS
def test_proxies_and_netrc_of_the_environment_are_not_used(dialect: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """S2: a variable left in a shell must not send keys through somebody's machine."""
    with wire(lambda sent: Said(b"{}")) as proxy, wire(clocked(dialect, lambda sent: Said(b"{}"))) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password thief\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        asyncio.run(with_venue(dialect, server.url, everything, profile={"deadline_seconds": 10.0}))
        assert proxy.sent == []
        assert any(API_KEY in str(each.headers) for each in server.sent)
        assert not any(each.headers.get("authorization") for each in server.sent)


@pytest.mark.parametrize(
    "base_url", ["http://exchange.example", "http://10.0.0.7:8080", "http://127.0.0.1.nip.io", "http://[::2]:1"]
)
def test_no_key_goes_to_another_machine_without_encryption(base_url: str):
    """S2: nothing is even signed for it."""
    profile = ExchangeProfile("binance", "binance", base_url)
    with pytest.raises(InvalidInput, match=r"binance is reached at http://.*: a key goes there by https:// only") as caught:
        Signer(profile, ApiKey(API_KEY, SECRET), TradingClock("binance", lambda: None, now_ms))
    assert hits(words_of([caught.value])) == []


class TlsServer:
    """Shakes hands with a certificate of its own and notes what arrives after that."""

    def __init__(self, folder: Path) -> None:
        certificate, key = make_certificate(folder)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate, key)
        self.certificate = certificate
        self.received = b""
        self.connections = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "TlsServer":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.received += await reader.read(65536)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{"serverTime": 100000000}')
        writer.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost, signed by nobody but itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = to_datetime(now_ms())
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private


@DIALECTS
@pytest.mark.parametrize("fault", ["signed by itself", "another name"])
def test_a_certificate_that_proves_nothing_gets_no_request(
    dialect: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """S2: verification is on, for the chain and for the name; nothing was sent, and the error says so."""
    with TlsServer(tmp_path) as server:
        if fault == "another name":
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        host = "localhost" if fault == "signed by itself" else "127.0.0.1"

        async def work(venue: Any) -> Any:
            signed = venue._signer.request("order", "POST", {"symbol": "BTCUSDT"}, private=False)
            with pytest.raises(NotSent, match="cannot be reached") as caught:
                await venue._transport.once(lambda: signed, "order")
            return caught.value

        error = asyncio.run(with_venue(dialect, f"https://{host}:{server.port}", work))
        assert server.received == b""
    assert hits(words_of([error])) == []


@DIALECTS
def test_with_a_certificate_that_is_trusted_the_same_request_arrives(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The test above can fail; and the keys of the connection are written nowhere, whatever SSLKEYLOGFILE says."""
    with TlsServer(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))

        async def work(venue: Any) -> Any:
            signed = venue._signer.request("order", "POST", {"symbol": "BTCUSDT"}, private=False)
            return await venue._transport.once(lambda: signed, "order")

        answer = asyncio.run(with_venue(dialect, f"https://localhost:{server.port}", work))
        assert answer.status == 200
        assert b"BTCUSDT" in server.received
    assert "CLIENT_" not in (tmp_path / "keys.log").read_text()


@DIALECTS
def test_an_answer_without_end_is_left_after_its_bound(dialect: str):
    """E1: an order's outcome is then unknown; memory stays bounded whatever the server sends."""
    limit = 100_000

    async def work(venue: Any) -> Any:
        return await venue.place(an_order(dialect), await venue.ready())

    endless = Said(b" " * 2**16, how="endless")
    with wire(clocked(dialect, lambda sent: endless)) as server:
        before = psutil.Process().memory_info().rss
        outcome = asyncio.run(with_venue(dialect, server.url, work, profile={"body_limit_bytes": limit}))
        grown = psutil.Process().memory_info().rss - before
    assert outcome == Unknown(f"{dialect} {server.sent[-1].endpoint} answered more than {limit} bytes")
    assert grown < 100 * 2**20


@DIALECTS
@pytest.mark.parametrize("seconds", [-3600, -1.6, 1.6, 3600])
def test_with_a_clock_that_is_off_no_key_leaves_the_machine(dialect: str, seconds: float):
    """E6: not in one request; a second and a half more than the exchange's own rounding."""
    with wire(clocked(dialect, lambda sent: Said(accepted_body(dialect, sent)))) as server:

        async def work(venue: Any) -> None:
            for call in (venue.ready, venue.balances, lambda: venue.order(MARKETS[dialect], an_id())):
                with pytest.raises(NotSent, match="clock is"):
                    await call()

        asyncio.run(with_venue(dialect, server.url, work, wall_ms=lambda: venues.passing_ms() + round(seconds * 1000)))
        assert {each.endpoint for each in server.sent} <= {"time", "Time"}
        assert not any(API_KEY in str(each.headers) for each in server.sent)


def test_a_key_that_no_header_can_carry_signs_nothing_and_is_in_no_error():
    """S2: aiohttp's own complaint about a header shows it."""
    with wire(clocked("binance", lambda sent: Said(b"{}"))) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(venues, "KEY", ApiKey(f"{API_KEY}\r\nX-More: 1", SECRET))

        async def work(venue: Any) -> Any:
            return await venue.place(an_order("binance"), await venue.ready())

        outcome = asyncio.run(with_venue("binance", server.url, work))
        assert isinstance(outcome, Denied)
        assert server.of("order") == []
    assert hits(words_of([outcome])) == []


@pytest.fixture(scope="module")
def kraken() -> Iterator[SimulatorClient]:
    limits = {"kraken": {"burst": 1e9, "private_burst": 1e9, "order_burst": 1e9}}
    with running_simulator(limits=limits) as simulator:
        simulator.add_account(API_KEY, SECRET, balances={"USDT": "1000"})
        yield simulator


NONCES = """
import asyncio, json, sys
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.orders.signing import ApiKey
from fks_assets.exchanges.orders.kraken import KrakenVenue
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.clock import now_ms
from fks_assets.quant.markets import Market
from fks_assets.simulator.client import SimulatorClient
from fks_assets_tests.orders.venues import budgets

url, key, secret = json.loads(sys.stdin.readline())
ahead = SimulatorClient(url).clock()["now_ms"] - now_ms()
async def main():
    market = Market("BTC", "USDT", "kraken")
    profile = ExchangeProfile("kraken", "kraken", url)
    async with KrakenVenue(profile, ApiKey(key, secret), budgets(), [market], wall_ms=lambda: now_ms() + ahead) as venue:
        await venue.balances()
        print("ready", flush=True)
        sys.stdin.readline()
        said = []
        for _ in range(40):
            try:
                await venue.balances()
                said.append("")
            except ExchangeError as error:
                said.append(str(error))
        print(json.dumps(said), flush=True)
asyncio.run(main())
"""


def test_two_processes_with_one_key_never_get_a_nonce_accepted_twice(kraken: SimulatorClient):
    """The account's lock keeps them apart; without it one is refused now and then, no more: nonces are microseconds.

    The simulator, as Kraken, refuses a nonce that is not above the last one of the key.
    """
    kraken.clear_journal()
    with child(NONCES) as one, child(NONCES) as two:
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write(json.dumps([kraken.url, API_KEY, SECRET]) + "\n")
            process.stdin.flush()
        assert line_of(one) == line_of(two) == "ready"
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(line_of(process)) for process in (one, two)]
    refused = [words for each in said for words in each if words]
    assert all("EAPI:Invalid nonce" in words for words in refused)
    assert all(sum(not words for words in each) >= 20 for each in said)
    accepted = [entry for entry in kraken.journal(endpoint="BalanceEx") if entry["account"]]
    assert len(accepted) == 80 + 2 - len(refused)


def test_calls_of_one_process_at_once_use_growing_nonces_in_order(kraken: SimulatorClient):
    """None of them is refused: one is answered before the next one is signed."""
    kraken.clear_journal()
    ahead = kraken.clock()["now_ms"] - now_ms()

    async def work() -> None:
        market = venues.MARKETS["kraken"]
        profile = ExchangeProfile("kraken", "kraken", kraken.url)
        venue_class: Callable[..., Any] = VENUES["kraken"]
        async with venue_class(profile, ApiKey(API_KEY, SECRET), budgets(), [market], wall_ms=lambda: now_ms() + ahead) as venue:
            await asyncio.gather(*(venue.balances() for _ in range(20)))

    asyncio.run(work())
    assert [entry["account"] for entry in kraken.journal(endpoint="BalanceEx")] == [API_KEY] * 20
