"""What is true about the trading: doubled orders, worth of accounts, and everything that happened as one text."""

from decimal import Decimal
from typing import Any

import orjson

from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.core import TradingCore
from fks_assets.simulator.trading.money import ZERO, exactly, text, whole


def duplicates(core: TradingCore) -> list[dict[str, Any]]:
    """Return what was accepted more than once under one client id of an account and market, and how often."""
    core.advance()
    return [
        {"account": account, "symbol": symbol, "client_id": client_id, "count": count}
        for (account, symbol, client_id), count in sorted(core.registry.accepted.items())
        if count > 1
    ]


@exactly
def equity_of(core: TradingCore, account: Account, quote: str) -> Decimal:
    """Return what an account is worth in the quote currency at the last prices; assets without such a market count nothing."""
    core.advance()
    total = account.total(quote)
    for asset in account.assets():
        instrument = core.source.instruments.get(f"{asset}-{quote}")
        ticks = None if instrument is None else core.liquidity.last(instrument, core.now_ms)
        if instrument is not None and ticks is not None:
            total += account.total(asset) * whole(ticks, instrument.price_decimals)
    return total


@exactly
def books(core: TradingCore) -> dict[str, Any]:
    """Return fees taken, what the market took or (negative) gave, what was brought in, and what the sums are off by: nothing."""
    core.advance()
    accounts = core.accounts

    def shown(sums: dict[str, Decimal]) -> dict[str, str]:
        return {asset: text(amount, 0) for asset, amount in sorted(sums.items()) if amount != ZERO}

    return {
        "fees": shown(accounts.fees),
        "market": shown(accounts.market),
        "brought": shown(accounts.brought),
        "differences": shown(accounts.differences()),
    }


def dump(core: TradingCore) -> bytes:
    """Return all accounts (no secrets), orders, lists and fills as JSON: the same bytes for the same requests, times and seed."""
    core.advance()
    content = {
        "settings": core.settings.as_json(),
        "halted": core.halted,
        "accounts": [core.accounts.by_key[key].as_json() for key in sorted(core.accounts.by_key)],
        "books": books(core),
        "orders": [order.as_json() for order in core.registry.orders.values()],
        "fills": [fill.as_json() for fill in core.registry.fills],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
