"""Kraken gives the newest 720 candles and no more (C4, S5.1, S5.8, F17): what lies behind is rebuilt from its public trades.

The simulator speaks Kraken's dialect to ccxt's kraken class, with Kraken's limits a thousand times as fast. Expected are the
candles that it was given to replay, or those of its oracle; both know no wall.
"""

import csv
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from fks_assets import clock
from fks_assets.assets.market_data import rebuild
from fks_assets.assets.market_data.import_candles import judge_gaps, store_series
from fks_assets.assets.market_data.plan import SyncMode
from fks_assets.assets.market_data.rebuild import RebuildResult, rebuild_from_trades
from fks_assets.assets.market_data.repair import RepairOrder, RepairReport, repair_gaps
from fks_assets.assets.market_data.sync import sync_candles
from fks_assets.errors import ExchangeRefused, ExchangeUnavailable, InvalidInput, InvalidResponse
from fks_assets.exchanges import transport
from fks_assets.exchanges.dialects import DIALECTS, RequestLimit
from fks_assets.exchanges.download import CandleRequest
from fks_assets.exchanges.gateway import FetchedCandles
from fks_assets.quant.candles import OHLCV_COLUMNS
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import months_between, parse_timeframe
from fks_assets.simulator import kraken
from fks_assets.simulator.answers import Answer, Refusal, kraken_error
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.gap_records import GapRecord, read_gaps
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.sync_status import SyncState, read_sync
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.imports.reading import read_one
from fks_assets_tests.shared_data import SHARED, requires_shared

HOUR, DAY = 3_600_000, 86_400_000
NOW_MS = parse_time("start", "now", "2025-11-21T00:30:00Z")
MIDNIGHT = NOW_MS - NOW_MS % DAY
WALL = MIDNIGHT - 720 * HOUR
HISTORY_START = MIDNIGHT - 40 * DAY
FIRST_TRADE = MIDNIGHT - 60 * DAY
H1 = parse_timeframe("1h")
THIN_KRAKEN = Path() if SHARED is None else SHARED / "data/ohlcv/kraken_ohlcvt/STORJUSD_60.csv"
Rows = dict[int, tuple[float, ...]]


def write_thin_market(directory: Path) -> Rows:
    """Write hour and day candles of a made-up market as Kraken's dump has them; return the hours.

    Each candle sums up 1 to 60 random trades; every seventh hour behind the wall has none.
    """
    chance, price = random.Random(11), 30_000.0
    hours: dict[int, list[tuple[float, float]]] = {}
    for time in range(FIRST_TRADE, MIDNIGHT + 3 * HOUR, HOUR):
        if time < WALL and time // HOUR % 7 == 3:
            continue
        hours[time] = []
        for _ in range(chance.randint(1, 60)):
            price = round(price * chance.uniform(0.998, 1.002), 1)
            hours[time].append((price, round(chance.uniform(0.00001, 2), 8)))
    for minutes in (60, 1440):
        candles: dict[int, list[tuple[float, float]]] = {}
        for time, trades in hours.items():
            candles.setdefault(time - time % (minutes * 60_000), []).extend(trades)
        with (directory / f"XBTUSD_{minutes}.csv").open("w", newline="") as file:
            for time, trades in candles.items():
                prices = [price for price, _ in trades]
                volume = f"{sum(volume for _, volume in trades):.8f}"
                csv.writer(file).writerow([time // 1000, prices[0], max(prices), min(prices), prices[-1], volume, len(trades)])
    return rows_of(directory / "XBTUSD_60.csv")


def rows_of(path: Path) -> Rows:
    with path.open(newline="") as file:
        return {int(row[0]) * 1000: tuple(map(float, row[1:6])) for row in csv.reader(file)}


def rounded(rows: Rows) -> Rows:
    return {time: (*row[:4], round(row[4], 8)) for time, row in rows.items()}


def between(rows: Rows, start_ms: int, end_ms: int) -> Rows:
    return {time: row for time, row in rows.items() if start_ms <= time < end_ms}


@dataclass
class KrakenDesk:
    """A desk of one market's hours at a simulated Kraken; both clocks stand still. `truth` are the candles without the wall."""

    desk: Desk
    simulator: SimulatorClient
    market: Market
    now_ms: int
    truth: Rows = field(default_factory=dict)

    def sync(self) -> None:
        months = months_between(self.now_ms - 90 * DAY, self.now_ms)
        stores, market_data = self.desk.stores, self.desk.market_data
        synced = sync_candles(stores, market_data, [self.market], months, H1, mode=SyncMode.FOLLOW, run_id="sync")
        assert all(each.error is None for each in synced)

    def rebuild(self, start_ms: int = HISTORY_START, end_ms: int = WALL) -> RebuildResult:
        stores, market_data = self.desk.stores, self.desk.market_data
        return rebuild_from_trades(stores, market_data, self.market, H1, start_ms, end_ms, run_id="rebuild")

    def stored(self, source: str | None = None) -> Rows:
        table = self.desk.stores.candles.read_table("ohlcv", self.market, "1h")
        columns = [table[name].to_pylist() for name in OHLCV_COLUMNS]
        rows = zip(times_from_arrow(table["open_time"]).tolist(), zip(*columns, strict=True), strict=True)
        sources = table["source"].to_pylist()
        return {time: row for (time, row), told in zip(rows, sources, strict=True) if source in (None, told)}

    def silent(self) -> set[int]:
        """Return the hours of which it is known that nobody traded."""
        heads = self.desk.stores.candles.heads("ohlcv", "1h", [self.market]).values()
        return {time for head in heads for start, end in head.confirmed_holes for time in range(start, end, HOUR)}

    def gaps(self) -> list[GapRecord]:
        return read_gaps(self.desk.stores.database, [self.market], [H1])

    def requests(self, endpoint: str = "Trades") -> int:
        return len(self.simulator.journal(endpoint=endpoint))


@contextmanager
def desk_at_kraken(
    simulator: SimulatorClient,
    home: Path,
    database_url: str,
    symbol: str,
    *,
    now_ms: int = NOW_MS,
    history_days: int = 40,
    replay: Path | None = None,
) -> Iterator[KrakenDesk]:
    """Give an empty desk; afterwards the simulator must not have seen a breach of its limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: now_ms * 10**6))
        patch.setitem(DIALECTS, "kraken", replace(DIALECTS["kraken"], limit=RequestLimit(60_000, 12)))
        desk = build_desk(
            home,
            database_url,
            simulator.url,
            symbols=[symbol],
            dialect="kraken",
            TIMEFRAMES="1h",
            HISTORY_DAYS__1h=str(history_days),
            FIRST_MONTH="2020-01",
            **({} if replay is None else {"SIMULATOR__REPLAY": str(replay)}),
        )
        simulator.clear_journal()
        yield KrakenDesk(desk, simulator, parse_market(f"{symbol}@simulated"), now_ms)
        assert simulator.breaches() == []


def simulated(**source: Any) -> Any:
    return running_simulator(speed=0, dialect="kraken", limits={"kraken": {"per_second": 1000.0}}, **source)


@pytest.fixture(scope="module")
def thin_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatorClient, Rows, Path]]:
    directory = tmp_path_factory.mktemp("dump")
    rows = write_thin_market(directory)
    with simulated(replay=directory, start_ms=NOW_MS) as simulator:
        yield simulator, rows, directory


@pytest.fixture
def thin(home: Path, database_url: str, thin_market: tuple[SimulatorClient, Rows, Path]) -> Iterator[KrakenDesk]:
    """A desk for the thin market."""
    simulator, rows, directory = thin_market
    with desk_at_kraken(simulator, home, database_url, "BTC-USD", replay=directory) as desk:
        desk.truth = between(rows, 0, MIDNIGHT)
        yield desk
        simulator.remove_faults()


Tamper = Callable[[list[list[Any]]], list[list[Any]]]


def tamper(monkeypatch: pytest.MonkeyPatch, change: Tamper) -> None:
    """Let the simulator alter the rows of every Trades answer before it sends them."""
    honest = kraken.ENDPOINTS["Trades"]

    def altered(*arguments: Any) -> Answer:
        answer = honest(*arguments)
        document = orjson.loads(answer.body)
        rows = change(document["result"]["XXBTZUSD"])
        last = str(round(rows[-1][2] * 10**9)) if rows else document["result"]["last"]
        return replace(answer, body=orjson.dumps({"error": [], "result": {"XXBTZUSD": rows, "last": last}}))

    monkeypatch.setitem(kraken.ENDPOINTS, "Trades", altered)


def refuse_since(monkeypatch: pytest.MonkeyPatch, start_ms: int, end_ms: int) -> None:
    """Let the simulator refuse to give trades since a time in the range."""
    honest = kraken.ENDPOINTS["Trades"]

    def failing(exchange: Any, params: Any) -> Answer:
        if start_ms * 10**6 <= int(params.get("since", 0)) < end_ms * 10**6 - 1:
            raise Refusal(kraken_error("EQuery:Unknown asset pair"))
        return honest(exchange, params)

    monkeypatch.setitem(kraken.ENDPOINTS, "Trades", failing)


def test_older_candles_are_not_to_be_had_and_the_gap_says_which_file_holds_them(thin: KrakenDesk) -> None:
    """C4, S5.8: the wall."""
    thin.sync()
    assert thin.stored() == between(thin.truth, WALL, MIDNIGHT)
    request = CandleRequest(thin.market, "BTC/USD", H1, HISTORY_START, WALL)
    answer = thin.desk.market_data.download([request])[request]
    assert isinstance(answer, FetchedCandles)
    assert len(answer.candles) == 0 and answer.unreachable_before is not None and answer.unreachable_before >= WALL
    assert [
        (gap.start_ms, gap.end_ms, gap.missing_candles, gap.status, gap.cause, gap.is_api_fillable, gap.required_csv_file)
        for gap in thin.gaps()
    ] == [(HISTORY_START, WALL, 240, GapStatus.UNFILLABLE, GapCause.BEYOND_API_LIMIT, False, "XBTUSD_60.csv")]


def test_the_file_that_the_gap_names_fills_it_where_candles_exist(
    thin: KrakenDesk, thin_market: tuple[SimulatorClient, Rows, Path]
) -> None:
    """C4, S5.8: the third way. What the file holds is stored; the hours without trades stay what they were, not FILLED."""
    thin.sync()
    (gap,) = thin.gaps()
    file = thin_market[2] / str(gap.required_csv_file)
    series = read_one(file, exchange="simulated", now=thin.now_ms)
    store_series(thin.desk.stores, series, run_id="import")
    judge_gaps(thin.desk.stores, [(thin.market, H1)])
    in_gap = between(thin.truth, HISTORY_START, WALL)
    assert between(thin.stored("import:kraken-ohlcvt/kraken"), HISTORY_START, WALL) == in_gap
    missing = {time for time in range(HISTORY_START, WALL, HOUR) if time not in in_gap}
    left = [each for each in thin.gaps() if each.status is not GapStatus.FILLED]
    assert {time for each in left for time in range(each.start_ms, each.end_ms, HOUR)} >= missing
    assert not any(
        each.status is GapStatus.FILLED for each in thin.gaps() if between(dict.fromkeys(missing, ()), each.start_ms, each.end_ms)
    )
    thin.rebuild()
    left = [each for each in thin.gaps() if each.status is not GapStatus.FILLED and each.start_ms >= HISTORY_START]
    assert left and all(each.cause is GapCause.NO_TRADES for each in left)
    assert missing <= thin.silent()


def test_the_rebuilt_candles_are_those_that_kraken_would_have_served(thin: KrakenDesk) -> None:
    """C4, S5.1, S5.8, F17: the hole is filled, marked, recorded, and nothing is read twice."""
    thin.sync()
    result = thin.rebuild()
    lost = between(thin.truth, HISTORY_START, WALL)
    assert thin.stored("trades") == lost and 200 < len(lost) < 240
    assert thin.stored() == between(thin.truth, HISTORY_START, MIDNIGHT)
    assert thin.silent() == set(range(HISTORY_START, WALL, HOUR)) - set(lost)
    assert (result.candles, result.known_until_ms) == (len(lost), WALL)
    assert result.requests == thin.requests() < 12 and result.trades > 5000
    agreement = result.agreement
    assert agreement is not None and agreement.holds and agreement.compared == 3 + 10  # three hours beside it and its ten days
    assert max(agreement.largest.values()) < 1e-12

    open_gaps = [gap for gap in thin.gaps() if gap.status is not GapStatus.FILLED]
    assert {gap.cause for gap in open_gaps} == {GapCause.NO_TRADES}
    assert {time for gap in open_gaps for time in range(gap.start_ms, gap.end_ms, HOUR)} == thin.silent()
    (status,) = read_sync(thin.desk.stores.database, [thin.market], [H1])
    assert (status.state, status.oldest_open, status.total_candles) == (SyncState.COMPLETED, min(lost), 720 + len(lost))
    (change,) = result.partitions
    assert change.changed and change.partition.month == "2025-10" and change.change.inserted == len(lost)
    inputs = latest_inputs(thin.desk.stores.database, "ohlcv_1h", [change.partition.key])[change.partition.key]
    assert (inputs.run_id, inputs.content_hash) == ("rebuild", change.head.content_hash)

    asked = thin.requests()
    again = thin.rebuild()
    assert (again.candles, again.requests, again.partitions, again.agreement) == (0, 0, (), None)
    assert thin.requests() == asked


def test_a_repair_without_trades_names_the_file_and_one_with_trades_fills_the_gap(thin: KrakenDesk) -> None:
    """S5.1, F17: the same through the repair of gaps, as jobs, sensor and `fks backfill` call it."""
    thin.sync()
    stores, market_data = thin.desk.stores, thin.desk.market_data
    order = RepairOrder("ALL", (H1,), lookback_days=60, max_gaps_per_asset=10, trades=False)
    report = RepairReport("repair", "ALL", [60])
    assert list(repair_gaps(stores, market_data, order, report)) == [] and thin.requests() == 0
    assert (report.gaps_unfillable, report.required_csv_files, report.errors) == (1, ["XBTUSD_60.csv"], [])

    report = RepairReport("repair", "ALL", [60])
    changed = list(repair_gaps(stores, market_data, replace(order, trades=True), report))
    assert [result.partition.month for _, result in changed] == ["2025-10"]
    assert thin.stored() == between(thin.truth, HISTORY_START, MIDNIGHT)
    assert report.total_candles_filled == len(thin.stored("trades")) and report.errors == []
    assert {gap.cause for gap in thin.gaps() if gap.status is not GapStatus.FILLED} == {GapCause.NO_TRADES}


def test_what_lies_before_the_first_trade_is_known_to_be_empty(thin: KrakenDesk) -> None:
    thin.sync()
    result = thin.rebuild(FIRST_TRADE - 100 * DAY)
    assert thin.stored() == thin.truth and result.known_until_ms == WALL
    assert set(range(FIRST_TRADE - 100 * DAY, FIRST_TRADE, HOUR)) < thin.silent()
    assert [each.partition.month for each in result.partitions] == months_between(FIRST_TRADE, WALL)


def scaled(column: int, factor: float, before_ms: int = NOW_MS) -> Tamper:
    def change(rows: list[list[Any]]) -> list[list[Any]]:
        for row in rows:
            if row[2] * 1000 < before_ms:
                row[column] = f"{float(row[column]) * factor:.8f}"
        return rows

    return change


def without_each_ninth(rows: list[list[Any]]) -> list[list[Any]]:
    return [row for place, row in enumerate(rows) if place % 9 != 7]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (scaled(0, 1.000001), "3 of 3 candles differ"),
        (scaled(1, 1.001), "3 of 3 candles differ"),
        (without_each_ninth, "2 of 3 candles differ"),
        (scaled(0, 1.01, before_ms=WALL), "from 2025-10-12T00:00:00Z on .* 10 of 10 candles differ"),
    ],
    ids=["prices", "volumes", "trades left out", "prices inside the hole alone"],
)
def test_trades_that_do_not_agree_with_native_candles_are_refused_and_nothing_is_stored(
    thin: KrakenDesk, monkeypatch: pytest.MonkeyPatch, change: Tamper, words: str
) -> None:
    thin.sync()
    before, gaps = thin.stored(), thin.gaps()
    tamper(monkeypatch, change)
    with pytest.raises(InvalidResponse, match=f"^BTC-USD@simulated 1h: candles rebuilt from trades are not stored: .*{words}"):
        thin.rebuild()
    assert thin.stored() == before and thin.gaps() == gaps and thin.silent() == set()


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ({"action": "torn", "honest_length": True}, InvalidResponse, "not JSON"),
        ({"action": "empty"}, InvalidResponse, "not JSON"),
        ({"action": "garbage", "body": '{"error":[],"result":{"XETHZUSD":[],"last":"1"}}'}, InvalidResponse, "XETHZUSD"),
        ({"action": "status", "status": 503}, ExchangeUnavailable, "HTTP 503"),
    ],
)
def test_faulty_answers_end_the_rebuild_with_one_error(
    thin: KrakenDesk, monkeypatch: pytest.MonkeyPatch, rule: dict[str, Any], kind: type[Exception], words: str
) -> None:
    thin.sync()
    before = thin.stored()
    thin.simulator.add_faults({**rule, "endpoint": "Trades"})
    monkeypatch.setattr(transport, "RETRIES", 0)
    with pytest.raises(kind, match=f"^BTC/USD trades: simulated Trades .*{words}"):
        thin.rebuild()
    assert thin.stored() == before


def test_a_rebuild_that_broke_off_goes_on_where_it_was(thin: KrakenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole days are stored page by page; what is stored is not read again, and no candle is written twice."""
    thin.sync()
    monkeypatch.setattr(rebuild, "PAGES_PER_STORE", 1)
    with monkeypatch.context() as patch:
        refuse_since(patch, HISTORY_START + 5 * DAY, WALL)
        with pytest.raises(ExchangeRefused, match=r"^BTC/USD trades: simulated refused Trades: .*Unknown asset pair"):
            thin.rebuild()
    kept = thin.stored("trades")
    reached = max(kept) + HOUR
    assert kept == between(thin.truth, HISTORY_START, reached) and HISTORY_START + 4 * DAY < reached < HISTORY_START + 7 * DAY
    left = [gap for gap in thin.gaps() if gap.cause is GapCause.BEYOND_API_LIMIT and gap.status is GapStatus.UNFILLABLE]
    assert [gap.end_ms for gap in left] == [WALL] and left[0].start_ms >= reached

    thin.simulator.clear_journal()
    result = thin.rebuild()
    assert thin.stored() == between(thin.truth, HISTORY_START, MIDNIGHT)
    assert result.candles == len(between(thin.truth, reached, WALL))
    since = [int(entry["params"]["since"]) // 10**6 for entry in thin.simulator.journal(endpoint="Trades")]
    assert min(since) >= reached - 1
    assert [thin.desk.stores.candles.revisions(each.partition).num_rows for each in result.partitions] == [0]


def test_a_hole_between_rebuilt_candles_is_checked_against_what_the_api_still_gives(thin: KrakenDesk) -> None:
    """Five hours in an empty store, then the hour before them: rebuilt candles are no witnesses."""
    start = FIRST_TRADE + 100 * HOUR
    result = thin.rebuild(start, start + 5 * HOUR)
    assert thin.stored() == between(thin.truth, start, start + 5 * HOUR)
    assert result.agreement is not None and result.agreement.holds and result.agreement.compared == 3
    assert thin.requests("OHLC") == 1
    thin.rebuild(start - HOUR, start)
    assert thin.requests("OHLC") == 2


def test_without_native_candles_nothing_is_rebuilt(thin: KrakenDesk) -> None:
    thin.simulator.add_faults({"action": "missing", "endpoint": "OHLC", "where": "all", "count": 1000})
    with pytest.raises(InvalidResponse, match="there is none of the exchange's own candles to compare them with"):
        thin.rebuild()
    assert thin.stored() == {} and thin.requests() == 0


@requires_shared
def test_a_real_thin_market_of_kraken_is_rebuilt_to_the_eighth_decimal(home: Path, database_url: str, tmp_path: Path) -> None:
    """STORJ/USD after its listing: 1508 hours, 233 holes of 351 hours (MANIFEST.md), of which the wall leaves the newest 720."""
    (tmp_path / THIN_KRAKEN.name).write_bytes(THIN_KRAKEN.read_bytes())
    truth = rows_of(THIN_KRAKEN)
    first, end = min(truth), max(truth) + HOUR
    with (
        simulated(replay=tmp_path) as simulator,
        desk_at_kraken(
            simulator, home, database_url, "STORJ-USD", now_ms=end + 3 * HOUR, history_days=78, replay=tmp_path
        ) as desk,
    ):
        desk.sync()
        assert desk.stored() == between(truth, sorted(truth)[-720], end)
        desk.rebuild(first, min(desk.stored()))
        # The dump's volumes are float sums with noise behind the eighth decimal.
        assert rounded(desk.stored()) == rounded(truth)
        silent = desk.silent()
        assert silent == set(range(first, end, HOUR)) - set(truth) and len(silent) == 351
        assert sum(time - HOUR not in silent for time in silent) == 233


def test_a_busy_generated_market_is_rebuilt_within_the_limits(home: Path, database_url: str) -> None:
    """S5.8: FILLED once every candle is there. Three thousand trades an hour; the truth is the simulator's oracle."""
    with (
        simulated(start_ms=NOW_MS) as simulator,
        desk_at_kraken(simulator, home, database_url, "ATOM-USDT", history_days=31) as desk,
    ):
        desk.sync()
        result = desk.rebuild(WALL - DAY)
        candles = simulator.candles("ATOM-USDT", "1h", WALL - DAY, MIDNIGHT)
        columns = [getattr(candles, name).tolist() for name in OHLCV_COLUMNS]
        assert desk.stored() == dict(zip(candles.open_time.tolist(), zip(*columns, strict=True), strict=True))
        assert result.trades > 50_000 and result.requests == desk.requests()
        assert [(gap.status, gap.start_ms, gap.end_ms, gap.filled_candles) for gap in desk.gaps()] == [
            (GapStatus.FILLED, WALL - DAY, WALL, 24)
        ]


def test_an_exchange_that_gives_all_its_candles_is_not_asked_for_trades(home: Path, database_url: str) -> None:
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["ATOM-USDT"])
    assert not desk.market_data.gives_trades
    market = parse_market("ATOM-USDT@simulated")
    with pytest.raises(InvalidInput, match="candles of ATOM-USDT@simulated cannot be rebuilt"):
        rebuild_from_trades(desk.stores, desk.market_data, market, H1, HISTORY_START, WALL, run_id="x")
