"""A process that opens one account for trading, does all there is to do, says so, and waits to be looked at.

Usage: python -m fks_assets_tests.security.trading_process ACCOUNT, with the settings in its environment.
"""

import asyncio
import gc
import json
import resource
import sys

from fks_assets.desk.cycle import open_account
from fks_assets.errors import TradingError
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import load_settings

SIGNING = {"Signer", "SignedTransport", "SignedRequest", "ApiKey", "KeyRing", "CredentialKey", "BinanceVenue"}


async def trade(account: str) -> None:
    settings = load_settings()
    floor = MarketData(settings, Stores(settings)).trading_floor()
    said = ""
    try:
        async with open_account(floor, account, holder="test") as desk:
            reconciled, _ = await desk.trade(lambda *_: ())
            said = f"traded at {type(desk.gateway.venue).__name__}, passed {reconciled.passed}"
            tell(said)
    except TradingError as error:
        tell(f"{type(error).__name__}: {error}")


def tell(said: str) -> None:
    objects = {type(each).__name__ for each in gc.get_objects()} & SIGNING
    modules = [name for name in sys.modules if name.endswith((".signing", ".signed_transport", ".aead"))]
    core = resource.getrlimit(resource.RLIMIT_CORE)
    print(json.dumps({"said": said, "objects": sorted(objects), "modules": modules, "core": core}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    asyncio.run(trade(sys.argv[1]))
