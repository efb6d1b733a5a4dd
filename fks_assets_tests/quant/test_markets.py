import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, market_from_ccxt, parse_market

ASSET = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=20)
EXCHANGE = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)


def test_a_market_is_written_three_ways():
    market = parse_market("BTC-USDT@binance")
    assert market == Market("BTC", "USDT", "binance")
    assert (market.key, market.ccxt_symbol, market.path) == ("BTC-USDT@binance", "BTC/USDT", "binance/BTC-USDT")
    assert str(market) == "BTC-USDT@binance"


@given(ASSET, ASSET, EXCHANGE)
def test_every_market_comes_back_from_its_key_and_from_its_ccxt_symbol(base, quote, exchange):
    market = Market(base, quote, exchange)
    assert parse_market(market.key) == market
    assert market_from_ccxt(market.ccxt_symbol, exchange) == market


@pytest.mark.parametrize(
    "key",
    [
        "",
        "BTC-USDT",
        "BTC/USDT@binance",
        "btc-USDT@binance",
        "BTC-USDT@Binance",
        "BTC-USDT@binance|2026-01",
        "BTC-USDT@binance\n",
        "BTC-USDT@../etc",
        "..-USDT@binance",
        "BTC-USDT@binance/../..",
        "BTC-USDT-PERP@binance",
        "BTC-@binance",
        "BTC-USDT@",
        "BTC-USDT@a@b",
        "ВТС-USDT@binance",
        "BTC-USDT@binance' OR '1'='1",
        "A" * 21 + "-USDT@binance",
        "BTC%2FUSDT@binance",
        "BTC-USDT\x00@binance",
    ],
)
def test_a_hostile_or_malformed_key_is_refused_and_named(key):
    with pytest.raises(InvalidInput, match="BASE-QUOTE@exchange") as caught:
        parse_market(key)
    assert repr(key) in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_either_a_market_with_that_very_key_or_refused(text):
    try:
        market = parse_market(text)
    except InvalidInput:
        return
    assert market.key == text
    assert not set(market.path) & set("|\\.:\n\0") and market.path.count("/") == 1


@pytest.mark.parametrize(
    "symbol", ["BTC/USDT:USDT", "BTC/USDT:USDT-260327", "BTC-USDT", "BTC/USDT/X", "btc/usdt", "", "BTC/ USDT"]
)
def test_only_spot_symbols_become_markets(symbol):
    with pytest.raises(InvalidInput, match="spot symbol"):
        market_from_ccxt(symbol, "binance")


def test_markets_sort_by_base_then_quote_then_exchange():
    keys = ["ETH-USDT@binance", "BTC-USDT@kraken", "BTC-USDT@binance", "BTC-EUR@kraken"]
    assert [market.key for market in sorted(map(parse_market, keys))] == sorted(keys)
