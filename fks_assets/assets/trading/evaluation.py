"""Evaluate markets (S4.2, S4.3): read what is stored of the newest closed candle and form a trade idea of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fks_assets.assets.trading.in_force import strategies_in_force, unusable_words
from fks_assets.clock import iso, now_ms
from fks_assets.errors import in_words
from fks_assets.ids import document_hash, stable_id
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.idea_scores import Trend, Voice
from fks_assets.quant.ideas import ACTIONS, VALID_TIMEFRAMES, Idea, expiry_of, form_idea, places_of
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import BUY, HOLD, SELL
from fks_assets.quant.strategies.rules import MARGIN
from fks_assets.quant.timeframes import Timeframe, first_open_candle, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.candles import PartitionHead, PartitionId
from fks_assets.stores.canonical import KNOWN_AT, OPEN_TIME
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.market_checks import read_blocked
from fks_assets.stores.market_rules import all_rules_as_of
from fks_assets.stores.strategy_records import state_history

SUCCESS, WITH_ERRORS = "success", "completed_with_errors"
Heads = dict[Market, dict[str, PartitionHead]]


@dataclass(frozen=True, slots=True)
class NoIdea:
    """Why a market gives no idea; `withdraws`: its ideas of earlier candles do not stand either."""

    reason: str
    withdraws: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What came of evaluating markets at a time (UTC ms).

    `ideas` are those of every market that could be judged, HOLD too; `no_idea` says why a market gives none, `errors` why one
    could not be looked at; `silent`, why a strategy in force is not heard. `inputs` name each row that was read, not its whole
    month: an idea is made from one candle, and what else the month holds does not concern it.
    """

    at_ms: int
    timeframe: Timeframe
    rules: IdeaRules
    ideas: Mapping[Market, Idea]
    no_idea: Mapping[Market, NoIdea]
    errors: Mapping[Market, str]
    silent: Mapping[str, str]
    inputs: tuple[InputRef, ...]

    @property
    def by_score(self) -> list[Idea]:
        """The ideas, the best first."""
        return sorted(self.ideas.values(), key=lambda idea: (-idea.score, -idea.confidence, idea.market.key))

    @property
    def without(self) -> dict[Market, str]:
        """Why a market has no idea, one that could not be looked at too."""
        return {**{market: why.reason for market, why in self.no_idea.items()}, **self.errors}

    @property
    def withdrawn(self) -> dict[Market, str]:
        """The markets of which ideas of earlier candles do not stand either, and why."""
        return {market: why.reason for market, why in self.no_idea.items() if why.withdraws}

    @property
    def summary(self) -> dict[str, Any]:
        """S3.4's answer: how many markets were looked at, and what became of each."""
        total, failed = len(self.ideas) + len(self.no_idea) + len(self.errors), len(self.errors)
        return {
            "status": WITH_ERRORS if failed else SUCCESS,
            "total": total,
            "processed": total - failed,
            "errors": failed,
            "details": {
                **{idea.market.key: f"{ACTIONS[idea.action]}, {idea.score}, {idea.band}" for idea in self.by_score},
                **{market.key: f"no idea: {why.reason}" for market, why in self.no_idea.items()},
                **{market.key: f"error: {why}" for market, why in self.errors.items()},
            },
        }

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of all that is said, whenever that was."""
        return document_hash(self._content())

    def document(self) -> dict[str, Any]:
        """Return the evaluation for a JSON document, the best idea first."""
        return {"evaluated_at": iso(self.at_ms), **self._content()}

    def _content(self) -> dict[str, Any]:
        places = places_of(self.ideas.values(), self.rules)
        return {
            "timeframe": self.timeframe.name,
            **self.summary,
            "strategies_left_out": dict(self.silent),
            "ideas": [{**idea.document(), "place": places.get(idea.market)} for idea in self.by_score],
        }


def evaluate_markets(
    stores: Stores, timeframe: Timeframe, markets: Sequence[Market] | None = None, at_ms: int | None = None
) -> Evaluation:
    """Evaluate markets of the desk, all of them without `markets`, as of now or of a past time; nothing is written.

    Every strategy in force and switched on is heard at the newest closed candle. A market of which a check fails, whose newest
    candle is older than two timeframes, that is not traded, or that no strategy has judged, gives no idea. One that cannot be
    read stops no other. Checks say how the market stands now, so that a past time knows none.
    """
    chosen = list(dict.fromkeys(stores.settings.market_list() if markets is None else markets))
    names, silent = _heard(stores, at_ms)
    stored = _Stored.read(stores, timeframe, chosen, names, at_ms)
    ideas: dict[Market, Idea] = {}
    no_idea: dict[Market, NoIdea] = {}
    errors: dict[Market, str] = {}
    for market in chosen:
        try:
            found = stored.idea_of(market)
        except Exception as error:
            errors[market] = in_words(error)
            continue
        if isinstance(found, Idea):
            ideas[market] = found
        else:
            no_idea[market] = found
    return Evaluation(stored.now, timeframe, stores.settings.ideas, ideas, no_idea, errors, silent, stored.inputs)


def _longer(stores: Stores, timeframe: Timeframe) -> Timeframe | None:
    """Return the desk's next longer timeframe, None for the longest."""
    longer = [each for each in stores.settings.timeframe_list() if each.milliseconds > timeframe.milliseconds]
    return min(longer, key=lambda each: each.milliseconds, default=None)


def _heard(stores: Stores, at_ms: int | None) -> tuple[list[str], dict[str, str]]:
    """Return (the strategies in force that are switched on, why each other one is not heard)."""
    in_force, unusable = strategies_in_force(stores.database, stores.settings, at_ms)
    silent = {name: unusable_words(error) for name, error in unusable.items()}
    names = []
    with stores.database.transaction() as connection:
        for name in in_force:
            states = [each for each in state_history(connection, name) if at_ms is None or each.changed_at <= at_ms]
            if states and not states[-1].enabled:
                silent[name] = f"switched off at {iso(states[-1].changed_at)} by {states[-1].changed_by}: {states[-1].reason}"
            else:
                names.append(name)
    return names, silent


@dataclass(slots=True)
class _Stored:
    """The heads of the newest months, taken before any is read; `used` collects the rows that counted."""

    stores: Stores
    timeframe: Timeframe
    longer: Timeframe | None
    names: Sequence[str]
    now: int
    before: int | None
    candles: Heads
    signals: dict[str, Heads]
    indicators: Heads
    blocked: Mapping[Market, str]
    trading_rules: Mapping[Market, MarketRules]
    used: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[InputRef, ...]:
        """The rows that were read, as lineage keeps them: the partition, the candle, and a hash of the values."""
        return tuple(sorted(InputRef(asset, key, stable_id(*rows)) for (asset, key), rows in self.used.items()))

    @classmethod
    def read(
        cls, stores: Stores, timeframe: Timeframe, markets: Sequence[Market], names: Sequence[str], at_ms: int | None
    ) -> "_Stored":
        now = now_ms() if at_ms is None else at_ms
        longer = _longer(stores, timeframe)
        with stores.database.transaction() as connection:
            blocked = read_blocked(connection, markets, timeframe) if at_ms is None else {}
            trading_rules = all_rules_as_of(connection, markets, now)
        return cls(
            stores,
            timeframe,
            longer,
            names,
            now,
            None if at_ms is None else first_open_candle(at_ms, timeframe, stores.settings.grace_ms),
            _heads(stores, "ohlcv", timeframe, markets, now),
            {name: _heads(stores, f"signals.{name}", timeframe, markets, now) for name in names},
            {} if longer is None else _heads(stores, "indicators", longer, markets, now),
            {market: str(why) for market, why in blocked.items()},
            trading_rules,
        )

    def idea_of(self, market: Market) -> Idea | NoIdea:
        """Return the idea of a market, or why it gives none."""
        rules = self.trading_rules.get(market)
        if rules is not None and rules.status is not MarketStatus.TRADING:
            return NoIdea(f"the exchange says that the market is {rules.status.value}", withdraws=True)
        if market in self.blocked:
            return NoIdea(f"a check fails: {self.blocked[market]}", withdraws=True)
        newest = self._newest(self.timeframe, self.candles.get(market, {}), self.before)
        if newest is None:
            return NoIdea(f"no {self.timeframe} candle of the last {VALID_TIMEFRAMES} timeframes is stored")
        opened = newest.open_time
        if expiry_of(opened, self.timeframe) < self.now:
            closed = iso(opened + self.timeframe.milliseconds)
            return NoIdea(f"its newest candle closed at {closed}, more than {VALID_TIMEFRAMES} timeframes ago")
        if not self.names:
            return NoIdea("no strategy in force is switched on", withdraws=True)
        voices = self._voices(market, opened)
        self._note(newest)
        if not voices:
            return NoIdea(f"no strategy has judged its candle of {iso(opened)} yet")
        return form_idea(
            market,
            self.timeframe,
            opened,
            newest.values["close"],
            voices,
            self.stores.settings.ideas,
            trend=self._trend(market, opened + self.timeframe.milliseconds),
            trading_rules=rules,
            unheard=[name for name in self.names if name not in {voice.name for voice in voices}],
        )

    def _voices(self, market: Market, opened: int) -> list[Voice]:
        found = []
        for name in self.names:
            newest = self._newest(self.timeframe, self.signals[name].get(market, {}), opened + 1)
            if newest is not None and newest.open_time == opened:
                self._note(newest)
                said = (newest.values[column] for column in ("action", "confidence", "stop", "target", "reason"))
                found.append(Voice(name, *said))
        return found

    def _trend(self, market: Market, at_ms: int) -> Trend | None:
        """Return where the newest candle of the longer timeframe that had closed by then points: EMA 12 over or under EMA 26."""
        if self.longer is None:
            return None
        newest = self._newest(self.longer, self.indicators.get(market, {}), at_ms - self.longer.milliseconds + 1)
        if newest is None or expiry_of(newest.open_time, self.longer) < at_ms or not newest.values["is_warm"]:
            return None
        self._note(newest)
        fast, slow = newest.values["ema_12"], newest.values["ema_26"]
        direction = HOLD if abs(fast - slow) <= MARGIN * abs(slow) else BUY if fast > slow else SELL
        return Trend(self.longer.name, direction)

    def _newest(self, timeframe: Timeframe, months: Mapping[str, PartitionHead], before: int | None) -> "_Row | None":
        """Return the newest row that opens before a time, None for any."""
        for month in sorted(months, reverse=True):
            head = months[month]
            if before is None or (head.first_open is not None and head.first_open < before):
                table = self.stores.candles.read_heads([head])
                times = times_from_arrow(table["open_time"])
                row = len(times) - 1 if before is None else int(np.searchsorted(times, before)) - 1
                values = table.drop_columns([OPEN_TIME, KNOWN_AT]).slice(row, 1).to_pylist()[0]
                return _Row(head.partition, timeframe, int(times[row]), values)
        return None

    def _note(self, row: "_Row") -> None:
        asset = f"{row.partition.dataset.split('.')[0]}_{row.timeframe}"
        place = (asset, f"{row.partition.key}|{iso(row.open_time)}")
        self.used.setdefault(place, []).append(f"{row.partition.dataset} {json.dumps(row.values)}")


@dataclass(frozen=True, slots=True)
class _Row:
    partition: PartitionId
    timeframe: Timeframe
    open_time: int
    values: Mapping[str, Any]


def _heads(stores: Stores, dataset: str, timeframe: Timeframe, markets: Sequence[Market], now: int) -> Heads:
    """Return the heads, by market and month, of the months in which a candle that still counts may lie."""
    months = months_between(now - 2 * (1 + VALID_TIMEFRAMES) * timeframe.milliseconds, now + 1)
    found: Heads = {}
    for partition, head in stores.candles.heads(dataset, timeframe.name, markets, months).items():
        if head.row_count:
            found.setdefault(partition.market, {})[partition.month] = head
    return found
