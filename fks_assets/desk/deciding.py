"""Decide on every signal that an account has not decided on, once; each by itself, none stops another."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from fks_assets.desk.decide import Decision, NewRisk, Signal, decide
from fks_assets.desk.floor import Floor
from fks_assets.desk.protections import apply_protections
from fks_assets.desk.signals import Heard, Place, decided_marks, mark_name, note_decided
from fks_assets.errors import ExchangeError, in_words
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.money import from_analytics, money_text
from fks_assets.quant.orders import Mode
from fks_assets.quant.strategies.base import BUY, HOLD
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.reading import locked_accounts
from fks_assets.stores.notifications import notify

# What forbids new risk, in words; asked in the transaction of the decision, and in those in which its entry is written and sent.
Obstacles = Callable[[sa.Connection, Account, NewRisk], Sequence[str]]


@dataclass(slots=True)
class Decided:
    """What became of an account's new signals. `waiting`: those that cannot be decided yet, and why; they are asked again."""

    decisions: list[tuple[Heard, Decision]] = field(default_factory=list)
    waiting: dict[Place, str] = field(default_factory=dict)
    errors: dict[Place, str] = field(default_factory=dict)

    def add(self, other: "Decided") -> None:
        """Take over what became of other signals."""
        self.decisions += other.decisions
        self.waiting |= other.waiting
        self.errors |= other.errors

    @property
    def deals(self) -> list[Deal]:
        """The new deals that were not refused."""
        found = [decision.deal for _, decision in self.decisions if decision.is_new]
        return [deal for deal in found if deal is not None and deal.refusal is None]

    def summary(self, strategies: Sequence[str]) -> dict[str, Any]:
        """Return S3.4's answer: how many strategies were processed, how many met an error, and what became of each signal."""
        failed = {strategy for strategy, _ in self.errors}
        words = {(each.signal.strategy, each.signal.market): decision.words for each, decision in self.decisions}
        words |= {place: f"waits: {why}" for place, why in self.waiting.items()}
        words |= {place: f"error: {why}" for place, why in self.errors.items()}
        return {
            "status": "completed_with_errors" if failed else "success",
            "total_strategies": len(strategies),
            "processed": len(strategies) - len(failed),
            "errors": len(failed),
            "details": {f"{strategy} {market}": text for (strategy, market), text in words.items()},
        }


async def decide_signals(floor: Floor, account: Account, heard: Sequence[Heard], obstacles: Obstacles) -> Decided:
    """Decide on the signals, in their order, that are newer than what the account has decided on in their place.

    Each is decided in a transaction of its own, together with the note that it was and the message to people, so that neither a
    crash nor a second run decides it again. One whose market has no price now waits. Those that say HOLD are noted all at once.
    """
    result = Decided()
    with floor.database.transaction() as connection:
        marks = decided_marks(connection, account.name)
    new = [
        each
        for each in heard
        if each.signal.open_time > marks.get(mark_name(each.signal.strategy, each.signal.market, each.signal.timeframe), -1)
    ]
    holds, new = [each for each in new if each.signal.action == HOLD], [each for each in new if each.signal.action != HOLD]
    if holds:
        with floor.database.transaction() as connection:
            locked_accounts(connection, [account.name])
            note_decided(connection, account.name, *(each.signal for each in holds), at_ms=floor.clock())
    rules, market_rules = floor.rules(account.name), floor.market_rules(account) if new else {}
    quotes = await _quotes(floor, account, new, market_rules, result)
    for each in new:
        place = (each.signal.strategy, each.signal.market)
        if place in result.waiting:
            continue
        try:
            with floor.database.transaction() as connection:
                made = _decide(connection, floor, account, rules, each.signal, quotes, market_rules, obstacles)
        except Exception as error:
            result.errors[place] = in_words(error)
        else:
            result.decisions.append((each, made))
    result.decisions += [(each, Decision("HOLD")) for each in holds]
    return result


def signal_message(deal: Deal, mode: Mode) -> str:
    """Return what people are told of a new deal (S1.13)."""
    levels = [
        f"{name} {money_text(level)}"
        for name, level in (("stop", deal.stop_loss_price), ("target", deal.take_profit_price))
        if level is not None
    ]
    who = (
        f"Execute it, then: fks orders record {deal.id} --price … --quantity … --fee …"
        if mode is Mode.ALERT
        else f"The desk orders it ({mode})."
    )
    size = f"{money_text(deal.quantity)} {deal.market.base} at about {money_text(deal.price)} {deal.market.quote}"
    return (
        f"🚀 BUY Signal! {deal.market} {', '.join([size, *levels])}. Account {deal.account}, {deal.strategy} {deal.timeframe}, "
        f"confidence {money_text(deal.confidence)}: {deal.reason}. {who}"
    )


async def _quotes(
    floor: Floor, account: Account, new: Sequence[Heard], known: Container[Market], result: Decided
) -> Mapping[Market, Quote]:
    """Return the prices of the markets to be bought; note which signals wait for theirs.

    A market without trading rules is not asked for: the exchange may not have it, and would give no price of the others either.
    """
    buys = [each.signal for each in new if each.signal.action == BUY and each.signal.market in known]
    markets = list(dict.fromkeys(signal.market for signal in buys))
    try:
        quotes = await floor.prices(account.exchange).quotes(markets) if markets else {}
        why = "its market has no price now"
    except ExchangeError as error:
        quotes, why = {}, in_words(error)
    result.waiting |= {(each.strategy, each.market): why for each in buys if each.market not in quotes}
    return quotes


def _decide(
    connection: sa.Connection,
    floor: Floor,
    account: Account,
    rules: AccountRules,
    signal: Signal,
    quotes: Mapping[Market, Quote],
    market_rules: Mapping[Market, MarketRules],
    obstacles: Obstacles,
) -> Decision:
    at = floor.clock()
    locked_accounts(connection, [account.name])
    quote = quotes.get(signal.market)
    if signal.action == BUY:
        apply_protections(connection, floor.settings.protections, account, at_ms=at)
    made = decide(
        connection,
        account,
        rules,
        signal,
        # Only what is bought needs the price of now.
        price=from_analytics(signal.close if quote is None else quote.close),
        market_rules=market_rules.get(signal.market),
        obstacles=obstacles(connection, account, signal.risk) if signal.action == BUY else (),
        at_ms=at,
        taker_fees={market: each.taker_fee for market, each in market_rules.items() if each.taker_fee is not None},
    )
    note_decided(connection, account.name, signal, at_ms=at)
    if made.is_new and made.leaves is not None and account.mode is Mode.ALERT:
        message = (
            f"🔔 SELL signal: leave {made.leaves.market} of deal {made.leaves.id} in account {account.name}: {signal.reason}."
        )
        notify(connection, "sell_signal", "HIGH", message, f"sell:{made.leaves.client_deal_id}:{signal.open_time}")
    elif made.is_new and made.deal is not None and made.deal.refusal is None:
        message = signal_message(made.deal, account.mode)
        notify(
            connection,
            "buy_signal",
            "HIGH" if account.mode is Mode.ALERT else "INFO",
            message,
            f"deal:{made.deal.client_deal_id}",
        )
    return made
