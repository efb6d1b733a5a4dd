"""The dialects that the simulator speaks, by name."""

from collections.abc import Mapping

from fks_assets.simulator.api import Api
from fks_assets.simulator.binance_api import BINANCE
from fks_assets.simulator.kraken_api import KRAKEN
from fks_assets.simulator.nobitex_api import NOBITEX
from fks_assets.simulator.wallex_api import WALLEX

APIS: Mapping[str, Api] = {"binance": BINANCE, "kraken": KRAKEN, "wallex": WALLEX, "nobitex": NOBITEX}
