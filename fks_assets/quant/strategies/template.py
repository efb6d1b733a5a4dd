"""The text with which a strategy of one's own begins."""

import re

_TEMPLATE = '''"""Donchian: a close beyond the highest high or the lowest low of many candles."""

from pydantic import Field

from fks_assets.quant.indicators import wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import AtrExits, Rule, decide, longest


class DonchianParameters(AtrExits):
    length: int = Field(55, ge=2, le=400)


class Donchian(Strategy[DonchianParameters]):
    """BUY above the highest high of the `length` candles before this one, SELL below their lowest low; exits by ATR."""

    name = "donchian"
    parameters_model = DonchianParameters
    required_columns = ("atr_14",)

    @property
    def lookback_rows(self):
        return longest(self.parameters.length, wilder_lookback(self.parameters.atr_period))

    def judge(self, candles, indicators):
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        above, below = close > columns.highest_before(wanted.length), close < columns.lowest_before(wanted.length)
        rules = Rule(above, BUY, 0.6, "above its range"), Rule(below, SELL, 0.6, "below its range")
        atr = columns.atr(wanted.atr_period)
        return decide(rules, "inside its range").at_distance(close, wanted.stop_atr * atr, wanted.target_atr * atr)
'''


def strategy_template(name: str) -> str:
    """Return the text of a file that holds a strategy of this name: a breakout from a range, to be made into another one."""
    title = "".join(part.title() for part in name.split("_"))
    # `rule` would hide what the file imports, `none` is no name of a class.
    if title in ("None", "True", "False") or re.search(rf"\b{title}\b", _TEMPLATE.replace("Donchian", "")):
        title = f"{title}Strategy"
    return _TEMPLATE.replace("Donchian", title).replace("donchian", name)
