"""The risk of an account as the desk knows it: from the ledger, its marks and the stored candles to one document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fks_assets.assets.portfolio.documents import PERCENT_DIGITS, price_of, text_of
from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.desk.valuing import balance_of
from fks_assets.errors import InsufficientData
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT, ZERO, money_text
from fks_assets.quant.orders import PositionSide
from fks_assets.quant.risk import Holding, RiskAssessment, RiskLevel, assess_risk, percent_number
from fks_assets.quant.timeframes import Timeframe
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.balances import read_returns
from fks_assets.stores.ledger.journal import cash_flows
from fks_assets.stores.ledger.positions import Position, read_positions
from fks_assets.stores.ledger.reading import locked_accounts

if TYPE_CHECKING:
    import numpy as np

    from fks_assets.stores.candles import CandleStore


@dataclass(frozen=True, slots=True)
class AccountRisk:
    """The risk of an account at a time (UTC ms): the assessment, and all of it as a document for tables and programs."""

    account: Account
    at: int
    assessment: RiskAssessment
    document: Mapping[str, Any]

    @property
    def high_codes(self) -> list[str]:
        return [reason.code for reason in self.assessment.reasons if reason.level is RiskLevel.HIGH]


def risk_of(
    database: Database, candles: "CandleStore", account: Account, settings: Settings, day: Timeframe, *, at_ms: int
) -> AccountRisk:
    """Return the risk of an account by its wallets, the marks of its positions, its balances, and the closes of `day`.

    Closes are those of the desk's exchange, wherever the account trades: its signals are made from them too. The account is
    locked while its books are read: cash of after a trade beside positions of before it would be an alarm.
    """
    rules = settings.risk
    since = at_ms - rules.history_days * MILLISECONDS_PER_DAY
    with database.transaction() as connection:
        locked_accounts(connection, [account.name])
        positions = [each for each in read_positions(connection, account=account.name, is_open=True) if each.net_quantity]
        balance = balance_of(connection, account, at_ms=at_ms)
        has_money = bool(cash_flows(connection, account.name, until_ms=at_ms + 1))
        history = read_returns(connection, account.name, since_ms=since, until_ms=at_ms)
    holdings = [_holding(position) for position in positions]
    found = assess_risk(balance.cash if has_money else None, holdings, rules, at_ms=at_ms, margin_used=balance.margin_used)
    document = {
        "account": account.name,
        "at": iso(at_ms),
        "quote": account.quote,
        "level": found.level.value,
        "reasons": [{"code": each.code, "level": each.level.value, "text": each.text} for each in found.reasons],
        "unknown": list(found.unknown),
        "cash": money_text(balance.cash) if has_money else None,
        "equity": text_of(found.equity),
        "position_value": text_of(found.position_value),
        "exposure_percent": _exact_percent(found.exposure),
        "unrealised_pnl": price_of(found.unrealised_pnl),
        "unrealised_percent": _exact_percent(found.unrealised_share),
        "margin_used": money_text(found.margin_used),
        "margin_percent": _exact_percent(found.margin_share),
        "concentrations": [
            {"name": each.name, "value": money_text(each.size), "percent": _exact_percent(each.share)}
            for each in found.concentrations
        ],
        **_drawdowns([1 + float(made) for made in (*(made for _, made in history), balance.time_weighted_return)]),
        **_statistics(holdings, found, candles, settings, day, at_ms),
        "limits": {
            "exposure": [money_text(rules.exposure_medium), money_text(rules.exposure_high)],
            "loss": [money_text(rules.loss_medium), money_text(rules.loss_high)],
            "concentration": money_text(rules.concentration_high),
        },
    }
    return AccountRisk(account, at_ms, found, document)


def _holding(position: Position) -> Holding:
    """Return a position by what is held: coins, or coins that are owed."""
    side = PositionSide.LONG if position.net_quantity > 0 else PositionSide.SHORT
    name = f"{position.market} of {position.strategy} (deal {position.deal_id})"
    quantity = position.net_quantity.copy_abs()
    return Holding(name, position.market, side, quantity, position.entry_price, position.mark_price, position.marked_at)


def _drawdowns(values: Sequence[float]) -> dict[str, str | None]:
    import numpy as np

    from fks_assets.quant.risk_statistics import drawdowns

    curve = np.array(values)
    now, deepest = drawdowns(curve) if (curve > 0).all() else (None, None)
    return {"drawdown_percent": _percent(now), "deepest_drawdown_percent": _percent(deepest)}


def _statistics(
    holdings: Sequence[Holding], found: RiskAssessment, candles: "CandleStore", settings: Settings, day: Timeframe, at_ms: int
) -> dict[str, Any]:
    """Return what daily returns say of the positions together; why not, where they say nothing."""
    from fks_assets.quant.risk_statistics import CONFIDENCE, correlated_exposure, daily_returns, tail_loss

    names = ("correlated_exposure_percent", "value_at_risk", "value_at_risk_percent", "expected_shortfall")
    none: dict[str, Any] = {**dict.fromkeys((*names, "expected_shortfall_percent")), "returns_days": 0}
    if not holdings:
        return none | {"statistics": "nothing is held"}
    if found.equity is None or found.equity <= 0:
        return none | {"statistics": "the balance is not known, or not above 0"}
    rules, worth = settings.risk, _worth_by_market(holdings, settings.exchange)
    since = at_ms - (rules.history_days + 1) * MILLISECONDS_PER_DAY
    returns = daily_returns({market.key: _closes(candles, market, day, since, at_ms) for market in worth})
    if len(returns) < rules.least_days:
        what = f"{len(returns)} daily returns of {', '.join(map(str, worth))} are stored, {rules.least_days} are needed"
        return none | {"returns_days": len(returns), "statistics": what}
    equity = float(found.equity)
    weights = [float(value) / equity for value in worth.values()]
    try:
        correlated, why = correlated_exposure(weights, returns), ""
    except InsufficientData as error:
        correlated, why = None, str(error)
    tail = tail_loss(weights, returns, CONFIDENCE)
    return {
        "correlated_exposure_percent": _percent(correlated),
        "value_at_risk": _amount(tail.value_at_risk * equity),
        "value_at_risk_percent": _percent(tail.value_at_risk),
        "expected_shortfall": _amount(tail.expected_shortfall * equity),
        "expected_shortfall_percent": _percent(tail.expected_shortfall),
        "returns_days": len(returns),
        "statistics": why or f"{len(returns)} daily returns, at {CONFIDENCE * 100:g} %",
    }


def _worth_by_market(holdings: Sequence[Holding], exchange: str) -> dict[Market, Decimal]:
    """Return what is held, below 0 for SHORT, by the market of the desk's exchange that says how its price moves."""
    found: dict[Market, Decimal] = {}
    for held in holdings:
        market = replace(held.market, exchange=exchange)
        found[market] = EXACT.add(found.get(market, ZERO), held.value or ZERO)
    return found


def _closes(
    candles: "CandleStore", market: Market, day: Timeframe, since_ms: int, until_ms: int
) -> "tuple[np.ndarray, np.ndarray]":
    """Return (close time, close) of the stored candles that had closed by then."""
    from fks_assets.stores.candle_tables import candles_from_table

    found = candles_from_table(candles.read_table("ohlcv", market, day.name, since_ms, until_ms))
    closed = found.open_time + day.milliseconds
    return closed[closed <= until_ms], found.close[closed <= until_ms]


def _exact_percent(share: Decimal | None) -> str | None:
    return None if share is None else percent_number(share, PERCENT_DIGITS)


def _percent(fraction: float | None) -> str | None:
    return None if fraction is None else f"{fraction * 100:.4f}".rstrip("0").rstrip(".")


def _amount(value: float) -> str:
    return f"{value:.2f}"
