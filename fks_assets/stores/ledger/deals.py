"""Deals: what the desk decided to trade, once for each signal, and how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.money import money, rounded
from fks_assets.quant.orders import DealStatus, ProcessedSide, Side, client_deal_id
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import read_account
from fks_assets.stores.ledger.reading import locked_accounts, milliseconds, moment, plain, reading


@dataclass(frozen=True, slots=True)
class NewDeal:
    """A decision. `signal_time` is the open time of the signal's candle; times are UTC milliseconds.

    `price` and stop and target in the quote coin, `quantity` in the base coin, `trailing_stop_distance` a fraction of the price.
    `refusal` says why the risk gate let it not through. `ordering` False: a person executes it (alert mode).
    """

    account: str
    strategy: str
    provider: str
    market: Market
    timeframe: str
    signal_time: int
    side: Side
    price: Decimal
    quantity: Decimal
    confidence: Decimal
    reason: str
    at_ms: int
    stop_loss_price: Decimal | None = None
    take_profit_price: Decimal | None = None
    trailing_stop_distance: Decimal | None = None
    refusal: str | None = None
    ordering: bool = True

    @property
    def client_deal_id(self) -> str:
        return client_deal_id(self.account, self.strategy, self.market.key, self.timeframe, self.signal_time)


@dataclass(frozen=True, slots=True)
class Deal:
    """A stored deal. `processed_side` follows the fills; times are UTC milliseconds."""

    id: int
    client_deal_id: str
    account: str
    strategy: str
    provider: str
    market: Market
    timeframe: str
    signal_time: int
    side: Side
    price: Decimal
    quantity: Decimal
    confidence: Decimal
    reason: str
    stop_loss_price: Decimal | None
    take_profit_price: Decimal | None
    stop_loss_order_id: int | None
    take_profit_order_id: int | None
    trailing_stop_enabled: bool
    trailing_stop_distance: Decimal | None
    status: DealStatus
    is_active: bool
    is_processed: bool
    processed_side: ProcessedSide
    refusal: str | None
    created_at: int
    updated_at: int


_COLUMNS = f"""id, client_deal_id, account, strategy, provider, market, timeframe, {milliseconds("signal_time")}, side,
    price, quantity, confidence, reason, stop_loss_price, take_profit_price, stop_loss_order_id, take_profit_order_id,
    trailing_stop_enabled, trailing_stop_distance, status, is_active, is_processed, processed_side, refusal,
    {milliseconds("created_at")}, {milliseconds("updated_at")}"""
_INSERT = sa.text(f"""
    INSERT INTO deals (client_deal_id, account, strategy, provider, market, timeframe, signal_time, side, price, quantity,
        confidence, reason, stop_loss_price, take_profit_price, trailing_stop_enabled, trailing_stop_distance, status, is_active,
        is_processed, processed_side, refusal, created_at, updated_at)
    VALUES (:client_deal_id, :account, :strategy, :provider, :market, :timeframe, {moment(":signal_time")}, :side,
        :price, :quantity, :confidence, :reason, :stop_loss_price, :take_profit_price, :trailing_stop_enabled,
        :trailing_stop_distance, :status, :is_active, false, 'NONE', :refusal, {moment(":at_ms")}, {moment(":at_ms")})
    ON CONFLICT (client_deal_id) DO NOTHING RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_BY_CLIENT_ID = sa.text(f"SELECT {_COLUMNS} FROM deals WHERE client_deal_id = :client_deal_id")  # noqa: S608 - constants only
_SELECT = sa.text(f"""
    SELECT * FROM (SELECT {_COLUMNS} FROM deals
    WHERE (CAST(:ids AS bigint[]) IS NULL OR id = ANY (CAST(:ids AS bigint[])))
      AND (CAST(:account AS text) IS NULL OR account = :account)
      AND (CAST(:strategy AS text) IS NULL OR strategy = :strategy)
      AND (CAST(:market AS text) IS NULL OR market = :market)
      AND (CAST(:active AS boolean) IS NULL OR is_active = :active)
      AND (CAST(:since AS bigint) IS NULL OR created_at >= {moment(":since")})
    ORDER BY id DESC LIMIT CAST(:newest AS bigint)) newest ORDER BY id
""")  # noqa: S608 - constants only
_NAMES = (
    "account",
    "strategy",
    "provider",
    "market",
    "timeframe",
    "signal_time",
    "side",
    "reason",
    "refusal",
    "at_ms",
    "client_deal_id",
)
_AMOUNTS = ("price", "quantity", "confidence", "stop_loss_price", "take_profit_price", "trailing_stop_distance")
_CHANGEABLE = {
    "status",
    "is_active",
    "stop_loss_price",
    "take_profit_price",
    "stop_loss_order_id",
    "take_profit_order_id",
    "trailing_stop_distance",
    "refusal",
}


def open_deal(connection: sa.Connection, deal: NewDeal) -> tuple[Deal, bool]:
    """Store a decision in the caller's transaction; return the deal, and whether it is new: a signal makes one deal for ever.

    Raises InvalidInput for an amount that is no money, or outside its bounds.
    """
    refused = deal.refusal is not None
    values = {name: getattr(deal, name) for name in _NAMES}
    for name in _AMOUNTS:
        values[name] = _amount(name, getattr(deal, name))
    values["trailing_stop_enabled"] = deal.trailing_stop_distance is not None
    values["status"] = DealStatus.NOT_ORDERING if refused or not deal.ordering else DealStatus.STARTED
    values["is_active"] = not refused
    _check(values, deal.market)
    exchange = read_account(connection, deal.account).exchange
    if deal.market.exchange != exchange:
        raise InvalidInput(f"deal in {deal.market}: account {deal.account} trades on {exchange}")
    row = connection.execute(_INSERT, plain(values)).first()
    if row is not None:
        return _deal(row), True
    return _deal(connection.execute(_BY_CLIENT_ID, {"client_deal_id": deal.client_deal_id}).one()), False


def update_deal(connection: sa.Connection, deal_id: int, *, at_ms: int, **changes: Any) -> Deal:
    """Change columns of a deal in the caller's transaction and return it.

    Changeable are status, is_active (False where the status is STOPPED), stop_loss_price, take_profit_price, stop_loss_order_id,
    take_profit_order_id, trailing_stop_distance and refusal (of a deal without fills: it is over then). Raises InvalidInput for
    an unknown deal.
    """
    if unknown := changes.keys() - _CHANGEABLE:
        raise TypeError(f"deals have no changeable {', '.join(sorted(unknown))}; changeable are {', '.join(sorted(_CHANGEABLE))}")
    values: dict[str, Any] = {name: _amount(name, value) if name in _AMOUNTS else value for name, value in changes.items()}
    if "status" in values:
        values["status"] = DealStatus(values["status"])
    if "trailing_stop_distance" in values:
        values["trailing_stop_enabled"] = values["trailing_stop_distance"] is not None
    if values.get("refusal") is not None:
        values |= {"status": DealStatus.NOT_ORDERING, "is_active": False}
    if values.get("status") is DealStatus.STOPPED:
        values["is_active"] = False
    elif "status" in values and values["status"] is not DealStatus.NOT_ORDERING:
        values.setdefault("is_active", True)
    locked_accounts(connection, [read_deal(connection, deal_id).account])
    assignments = "".join(f"{name} = :{name}, " for name in sorted(values))
    statement = sa.text(f"UPDATE deals SET {assignments}updated_at = {moment(':at_ms')} WHERE id = :id RETURNING {_COLUMNS}")  # noqa: S608 - names of a fixed set
    return _deal(connection.execute(statement, plain({**values, "id": deal_id, "at_ms": at_ms})).one())


def read_deal(source: Database | sa.Connection, deal_id: int) -> Deal:
    """Return a deal. Raises InvalidInput for an unknown one."""
    found = read_deals(source, ids=[deal_id])
    if not found:
        raise InvalidInput(f"deal {deal_id} is unknown")
    return found[0]


def read_deals(
    source: Database | sa.Connection,
    *,
    account: str | None = None,
    strategy: str | None = None,
    market: Market | None = None,
    active: bool | None = None,
    since_ms: int | None = None,
    ids: Sequence[int] | None = None,
    newest: int | None = None,
) -> list[Deal]:
    """Return deals, oldest first; None means all. `since_ms`: created then or later; `newest`: only so many, the last ones."""
    values = {
        "ids": None if ids is None else list(ids),
        "account": account,
        "strategy": strategy,
        "market": None if market is None else market.key,
        "active": active,
        "since": since_ms,
        "newest": newest,
    }
    with reading(source) as connection:
        return [_deal(row) for row in connection.execute(_SELECT, values)]


def _amount(name: str, value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    # The columns of these two have four digits: rounded here, where it is seen, and not by the database.
    return rounded(money(value), 4) if name in ("confidence", "trailing_stop_distance") else money(value)


def _check(values: dict[str, Any], market: Market) -> None:
    def refuse(words: str) -> None:
        raise InvalidInput(f"deal in {market}: {words}")

    if values["price"] <= 0:
        refuse(f"price {values['price']} is not above 0")
    if values["quantity"] < 0 or (not values["quantity"] and values["refusal"] is None):
        refuse(f"quantity {values['quantity']} is not above 0")
    if not 0 <= values["confidence"] <= 1:
        refuse(f"confidence {values['confidence']} is not between 0 and 1")
    distance = values["trailing_stop_distance"]
    if distance is not None and not 0 < distance < 1:
        refuse(f"trailing_stop_distance {distance} is not a fraction between 0 and 1")
    stop, target = values["stop_loss_price"], values["take_profit_price"]
    for name, level in (("stop_loss_price", stop), ("take_profit_price", target)):
        if level is not None and level <= 0:
            refuse(f"{name} {level} is not above 0")
    if stop is not None and target is not None and (stop >= target if values["side"] == Side.BUY else stop <= target):
        refuse(f"the stop {stop} of a {values['side']} is on the wrong side of its target {target}")


def _deal(row: sa.Row[Any]) -> Deal:
    values = list(row)
    values[5], values[8] = parse_market(row[5]), Side(row[8])
    values[19], values[22] = DealStatus(row[19]), ProcessedSide(row[22])
    return Deal(*values)
