from collections.abc import Iterator

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.journal import Journal
from fks_assets_tests.simulator.plain_http import get

NOW = 1_763_697_723_456


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(seed=3, start_ms=NOW, speed=0) as client:
        yield client


def test_the_status_tells_simulated_from_real(simulator: SimulatorClient) -> None:
    status = simulator.status()
    assert (status["simulator"], status["data"], status["seed"]) == ("fks-simulator", "generated from seed 3", 3)
    assert get(simulator.url, "/api/v3/ping").headers["server"] == "fks-simulator"
    assert get(simulator.url, "/0/public/Time").headers["x-simulator"] == "generated"


def test_the_journal_tells_what_was_really_served(simulator: SimulatorClient) -> None:
    simulator.clear_journal()
    body = get(simulator.url, "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=7").body
    get(simulator.url, "/0/public/OHLC?pair=XBTUSDT&interval=60")
    get(simulator.url, "/api/v3/klines?symbol=NOPE&interval=1h")
    first, second, third = simulator.journal()
    assert (first["dialect"], first["endpoint"], first["symbol"], first["timeframe"]) == ("binance", "klines", "BTC-USDT", "1h")
    assert (first["rows"], first["status"], first["weight"], first["bytes"]) == (7, 200, 2, len(body))
    assert first["params"] == {"symbol": "BTCUSDT", "interval": "1h", "limit": "7"} and first["simulated_ms"] == NOW
    assert (second["symbol"], second["timeframe"], second["rows"]) == ("BTC-USDT", "1h", 721)
    assert (third["status"], third["symbol"], third["rows"]) == (400, "", 0)


def test_the_journal_can_be_filtered(simulator: SimulatorClient) -> None:
    simulator.clear_journal()
    for symbol in ("BTCUSDT", "ETHUSDT", "ETHUSDT"):
        get(simulator.url, f"/api/v3/klines?symbol={symbol}&interval=1h&limit=1")
    assert len(simulator.journal(symbol="ETH-USDT")) == 2
    assert len(simulator.journal(symbol="ETH-USDT", limit=1)) == 1
    last = simulator.journal()[-1]["number"]
    assert simulator.journal(after=last) == [] and len(simulator.journal(after=last - 1, status=200)) == 1
    with pytest.raises(InvalidInput, match="journal filter 'colour' is unknown"):
        simulator.journal(colour="red")


def test_the_oracle_costs_no_weight_and_leaves_no_entry(simulator: SimulatorClient) -> None:
    simulator.clear_journal()
    simulator.forget_breaches()
    day = 86_400_000
    assert len(simulator.candles("BTC-USDT", "1d", NOW // day * day - 400 * day)) == 400
    assert simulator.journal() == []
    assert get(simulator.url, "/api/v3/ping").headers["x-mbx-used-weight-1m"] == "1"


def test_the_truth_holds_closed_candles_only_in_the_asked_range(simulator: SimulatorClient) -> None:
    hour = 3_600_000
    last = NOW // hour * hour
    assert simulator.candles("ETH-USDT", "1h", last - 3 * hour).open_time.tolist() == [
        last - 3 * hour,
        last - 2 * hour,
        last - hour,
    ]
    assert simulator.candles("ETH-USDT", "1h", last - 3 * hour, last - 2 * hour).open_time.tolist() == [last - 3 * hour]
    assert len(simulator.candles("POL-USDT", "1h", 0, 1_600_000_000_000)) == 0


@pytest.mark.parametrize(
    ("symbol", "timeframe", "text"),
    [("NO-USDT", "1h", "symbol 'NO-USDT' is unknown"), ("BTC-USDT", "7h", "timeframe '7h' is unknown")],
)
def test_a_wrong_question_is_answered_in_words(simulator: SimulatorClient, symbol: str, timeframe: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        simulator.candles(symbol, timeframe)


def test_wrong_faults_over_http_change_nothing(simulator: SimulatorClient) -> None:
    with pytest.raises(InvalidInput, match="key 'action' was 'no'"):
        simulator.add_faults({"action": "empty"}, {"action": "no"})
    assert simulator.faults() == []
    simulator.add_faults(
        {"name": "a", "action": "empty", "endpoint": "ping"}, {"name": "b", "action": "empty", "endpoint": "ping"}
    )
    assert simulator.remove_faults("a") == 1 and simulator.remove_faults() == 1


def test_a_journal_that_is_full_forgets_the_oldest() -> None:
    journal = Journal(longest=2)
    for status in (200, 201, 202):
        asked = {"client": "", "dialect": "binance", "endpoint": "ping", "params": {}, "symbol": "", "timeframe": ""}
        served = {"weight": 1, "rows": 0, "bytes": 0, "milliseconds": 0.0, "faults": ()}
        journal.add(at_ms=0, simulated_ms=0, status=status, **asked, **served)
    assert [(entry.number, entry.status) for entry in journal.read()] == [(2, 201), (3, 202)]


def test_only_one_dialect_can_be_served() -> None:
    with running_simulator(dialect="kraken") as simulator:
        assert get(simulator.url, "/0/public/Time").status == 200
        assert get(simulator.url, "/api/v3/time").status == 404
    with pytest.raises(InvalidInput, match="dialect 'ftx' is unknown"), running_simulator(dialect="ftx"):
        pass
