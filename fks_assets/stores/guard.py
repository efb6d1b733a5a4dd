"""What the stop guard knows between two looks: open positions with their stops, prices, and the proof that they were checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.orders import Mode
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import document, milliseconds, moment, reading
from fks_assets.stores.ledger.stops import StopState

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class KnownPrice:
    """What is known of a market's price; times are UTC milliseconds.

    `price` is the last one that was believed, `price_at` when the exchange's words about the market last changed, `told_at` the
    exchange's own time of them, `digest` a hash of them. `suspect` is a price far from `price` that was seen at `suspect_at`.
    """

    market: Market
    price: Decimal | None
    price_at: int
    told_at: int | None
    digest: str
    suspect: Decimal | None = None
    suspect_at: int | None = None

    def not_ahead(self, now_ms: int) -> "KnownPrice":
        """Return it without a time that has not come yet: the clock has gone back, and its age counts from now on."""
        suspect_at = None if self.suspect_at is None else min(self.suspect_at, now_ms)
        return replace(self, price_at=min(self.price_at, now_ms), suspect_at=suspect_at)


@dataclass(frozen=True, slots=True)
class StopCheck:
    """The proof that a position is watched; times are UTC milliseconds.

    `checked_at`: the last check, with `price` of the time `price_at`. `event`: what the price asks for since `event_at`, acted
    upon at `confirmed_at`. The time from `since` to `accounted_to` is counted; what of the running hour was covered is here.
    """

    deal_id: int
    since: int
    accounted_to: int
    checked_at: int | None = None
    price: Decimal | None = None
    price_at: int | None = None
    event: str | None = None
    event_at: int | None = None
    confirmed_at: int | None = None
    triggers: int = 0
    breached_at: int | None = None
    covered_ms: int = 0
    uncovered_ms: int = 0

    @property
    def is_passed(self) -> bool:
        """Whether the price is known to be beyond the stop."""
        return self.event == "STOPPED" and self.confirmed_at is not None


@dataclass(frozen=True, slots=True)
class Guarded:
    """An open position as the guard sees it. `side` is 1 for a long one and -1 for a short one; money in the quote coin.

    `reference` is its last mark, else its entry price. `version` and `state` are those of its stop, 0 and NONE without one; the
    levels are then the deal's. `changed_at` is when the stop last changed (UTC ms). `target_rests`: an order at the venue waits
    for the target.
    """

    deal_id: int
    account: str
    mode: Mode
    strategy: str
    market: Market
    side: int
    quantity: Decimal
    reference: float | None
    level: Decimal | None
    target: Decimal | None
    trailing_distance: Decimal | None
    version: int
    state: StopState
    changed_at: int | None
    target_rests: bool
    check: StopCheck


@dataclass(frozen=True, slots=True)
class Hour:
    """For how long a position was watched in the hour from `hour` (UTC ms) on, and for how long not, in milliseconds.

    Whole hours in which nobody looked are one: `uncovered_ms` is then as long as all of them, the first of which is `hour`.
    """

    deal_id: int
    hour: int
    covered_ms: int
    uncovered_ms: int

    def begun_in(self, start_ms: int, end_ms: int) -> "Hour | None":
        """Return the part of it that is of hours that begin in [start_ms, end_ms), None if there is none."""
        hours = max(1, self.uncovered_ms // HOUR_MS)
        first = max(0, -((self.hour - start_ms) // HOUR_MS))
        last = min(hours, -((self.hour - end_ms) // HOUR_MS))
        if last <= first:
            return None
        return (
            self
            if last - first == hours
            else replace(self, hour=self.hour + first * HOUR_MS, uncovered_ms=(last - first) * HOUR_MS)
        )


_TIMES = ("since", "accounted_to", "checked_at", "price_at", "event_at", "confirmed_at", "breached_at")
_CHECK_NAMES = tuple(StopCheck.__dataclass_fields__)
_CHECK = ", ".join(milliseconds(f"c.{name}") if name in _TIMES else f"c.{name}" for name in _CHECK_NAMES)
_TYPES = {"deal_id": "bigint", "price": "numeric", "event": "text", "triggers": "integer"}
_RECORD = ", ".join(f"{name} {_TYPES.get(name, 'bigint')}" for name in _CHECK_NAMES)
_VALUES = ", ".join(moment(f"r.{name}") if name in _TIMES else f"r.{name}" for name in _CHECK_NAMES)
_KEPT = ", ".join(f"{name} = excluded.{name}" for name in _CHECK_NAMES if name not in ("deal_id", "since"))
_HELD = "p.bought_quantity - p.sold_quantity - p.fee_base - p.dust_quantity"
_GUARDED = sa.text(f"""
    SELECT p.deal_id, p.account, a.mode, p.strategy, p.market, CASE p.side WHEN 'LONG' THEN 1 ELSE -1 END AS side,
        CASE p.side WHEN 'LONG' THEN 1 ELSE -1 END * ({_HELD}),
        CAST(coalesce(p.mark_price, CASE p.side WHEN 'LONG' THEN p.bought_sum / nullif(p.bought_quantity, 0)
            ELSE p.sold_sum / nullif(p.sold_quantity, 0) END) AS double precision),
        CASE WHEN s.deal_id IS NULL THEN d.stop_loss_price ELSE s.level END,
        CASE WHEN s.deal_id IS NULL THEN d.take_profit_price ELSE s.target END,
        CASE WHEN s.deal_id IS NULL THEN d.trailing_stop_distance ELSE s.trailing_distance END,
        coalesce(s.version, 0), coalesce(s.state, 'NONE'), {milliseconds("s.updated_at")}, d.take_profit_order_id IS NOT NULL,
        CASE WHEN c.deal_id IS NULL THEN (SELECT {milliseconds("greatest(p.opened_at, min(o.created_at))")} FROM orders o
            WHERE o.deal_id = p.deal_id) END,
        {_CHECK}
    FROM positions p JOIN deals d ON d.id = p.deal_id JOIN accounts a ON a.name = p.account
    LEFT JOIN stops s ON s.deal_id = p.deal_id LEFT JOIN stop_checks c ON c.deal_id = p.deal_id
    WHERE p.closed_at IS NULL AND CASE p.side WHEN 'LONG' THEN 1 ELSE -1 END * ({_HELD}) > 0
    ORDER BY p.deal_id
""")  # noqa: S608 - constants only
_OVER = sa.text(f"""
    SELECT {milliseconds("coalesce(p.closed_at, p.updated_at)")}, {_CHECK}
    FROM stop_checks c JOIN positions p ON p.deal_id = c.deal_id
    WHERE p.closed_at IS NOT NULL OR CASE p.side WHEN 'LONG' THEN 1 ELSE -1 END * ({_HELD}) <= 0 ORDER BY c.deal_id
""")  # noqa: S608 - constants only
_WRITE_CHECKS = sa.text(f"""
    INSERT INTO stop_checks ({", ".join(_CHECK_NAMES)})
    SELECT {_VALUES} FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r ({_RECORD}) ORDER BY r.deal_id
    ON CONFLICT (deal_id) DO UPDATE SET {_KEPT}
""")  # noqa: S608 - constants only
_FORGET = sa.text("DELETE FROM stop_checks WHERE deal_id = ANY (CAST(:ids AS bigint[]))")
_PRICES = sa.text(f"""
    SELECT market, price, {milliseconds("price_at")}, {milliseconds("told_at")}, digest, suspect, {milliseconds("suspect_at")}
    FROM guard_prices WHERE market = ANY (CAST(:markets AS text[]))
""")  # noqa: S608 - constants only
_WRITE_PRICES = sa.text(f"""
    INSERT INTO guard_prices (market, price, price_at, told_at, digest, suspect, suspect_at)
    SELECT r.market, r.price, {moment("r.price_at")}, {moment("r.told_at")}, r.digest, r.suspect, {moment("r.suspect_at")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (market text, price numeric, price_at bigint, told_at bigint, digest text,
        suspect numeric, suspect_at bigint) ORDER BY r.market
    ON CONFLICT (market) DO UPDATE SET price = excluded.price, price_at = excluded.price_at, told_at = excluded.told_at,
        digest = excluded.digest, suspect = excluded.suspect, suspect_at = excluded.suspect_at
""")  # noqa: S608 - constants only
_ADD_HOURS = sa.text(f"""
    INSERT INTO stop_coverage AS k (deal_id, hour, covered_ms, uncovered_ms)
    SELECT r.deal_id, {moment("r.hour")}, r.covered_ms, r.uncovered_ms
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (deal_id bigint, hour bigint, covered_ms bigint, uncovered_ms bigint)
    ON CONFLICT (deal_id, hour) DO UPDATE SET covered_ms = k.covered_ms + excluded.covered_ms,
        uncovered_ms = k.uncovered_ms + excluded.uncovered_ms
""")  # noqa: S608 - constants only
_HOURS = sa.text(f"""
    SELECT k.deal_id, {milliseconds("k.hour")}, k.covered_ms, k.uncovered_ms FROM stop_coverage k JOIN deals d ON d.id = k.deal_id
    WHERE (k.hour >= {moment(":start")} AND k.hour < {moment(":end")}
        OR k.uncovered_ms > {HOUR_MS} AND k.hour < {moment(":end")})
      AND (CAST(:account AS text) IS NULL OR d.account = :account)
    ORDER BY k.hour, k.deal_id
""")  # noqa: S608 - constants only
_LAST = sa.text(f"SELECT {milliseconds('at')} FROM heartbeats WHERE name = :name FOR UPDATE")  # noqa: S608 - constants only
_OPEN = sa.text("SELECT count(*) FROM positions WHERE closed_at IS NULL")


def read_guarded(connection: sa.Connection) -> list[Guarded]:
    """Return every open position of every account, by deal; one that was never checked has a check without a price."""
    found = []
    for row in connection.execute(_GUARDED):
        deal_id, account, mode, strategy, market, *levels, version, state, changed_at, rests, since = row[:16]
        check = StopCheck(*row[16:]) if row[16] is not None else StopCheck(deal_id, since, since)
        names = (deal_id, account, Mode(mode), strategy, parse_market(market))
        found.append(Guarded(*names, *levels, version, StopState(state), changed_at, rests, check))
    return found


def read_over(connection: sa.Connection) -> list[tuple[int, StopCheck]]:
    """Return the checks of positions that are open no more, each with when that ended (UTC ms)."""
    return [(row[0], StopCheck(*row[1:])) for row in connection.execute(_OVER)]


def last_beat(connection: sa.Connection, name: str) -> int | None:
    """Return the last heartbeat of a part (UTC ms), which nobody else can write until the caller's transaction ends."""
    return connection.scalar(_LAST, {"name": name})


def count_open(source: Database | sa.Connection) -> int:
    """Return how many positions are open."""
    with reading(source) as connection:
        return int(connection.scalar(_OPEN) or 0)


def write_checks(connection: sa.Connection, checks: Sequence[StopCheck]) -> None:
    """Store checks in the caller's transaction, all in one statement."""
    if checks:
        rows = [{name: getattr(check, name) for name in _CHECK_NAMES} for check in checks]
        connection.execute(_WRITE_CHECKS, {"rows": document(rows)})


def forget_checks(connection: sa.Connection, deal_ids: Sequence[int]) -> None:
    """Remove the checks of positions that are over; what of their time was covered is in the hours."""
    if deal_ids:
        connection.execute(_FORGET, {"ids": list(deal_ids)})


def read_known_prices(connection: sa.Connection, markets: Iterable[Market]) -> dict[Market, KnownPrice]:
    """Return what is known of the prices of markets; those of which nothing is known are missing."""
    rows = connection.execute(_PRICES, {"markets": [market.key for market in markets]})
    return {(market := parse_market(row[0])): KnownPrice(market, *row[1:]) for row in rows}


def write_known_prices(connection: sa.Connection, prices: Mapping[Market, KnownPrice]) -> None:
    """Store what is known of prices in the caller's transaction."""
    if prices:
        connection.execute(
            _WRITE_PRICES, {"rows": document([asdict(known) | {"market": known.market} for known in prices.values()])}
        )


def add_hours(connection: sa.Connection, hours: Sequence[Hour]) -> None:
    """Add time to what was covered of each hour, in the caller's transaction."""
    if hours:
        connection.execute(_ADD_HOURS, {"rows": document([asdict(hour) for hour in hours])})


def read_hours(source: Database | sa.Connection, start_ms: int, end_ms: int, account: str | None = None) -> list[Hour]:
    """Return the finished hours that begin in [start_ms, end_ms), of an account or of all."""
    with reading(source) as connection:
        rows = connection.execute(_HOURS, {"start": start_ms, "end": end_ms, "account": account})
        found = (Hour(*row).begun_in(start_ms, end_ms) for row in rows)
        return [hour for hour in found if hour is not None]
