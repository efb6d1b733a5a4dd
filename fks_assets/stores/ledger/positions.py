"""Positions: for each deal the sums of its fills. What is held, prices and profits are derived from them when read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.money import DERIVED, EXACT, ZERO, money, money_text, ratio, total
from fks_assets.quant.orders import PositionSide, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.journal import Posting, post
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.reading import document, locked_accounts, milliseconds, moment, reading

if TYPE_CHECKING:
    from fks_assets.stores.ledger.fills import Fill


@dataclass(frozen=True, slots=True)
class Position:
    """The sums of a deal's fills. Quantities in the base coin, sums in the quote coin, times in UTC milliseconds."""

    deal_id: int
    account: str
    strategy: str
    market: Market
    side: PositionSide
    bought_quantity: Decimal
    bought_sum: Decimal
    sold_quantity: Decimal
    sold_sum: Decimal
    fees_quote: Decimal
    fee_base: Decimal
    dust_quantity: Decimal
    opened_at: int
    closed_at: int | None
    mark_price: Decimal | None
    marked_at: int | None
    updated_at: int

    @property
    def net_quantity(self) -> Decimal:
        """What is held: above 0 coins, below 0 coins that are owed. Fees in the coin and dust are gone from it."""
        return total(
            (self.bought_quantity, *(each.copy_negate() for each in (self.sold_quantity, self.fee_base, self.dust_quantity)))
        )

    @property
    def quantity(self) -> Decimal:
        """The size of the position: above 0 as long as it is open in its direction."""
        return self.net_quantity if self.side is PositionSide.LONG else self.net_quantity.copy_negate()

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def entry_sum(self) -> Decimal:
        """What was paid to enter, without fees; of a SHORT, what was received."""
        return self.bought_sum if self.side is PositionSide.LONG else self.sold_sum

    @property
    def entry_price(self) -> Decimal | None:
        """The average price of entering, None before the first fill of the entry."""
        entered = self.bought_quantity if self.side is PositionSide.LONG else self.sold_quantity
        return ratio(self.entry_sum, entered)

    @property
    def exit_price(self) -> Decimal | None:
        """The average price of leaving, None before the first fill of the exit."""
        if self.side is PositionSide.LONG:
            return ratio(self.sold_sum, self.sold_quantity)
        return ratio(self.bought_sum, self.bought_quantity)

    @property
    def pnl(self) -> Decimal | None:
        """Profit after fees in the quote coin, open part at the mark price: exact. None while open and never marked.

        Fees in a third coin are not part of it (`fees` tells them); dust counts as nothing.
        """
        cash = total((self.sold_sum, self.bought_sum.copy_negate(), self.fees_quote.copy_negate()))
        if not self.net_quantity:
            return cash
        return None if self.mark_price is None else EXACT.add(cash, EXACT.multiply(self.net_quantity, self.mark_price))

    @property
    def unrealised_pnl(self) -> Decimal | None:
        """The part of `pnl` that the open quantity would bring at the mark price, against the average entry price."""
        if not self.net_quantity:
            return ZERO
        if self.mark_price is None or self.entry_price is None:
            return None
        return DERIVED.multiply(self.net_quantity, DERIVED.subtract(self.mark_price, self.entry_price))

    @property
    def realised_pnl(self) -> Decimal | None:
        """The rest of `pnl`: what leaving brought, and all fees."""
        pnl, open_part = self.pnl, self.unrealised_pnl
        return None if pnl is None or open_part is None else DERIVED.subtract(pnl, open_part)

    @property
    def pnl_fraction(self) -> Decimal | None:
        """`pnl` as a fraction of what was paid to enter (0.01 is 1 %)."""
        return None if self.pnl is None else ratio(self.pnl, self.entry_sum)


_COLUMNS = f"""p.deal_id, p.account, p.strategy, p.market, p.side, p.bought_quantity, p.bought_sum, p.sold_quantity, p.sold_sum,
    p.fees_quote, p.fee_base, p.dust_quantity, {milliseconds("p.opened_at")}, {milliseconds("p.closed_at")}, p.mark_price,
    {milliseconds("p.marked_at")}, {milliseconds("p.updated_at")}"""
_NET = "{0}bought_quantity - {0}sold_quantity - {0}fee_base - {0}dust_quantity"
_COUNT = sa.text(f"""
    INSERT INTO positions AS p (deal_id, account, strategy, market, side, bought_quantity, bought_sum, sold_quantity, sold_sum,
        fees_quote, fee_base, opened_at, closed_at, updated_at)
    SELECT d.id, d.account, d.strategy, d.market, CASE d.side WHEN 'BUY' THEN 'LONG' ELSE 'SHORT' END, r.bought_quantity,
        r.bought_sum, r.sold_quantity, r.sold_sum, r.fees_quote, r.fee_base, {moment("r.first")},
        CASE WHEN r.bought_quantity - r.sold_quantity - r.fee_base = 0 THEN {moment("r.last")} END, {moment(":at")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (deal_id bigint, bought_quantity numeric, bought_sum numeric,
        sold_quantity numeric, sold_sum numeric, fees_quote numeric, fee_base numeric, first bigint, last bigint)
    JOIN deals d ON d.id = r.deal_id ORDER BY d.id
    ON CONFLICT (deal_id) DO UPDATE SET bought_quantity = p.bought_quantity + excluded.bought_quantity,
        bought_sum = p.bought_sum + excluded.bought_sum, sold_quantity = p.sold_quantity + excluded.sold_quantity,
        sold_sum = p.sold_sum + excluded.sold_sum, fees_quote = p.fees_quote + excluded.fees_quote,
        fee_base = p.fee_base + excluded.fee_base, opened_at = least(p.opened_at, excluded.opened_at),
        closed_at = CASE WHEN {_NET.format("p.")} + excluded.bought_quantity - excluded.sold_quantity - excluded.fee_base = 0
            THEN (SELECT max(f.traded_at) FROM orders o JOIN fills f ON f.order_id = o.id WHERE o.deal_id = p.deal_id) END,
        updated_at = excluded.updated_at
""")  # noqa: S608 - constants only
_PROCESSED = sa.text("""
    UPDATE deals d SET is_processed = true, processed_side = CASE WHEN p.bought_quantity > 0 AND p.sold_quantity > 0
        THEN 'BUY_AND_SELL' WHEN p.bought_quantity > 0 THEN 'BUY' ELSE 'SELL' END
    FROM positions p WHERE p.deal_id = d.id AND d.id = ANY (CAST(:ids AS bigint[])) AND d.processed_side <> 'BUY_AND_SELL'
""")
_SELECT = sa.text(f"""
    SELECT * FROM (SELECT {_COLUMNS} FROM positions p
    WHERE (CAST(:ids AS bigint[]) IS NULL OR deal_id = ANY (CAST(:ids AS bigint[])))
      AND (CAST(:account AS text) IS NULL OR account = :account)
      AND (CAST(:strategy AS text) IS NULL OR strategy = :strategy)
      AND (CAST(:market AS text) IS NULL OR market = :market)
      AND (CAST(:open AS boolean) IS NULL OR (closed_at IS NULL) = :open)
      AND (CAST(:closed_since AS bigint) IS NULL OR closed_at >= {moment(":closed_since")})
    ORDER BY deal_id DESC LIMIT CAST(:newest AS bigint)) newest ORDER BY deal_id
""")  # noqa: S608 - constants only
_MARK = sa.text(f"""
    UPDATE positions p SET mark_price = r.price, marked_at = {moment(":at")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (market text, price numeric)
    WHERE p.market = r.market AND p.closed_at IS NULL AND (p.marked_at IS NULL OR p.marked_at <= {moment(":at")})
      AND p.account = ANY (CAST(:accounts AS text[]))
""")  # noqa: S608 - constants only
_OPEN_ACCOUNTS = sa.text(
    "SELECT DISTINCT account FROM positions WHERE closed_at IS NULL AND market = ANY (CAST(:markets AS text[]))"
)
_DUST = sa.text(f"""
    UPDATE positions p SET dust_quantity = dust_quantity + :quantity, closed_at = {moment(":at")}, updated_at = {moment(":at")}
    WHERE deal_id = :deal_id RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_OVER = sa.text("""
    SELECT count(*), coalesce(sum(sold_sum - bought_sum - fees_quote), 0) FROM positions
    WHERE account = :account AND closed_at IS NOT NULL
""")
_FEES = sa.text("""
    SELECT f.fee_currency, sum(f.fee) FROM orders o JOIN fills f ON f.order_id = o.id
    WHERE o.deal_id = :deal_id AND f.fee <> 0 GROUP BY f.fee_currency ORDER BY f.fee_currency COLLATE "C"
""")


def count_fills(connection: sa.Connection, fills: "Mapping[Fill, Order]", *, at_ms: int) -> None:
    """Add new fills to the positions of their deals, in the caller's transaction. The account must be locked."""
    sums: dict[int, dict[str, Any]] = {}
    for fill, order in fills.items():
        if order.deal_id is None:
            continue
        one = sums.setdefault(order.deal_id, {"first": fill.traded_at, "last": fill.traded_at, **dict.fromkeys(_SUMS, ZERO)})
        one["first"], one["last"] = min(one["first"], fill.traded_at), max(one["last"], fill.traded_at)
        way = "bought" if fill.side is Side.BUY else "sold"
        added = {f"{way}_quantity": fill.quantity, f"{way}_sum": fill.value}
        if fill.fee_currency == fill.market.quote:
            added["fees_quote"] = fill.fee
        elif fill.fee_currency == fill.market.base:
            added["fee_base"] = fill.fee
        for name, amount in added.items():
            one[name] = EXACT.add(one[name], amount)
    if sums:
        rows = [{"deal_id": deal_id, **one} for deal_id, one in sums.items()]
        connection.execute(_COUNT, {"rows": document(rows), "at": at_ms})
        connection.execute(_PROCESSED, {"ids": sorted(sums)})


def read_positions(
    source: Database | sa.Connection,
    *,
    account: str | None = None,
    strategy: str | None = None,
    market: Market | None = None,
    is_open: bool | None = None,
    closed_since: int | None = None,
    deal_ids: Sequence[int] | None = None,
    newest: int | None = None,
) -> list[Position]:
    """Return positions by deal; None means all. `closed_since` is UTC ms; `newest`: only so many, those of the last deals."""
    values = {
        "ids": None if deal_ids is None else list(deal_ids),
        "account": account,
        "strategy": strategy,
        "market": None if market is None else market.key,
        "open": is_open,
        "closed_since": closed_since,
        "newest": newest,
    }
    with reading(source) as connection:
        return [_position(row) for row in connection.execute(_SELECT, values)]


def closed_result(source: Database | sa.Connection, account: str) -> tuple[int, Decimal]:
    """Return how many positions of an account are over, and what they brought together: the exact sum of their `pnl`."""
    with reading(source) as connection:
        count, brought = connection.execute(_OVER, {"account": account}).one()
        return count, brought


def mark(connection: sa.Connection, prices: Mapping[Market, Decimal], *, at_ms: int) -> None:
    """Note market prices (quote coin) in the open positions, in the caller's transaction; an older price changes nothing."""
    for market, price in prices.items():
        if money(price) <= 0:
            raise InvalidInput(f"price {price} of {market} is not above 0")
    rows = [{"market": market, "price": money(price)} for market, price in prices.items()]
    accounts = list(connection.scalars(_OPEN_ACCOUNTS, {"markets": [market.key for market in prices]}))
    locked_accounts(connection, accounts)
    connection.execute(_MARK, {"rows": document(rows), "at": at_ms, "accounts": accounts})


def book_dust(connection: sa.Connection, deal_id: int, *, at_ms: int, by: str) -> Position:
    """Close a position of which the rest is too little to sell, in the caller's transaction, and return it.

    The coins stay in the wallet; the position gives them up and they count as nothing in its profit. Whether the rest is too
    little is for the caller to know. Raises InvalidInput when nothing, or less than nothing, is held.
    """
    found = read_positions(connection, deal_ids=[deal_id])
    if not found:
        raise InvalidInput(f"deal {deal_id} has no position")
    locked_accounts(connection, [found[0].account])
    position = read_positions(connection, deal_ids=[deal_id])[0]
    rest = position.net_quantity
    if rest <= 0:
        raise InvalidInput(f"the position of deal {deal_id} holds {money_text(rest)} {position.market.base}: there is no dust")
    base = position.market.base
    reference = f"dust of deal {deal_id} beyond {money_text(position.dust_quantity)}"
    entries = [("market", base, rest), ("dust", base, rest.copy_negate())]
    changed = connection.execute(_DUST, {"deal_id": deal_id, "quantity": rest, "at": at_ms}).one()
    post(connection, position.account, [Posting("dust", reference, at_ms, entries, deal_id=deal_id)], by=by)
    return _position(changed)


def fees(source: Database | sa.Connection, deal_id: int) -> dict[str, Decimal]:
    """Return what the fills of a deal cost by currency, the third coins among them."""
    with reading(source) as connection:
        return {row[0]: row[1] for row in connection.execute(_FEES, {"deal_id": deal_id})}


_SUMS = ("bought_quantity", "bought_sum", "sold_quantity", "sold_sum", "fees_quote", "fee_base")


def _position(row: sa.Row[Any]) -> Position:
    values = list(row)
    values[3], values[4] = parse_market(row[3]), PositionSide(row[4])
    return Position(*values)
