"""The backtest of an account: all its strategies on all its markets in one book, by its own rules, budgets and costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from fks_assets.assets.trading.backtest_run import BookBacktest, judge, market_series, read_period, unjudged
from fks_assets.assets.trading.in_force import StrategyInForce, read_in_force
from fks_assets.assets.trading.measuring import measured
from fks_assets.assets.trading.series import SeriesRead, known_rules
from fks_assets.clock import iso
from fks_assets.desk.floor import account_rules, account_timeframe, heard_markets
from fks_assets.desk.signals import Place
from fks_assets.errors import InvalidInput
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.named_rules import rules_from
from fks_assets.quant.backtest.results import ENTRY
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.book_parts import Part, StrategyPart, market_parts, strategy_parts
from fks_assets.quant.money import money_text
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.resources.stores import Stores
from fks_assets.stores.ledger.balances import newest_balance
from fks_assets.stores.lineage import InputRef


@dataclass(frozen=True, slots=True)
class Change:
    """One strategy of an account in another form, for a what-if: with other parameters, or traded by other rules by name."""

    subject: StrategyInForce
    rules: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cash:
    """What a book begins with, in the account's quote coin; `words` say why, None where it is the account's own."""

    amount: Decimal
    words: str | None = None
    inputs: tuple[InputRef, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AccountBacktest(BookBacktest):
    """The backtest of the account `account` of the settings, whose rules are `rules`; `judged_at` is the exchange of its candles.

    `subjects` are its strategies in the order of their priority, `leg_rules` how each trades, `without` why one is not in it.
    """

    account: str
    rules: AccountRules
    judged_at: str
    subjects: Mapping[str, StrategyInForce]
    leg_rules: Mapping[str, LegRules]
    without: Mapping[str, str]
    cash: Cash

    @property
    def name(self) -> str:
        return f"Account {self.account}"

    @property
    def tie_rules(self) -> frozenset[str]:
        return frozenset(rules.tie_rule for rules in self.leg_rules.values())

    @property
    def history_needed(self) -> str:
        needs = (f"{name} needs {subject.strategy.lookback_rows:,}" for name, subject in self.subjects.items())
        return ", ".join(needs)

    @property
    def strategies(self) -> list[StrategyPart]:
        """The part of each strategy in the book."""
        return strategy_parts(self.result, self.book, self.leg_rules)

    @property
    def parts_by_market(self) -> list[Part]:
        """The part of each market in the book."""
        return market_parts(self.result)

    @property
    def own_notes(self) -> list[str]:
        notes = [f"{name} is left out: {reason}." for name, reason in self.without.items()]
        if self.cash.words is not None:
            notes.append(self.cash.words)
        elsewhere = sorted({market.split("@")[1] for market in self.result.markets} - {self.judged_at})
        if elsewhere:
            notes.append(
                f"The candles are those of {self.judged_at}: of {', '.join(elsewhere)} only the trading rules are stored. Stops "
                "and targets keep their distance to the fill."
            )
        orders, most = self.result.orders, self.rules.limits.max_order_notional
        large = int(((orders.reason == ENTRY) & (orders.price * orders.quantity > float(most))).sum())
        if large:
            notes.append(
                f"{large:,} entries were above max_order_notional, {money_text(most)}: the desk would have refused them."
            )
        return notes

    def outcome(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "mode": self.rules.mode.value,
            "quote": self.rules.quote,
            "strategies": [
                {
                    **self.subjects[part.name].document(),
                    **part.document(),
                    "rules": self.leg_rules[part.name].model_dump(mode="json"),
                }
                for part in self.strategies
            ],
            "strategies_left_out": dict(self.without),
            "by_market": [part.document() for part in self.parts_by_market],
            **self.book_outcome(),
        }


def account_book(
    series: Mapping[Place, MarketSeries],
    signals: Mapping[Place, SignalColumns],
    leg_rules: Mapping[str, LegRules],
    rules: BookRules,
) -> Book:
    """Return the book of an account: a leg for each strategy and market of `signals`, whose order is their priority.

    A budget of a strategy without signals is left out.
    """
    legs = tuple(Leg(place[0], series[place], columns, leg_rules[place[0]]) for place, columns in signals.items())
    traded = {leg.strategy for leg in legs}
    budgets = {name: budget for name, budget in rules.budgets.items() if name in traded}
    return Book(legs, rules.model_copy(update={"budgets": budgets}))


def account_backtest(
    stores: Stores,
    account: str,
    start_ms: int,
    end_ms: int,
    *,
    rules: Mapping[str, Any] | None = None,
    change: Change | None = None,
    at_ms: int | None = None,
) -> AccountBacktest:
    """Return the backtest of an account of the settings, on the candles that open in [start_ms, end_ms).

    Each strategy has the parameters in force now, or at a time (`at_ms`, UTC ms). `rules` by name (`rule_options`) go before
    those of the account; those of a `change` concern its strategy alone, and the book. A market without candles is left out, and
    so is a strategy that is not in force. Raises InvalidInput for an account that is unknown or has no strategy in force, for a
    bad period or rule, InsufficientData where no market has candles.
    """
    settings, mine = stores.settings, account_rules(stores.settings, account)
    timeframe, exchange = account_timeframe(settings, mine), settings.account_exchange(account)
    subjects, without = _subjects(stores, account, mine, change, at_ms)
    given = {**(rules or {}), **({} if change is None else change.rules)}
    cash = _cash(stores, account, mine, end_ms, given)
    usual = mine.leg_rules()
    if exchange != settings.exchange:
        # As the desk decides: two exchanges are never at one price.
        usual = usual.model_copy(update={"levels_from": "fill"})
    leg, book = rules_from(rules or {}, usual, mine.book_rules(cash.amount))
    leg_rules = dict.fromkeys(subjects, leg)
    if change is not None:
        leg_rules[change.subject.name], book = rules_from(change.rules, leg, book)
    lookback = max(subject.strategy.lookback_rows for subject in subjects.values())
    asked = heard_markets(settings, mine.quote), timeframe, start_ms, end_ms
    found, missing = read_period(stores, lookback, *asked, rules=[*leg_rules.values()], skip_missing=True)
    markets = [_at_exchange(stores, each, exchange, end_ms) for each in found.values()]
    # One series of each market for all that trade it alike.
    series = {way: {each.market: market_series(each, timeframe, way) for each in markets} for way in {*leg_rules.values()}}
    places = [(name, each.market) for name in subjects for each in markets]
    judged = {(name, each.market): judge(subject, each) for name, subject in subjects.items() for each in markets}
    made = account_book({place: series[leg_rules[place[0]]][place[1]] for place in places}, judged, leg_rules, book)
    result = run_backtest(made)
    candles = {each.market.key: each.period for each in markets}
    return AccountBacktest(
        **measured(result, candles, timeframe).parts(),
        account=account,
        rules=mine,
        judged_at=settings.exchange,
        subjects=subjects,
        leg_rules=leg_rules,
        without=without,
        cash=cash,
        timeframe=timeframe,
        asked_ms=(start_ms, end_ms),
        book=made.rules,
        result=result,
        candles=candles,
        left_out={market.key: reason for market, reason in missing.items()},
        without_rules=tuple(each.market.key for each in markets if not each.rules),
        unjudged=sum(map(unjudged, judged.values())),
        inputs=tuple(sorted({*cash.inputs, *(ref for each in markets for ref in each.inputs)})),
    )


def _subjects(
    stores: Stores, account: str, mine: AccountRules, change: Change | None, at_ms: int | None
) -> tuple[dict[str, StrategyInForce], dict[str, str]]:
    """Return the strategies of an account by name, in its order, and why one is left out."""
    in_force = read_in_force(stores.database, stores.settings, at_ms)
    found = {name: in_force.subjects[name] for name in mine.strategies if name in in_force.subjects}
    without = {
        name: str(in_force.unusable.get(name, "it is not in force")) for name in mine.strategies if name not in in_force.subjects
    }
    if change is not None:
        name = change.subject.name
        if name not in mine.strategies:
            raise InvalidInput(f"strategy {name!r} is not in account {account}; it has {', '.join(mine.strategies)}")
        found[name] = change.subject
        without.pop(name, None)
    if not found:
        raise InvalidInput(f"no strategy of account {account} is in force: {'; '.join(map(': '.join, without.items()))}")
    return {name: found[name] for name in mine.strategies if name in found}, without


def _cash(stores: Stores, account: str, mine: AccountRules, end_ms: int, given: Mapping[str, Any]) -> Cash:
    """Return what the book of an account begins with: its own cash, else its newest balance, else the desk's usual amount."""
    if mine.initial_cash or "initial_cash" in given:
        # A rule that is given goes before any amount from here.
        return Cash(mine.initial_cash or Decimal(1))
    balance = newest_balance(stores.database, account, before_ms=end_ms)
    if balance is not None and balance.equity > 0:
        words = f"It begins with the balance of {iso(balance.at)}, {money_text(balance.equity)} {mine.quote}."
        return Cash(balance.equity, words, (InputRef("balances", f"{account}|{iso(balance.at)}", money_text(balance.equity)),))
    _, book = stores.settings.backtests.rules_for(mine.quote)
    amount = Decimal(repr(book.initial_cash))
    return Cash(amount, f"No balance is stored, so it begins with the desk's usual {money_text(amount)} {mine.quote}.")


def _at_exchange(stores: Stores, series: SeriesRead, exchange: str, end_ms: int) -> SeriesRead:
    """Return what was read of a market as an account on this exchange trades it: by the trading rules there."""
    if series.market.exchange == exchange:
        return series
    market = replace(series.market, exchange=exchange)
    rules, read = known_rules(stores, market, end_ms)
    candles = [ref for ref in series.inputs if ref.asset != "market_rules"]
    return replace(series, market=market, rules=rules, inputs=(*candles, *read))
