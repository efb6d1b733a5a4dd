"""Trading rules as the exchanges state them, digit by digit; what cannot be a rule is one clear error of that market alone.

The expected values are the texts of the recorded bodies, read with the standard library's json.
"""

import asyncio
import json
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.errors import InvalidInput, InvalidResponse
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.gateway import ExchangeGateway
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.exchanges.scripted_server import Reply, scripted_server
from fks_assets_tests.shared_data import SHARED, requires_shared

RULES_2025 = "data/api/binance/recorded/exchangeInfo_2025-08_25symbols.json"
PAIRS_2025 = "data/api/kraken/recorded/AssetPairs_2025-11_subset.json"
PAIRS_2021 = "data/api/kraken/recorded/AssetPairs_2021-04_full.json"


def market(symbol: str) -> Market:
    return parse_market(f"{symbol}@venue")


BTC = market("BTC-USDT")


def recorded(path: str) -> Any:
    assert SHARED is not None
    return json.loads((SHARED / path).read_text(encoding="utf-8"), parse_float=Decimal)


def asked_of(url: str, budget: DatabaseBudget, markets: list[Market], dialect: str) -> dict[Market, Any]:
    profile = ExchangeProfile("venue", dialect, url, deadline_seconds=0.5)

    async def run() -> dict[Market, Any]:
        async with ExchangeGateway(profile, budget) as gateway:
            return await gateway.market_rules(markets)

    return asyncio.run(run())


def rules_in(body: bytes, budget: DatabaseBudget, markets: list[Market], dialect: str = "binance") -> dict[Market, Any]:
    """Return what the gateway makes of a body, which it asks for exactly once."""
    with scripted_server(lambda request: Reply(body)) as server:
        found = asked_of(server.url, budget, markets, dialect)
        assert [request.endpoint for request in server.requests] == [DIALECTS[dialect].markets_endpoint]
    return found


def binance_symbol(**changes: Any) -> dict[str, Any]:
    """Return a symbol in the form of the recorded ones; a change named like a rule's key replaces it in its filter."""
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ]
    for each in filters:
        each.update({name: changes.pop(name) for name in list(changes) if name in each})
    return {"symbol": "BTCUSDT", "status": "TRADING", "isSpotTradingAllowed": True, "filters": filters, **changes}


def binance_body(*symbols: dict[str, Any]) -> bytes:
    return json.dumps({"symbols": symbols}).encode()


def kraken_pair(**changes: Any) -> dict[str, Any]:
    pair = {
        "altname": "XBTUSDT",
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }
    return {name: value for name, value in {**pair, **changes}.items() if value is not ...}


def kraken_body(*pairs: dict[str, Any]) -> bytes:
    return json.dumps({"error": [], "result": {f"X{pair['altname']}": pair for pair in pairs}}).encode()


@requires_shared
def test_every_recorded_binance_market_carries_its_exact_rules(roomy_budget: DatabaseBudget) -> None:
    symbols = {f"{item['baseAsset']}-{item['quoteAsset']}": item for item in recorded(RULES_2025)["symbols"]}
    symbols["YOYOW-BTC"] = symbols.pop("YOYO-BTC")
    found = rules_in((SHARED / RULES_2025).read_bytes(), roomy_budget, [market(name) for name in symbols])
    assert len(found) == 25
    for name, item in symbols.items():
        rules, filters = found[market(name)], {each["filterType"]: each for each in item["filters"]}
        assert rules.status is (MarketStatus.TRADING if item["status"] == "TRADING" else MarketStatus.HALTED)
        assert rules.tick_size == Decimal(filters["PRICE_FILTER"]["tickSize"])
        assert rules.lot_size == Decimal(filters["LOT_SIZE"]["stepSize"])
        assert rules.min_quantity == Decimal(filters["LOT_SIZE"]["minQty"])
        assert rules.max_quantity == Decimal(filters["LOT_SIZE"]["maxQty"])
        assert rules.min_notional == Decimal(filters["NOTIONAL"]["minNotional"])
        assert (rules.maker_fee, rules.taker_fee) == (Decimal("0.001"), Decimal("0.001"))


@requires_shared
def test_the_recorded_kraken_pair_of_2025_carries_its_exact_rules(roomy_budget: DatabaseBudget) -> None:
    pair = recorded(PAIRS_2025)["result"]["XBTUSDT"]
    assert (pair["fees"][0], pair["fees_maker"][0]) == ([0, Decimal("0.4")], [0, Decimal("0.25")])
    found = rules_in((SHARED / PAIRS_2025).read_bytes(), roomy_budget, [BTC], "kraken")
    assert found == {
        BTC: MarketRules(
            BTC,
            MarketStatus.TRADING,
            tick_size=Decimal(pair["tick_size"]),
            lot_size=Decimal(10) ** -pair["lot_decimals"],
            min_quantity=Decimal(pair["ordermin"]),
            min_notional=Decimal(pair["costmin"]),
            maker_fee=Decimal("0.0025"),
            taker_fee=Decimal("0.004"),
        )
    }


@requires_shared
def test_the_kraken_pairs_of_2021_are_read_without_their_dark_pool_twins(roomy_budget: DatabaseBudget) -> None:
    """Recordings of 2021 state neither status nor tick size nor smallest value."""
    body = (SHARED / PAIRS_2021).read_bytes()
    pair = recorded(PAIRS_2021)["result"]["XXBTZUSD"]
    found = rules_in(body, roomy_budget, [market("BTC-USD"), market("DOGE-USDT"), market("PEPE-USD")], "kraken")
    dollars = found[market("BTC-USD")]
    assert dollars.status is MarketStatus.TRADING
    assert dollars.tick_size == Decimal(10) ** -pair["pair_decimals"]
    assert dollars.min_quantity == Decimal(pair["ordermin"])
    assert (dollars.taker_fee, dollars.maker_fee) == (pair["fees"][0][1] / 100, pair["fees_maker"][0][1] / 100)
    assert (dollars.min_notional, dollars.max_quantity) == (None, None)
    assert found[market("DOGE-USDT")].status is MarketStatus.TRADING
    assert found[market("PEPE-USD")] == MarketRules(market("PEPE-USD"), MarketStatus.DELISTED)


@pytest.mark.parametrize(
    ("status", "allowed", "expected"),
    [
        ("TRADING", True, MarketStatus.TRADING),
        ("HALT", True, MarketStatus.HALTED),
        ("BREAK", True, MarketStatus.HALTED),
        ("BREAK", False, MarketStatus.DELISTED),
        ("SOMETHING_NEW", True, MarketStatus.HALTED),
    ],
)
def test_binance_says_when_a_market_trades(
    roomy_budget: DatabaseBudget, status: str, allowed: bool, expected: MarketStatus
) -> None:
    body = binance_body(binance_symbol(status=status, isSpotTradingAllowed=allowed))
    assert rules_in(body, roomy_budget, [BTC])[BTC].status is expected


@pytest.mark.parametrize("status", ["cancel_only", "post_only", "limit_only", "reduce_only", "maintenance", "new_word"])
def test_a_kraken_pair_in_a_restricted_mode_is_halted(roomy_budget: DatabaseBudget, status: str) -> None:
    assert rules_in(kraken_body(kraken_pair(status=status)), roomy_budget, [BTC], "kraken")[BTC].status is MarketStatus.HALTED


def test_a_market_that_is_no_longer_listed_is_delisted(roomy_budget: DatabaseBudget) -> None:
    """D11: the list itself is whole, the market is not on it."""
    found = rules_in(binance_body(binance_symbol()), roomy_budget, [BTC, market("LUNA-USDT")])
    assert found[BTC].status is MarketStatus.TRADING
    assert found[market("LUNA-USDT")] == MarketRules(market("LUNA-USDT"), MarketStatus.DELISTED)


def test_the_filter_of_2021_gives_the_smallest_value_too(roomy_budget: DatabaseBudget) -> None:
    symbol = binance_symbol()
    symbol["filters"][2]["filterType"] = "MIN_NOTIONAL"
    assert rules_in(binance_body(symbol), roomy_budget, [BTC])[BTC].min_notional == 5


def test_a_kraken_pair_without_fees_for_makers_charges_them_like_takers_and_one_without_any_as_the_dialect_says(
    roomy_budget: DatabaseBudget,
) -> None:
    rules = rules_in(kraken_body(kraken_pair(fees_maker=...)), roomy_budget, [BTC], "kraken")[BTC]
    assert (rules.maker_fee, rules.taker_fee) == (Decimal("0.004"), Decimal("0.004"))
    rules = rules_in(kraken_body(kraken_pair(fees=..., fees_maker=...)), roomy_budget, [BTC], "kraken")[BTC]
    assert (rules.maker_fee, rules.taker_fee) == (DIALECTS["kraken"].maker_fee, DIALECTS["kraken"].taker_fee)


def test_no_digit_is_lost_on_the_way(roomy_budget: DatabaseBudget) -> None:
    """A float would turn 0.123456789012345678 into 0.12345678901234568."""
    exact = "0.123456789012345678"
    rules = rules_in(binance_body(binance_symbol(tickSize=exact)), roomy_budget, [BTC])[BTC]
    assert str(rules.tick_size) == exact
    pair = json.dumps(kraken_pair(fees=7, fees_maker=[])).replace("7", "[[0, 0.1234567890123456]]", 1)
    body = f'{{"error": [], "result": {{"XBTUSDT": {pair}}}}}'.encode()
    assert str(rules_in(body, roomy_budget, [BTC], "kraken")[BTC].taker_fee) == "0.001234567890123456"


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "tick of zero": ("binance", {"tickSize": "0.00000000"}, r"tick_size is 0.00000000, it must be above 0"),
    "negative lot": ("binance", {"stepSize": "-0.001"}, r"lot_size is -0.001, it must be above 0"),
    "NaN": ("binance", {"minNotional": "NaN"}, r"minNotional is 'NaN', not a number"),
    "infinity": ("binance", {"maxQty": "Infinity"}, r"maxQty is 'Infinity', not a number"),
    "underscores": ("binance", {"maxQty": "9_000"}, r"maxQty is '9_000', not a number"),
    "a truth value": ("binance", {"minQty": True}, r"minQty is True, not a number"),
    "nothing": ("binance", {"tickSize": None}, r"tick_size is missing"),
    "no filters": ("binance", {"filters": []}, r"KeyError: 'LOT_SIZE'"),
    "smallest above largest": ("binance", {"minQty": "9001"}, r"min_quantity 9001 is above max_quantity 9000"),
    "too fine": ("binance", {"tickSize": "0.0000000000000000001"}, r"tick_size is 0.0{18}1, outside"),
    "too large": ("binance", {"maxQty": "1" + "0" * 20}, r"max_quantity is 1(0{20}), outside"),
    "a fee of 40 %": ("kraken", {"fees": [[0, 40]]}, r"taker_fee is 0.40, further from 0 than 0.02"),
    "fees of another form": ("kraken", {"fees": [7]}, r"TypeError"),
    "fees without a beginning": ("kraken", {"fees": [[50, 0.2]]}, r"KeyError"),
    "decimals that are none": ("kraken", {"lot_decimals": 8.5}, r"lot_decimals is Decimal\('8.5'\), it must be a whole number"),
    "many decimals": ("kraken", {"lot_decimals": 10**9}, r"lot_decimals is 1000000000, it must be a whole number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_that_no_rule_can_have_is_one_clear_error_of_that_market_alone(roomy_budget: DatabaseBudget, case: str) -> None:
    dialect, change, words = WRONG[case]
    other = market("ETH-USDT")
    if dialect == "binance":
        body = binance_body(binance_symbol(**deepcopy(change)), binance_symbol(symbol="ETHUSDT"))
    else:
        body = kraken_body(kraken_pair(**change), kraken_pair(altname="ETHUSDT"))
    found = rules_in(body, roomy_budget, [BTC, other], dialect)
    assert found[other].status is MarketStatus.TRADING
    assert isinstance(found[BTC], InvalidResponse)
    with pytest.raises(InvalidResponse, match=words):
        raise found[BTC]
    assert str(found[BTC]).count("\n") == 0 and "BTC-USDT@venue" in str(found[BTC]) and "venue" in str(found[BTC])


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"1",
        b'{"symbols":[]}',
        b'{"symbols":[{}]}',
        b'{"symbols":7}',
        b'{"error":[],"result":{}}',
        b'{"error":[],"result":{"A":7}}',
        b'{"error":[],"result":7}',
        b"null",
    ],
)
def test_lists_of_another_shape_and_empty_ones_delist_nothing(roomy_budget: DatabaseBudget, dialect: str, body: bytes) -> None:
    with (
        scripted_server(lambda request: Reply(body)) as server,
        pytest.raises(InvalidResponse, match=f"venue {DIALECTS[dialect].markets_endpoint}"),
    ):
        asked_of(server.url, roomy_budget, [BTC], dialect)


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_the_simulator_states_rules_in_both_dialects_and_delists_matic_in_september_2024(
    roomy_budget: DatabaseBudget, dialect: str
) -> None:
    """MATIC-USDT is delisted at 2024-09-10T03:00Z by the simulator's own list of instruments."""
    matic, pol = market("MATIC-USDT"), market("POL-USDT")
    seen = {}
    for day in ("2024-09-01T00:00:00Z", "2024-09-20T00:00:00Z"):
        with running_simulator(start_ms=parse_time("start", "now", day), speed=0) as simulator:
            seen[day[:10]] = asked_of(simulator.url, roomy_budget, [BTC, matic, pol], dialect)
    before, after = seen["2024-09-01"], seen["2024-09-20"]
    assert [before[each].status for each in (BTC, matic, pol)] == ["trading", "trading", "delisted"]
    assert [after[each].status for each in (BTC, matic, pol)] == ["trading", "delisted", "trading"]
    assert (before[BTC].tick_size, before[BTC].lot_size, before[BTC].min_notional) == (
        Decimal("0.01"),
        Decimal("0.00001"),
        Decimal(5),
    )


def test_rules_that_no_exchange_can_mean_cannot_be_made() -> None:
    with pytest.raises(InvalidInput, match="tick_size is NaN, not a finite number"):
        MarketRules(BTC, MarketStatus.TRADING, Decimal("NaN"), Decimal(1))
    with pytest.raises(InvalidInput, match="lot_size is missing"):
        MarketRules(BTC, MarketStatus.HALTED, Decimal(1))
    MarketRules(BTC, MarketStatus.DELISTED)


def test_the_content_hash_depends_on_values_alone() -> None:
    one = MarketRules(BTC, MarketStatus.TRADING, Decimal("0.10"), Decimal("1"), min_notional=Decimal("5"), valid_from=1)
    same = MarketRules(BTC, MarketStatus.TRADING, Decimal("0.1"), Decimal("1.000"), min_notional=Decimal("5.0"), valid_from=2)
    assert one == same and one.content_hash == same.content_hash
    moved = MarketRules(BTC, MarketStatus.TRADING, Decimal("0.1"), Decimal("1"), min_quantity=Decimal("5"))
    assert moved.content_hash != one.content_hash
