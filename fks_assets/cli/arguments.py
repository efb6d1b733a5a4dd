"""What people type: markets, timeframes and times; each wrong one is an InvalidInput that names it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.clock import MILLISECONDS_PER_DAY, iso, now_ms, to_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe, parse_timeframe

if TYPE_CHECKING:
    from fks_assets.settings import Settings


USUAL_DAYS = 365


def number(least: float, most: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """Return a parser of an option's number within [least, most]; it raises InvalidInput that names what was typed."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise InvalidInput(f"{text!r} is not a {'whole ' if kind is int else ''}number") from None
        if not least <= value <= most:
            raise InvalidInput(f"{text} is not between {least:,} and {most:,}")
        return value

    return parse


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="TIME", help="2026-11-01 or 2026-11-01T12:00Z, included.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="As --from, excluded.")]
DaysOption = Annotated[
    int | None,
    typer.Option(
        "--days", parser=number(1, 36_500), metavar="DAYS", help="So many days up to --to, 365 if not given; without --from."
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", parser=number(1, 1_000_000), metavar="ROWS", help="Newest rows to show without --from.")
]
MarketArgument = Annotated[str, typer.Argument(metavar="MARKET", help="BTC-USDT, or BTC-USDT@binance for another exchange's.")]
TimeframeArgument = Annotated[str, typer.Argument(metavar="TIMEFRAME", help="5m, 1h, 1d, …")]


def market_of(text: str, settings: "Settings") -> Market:
    """Return the market; one without an exchange is on the desk's exchange."""
    return parse_market(text if "@" in text else f"{text}@{settings.exchange}")


def desk_market(text: str, settings: "Settings") -> Market:
    """Return the market if the desk trades it; raise InvalidInput that lists those it does."""
    market = market_of(text, settings)
    known = settings.market_list()
    if market not in known:
        raise InvalidInput(f"market {market.key!r} is not on this desk; it has {', '.join(each.key for each in known)}")
    return market


def desk_timeframe(text: str, settings: "Settings") -> Timeframe:
    timeframe = parse_timeframe(text)
    if timeframe.name not in settings.timeframes:
        raise InvalidInput(f"timeframe {text!r} is not on this desk; it has {', '.join(settings.timeframes)}")
    return timeframe


def time_of(text: str | None, option: str) -> int | None:
    """Return milliseconds since the epoch of an ISO date or time (UTC where no zone is given), None for None."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is not a date or time such as 2026-11-01 or 2026-11-01T12:00:00Z") from None
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def window_of(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """Return [from, to) in milliseconds; raise InvalidInput when it is empty."""
    start_ms, end_ms = time_of(start, "--from"), time_of(end, "--to")
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise InvalidInput(f"--from {start!r} is not before --to {end!r}")
    return start_ms, end_ms


def period_of(start: str | None, end: str | None, days: int | None = None) -> tuple[int, int]:
    """Return [from, to) in milliseconds: to now, and from so many days before the end (365), unless they are given."""
    if start is not None and days is not None:
        raise InvalidInput(f"--days {days} and --from {start!r} both say where it begins: give one of them")
    start_ms, end_ms = window_of(start, end)
    end_ms = now_ms() if end_ms is None else end_ms
    start_ms = end_ms - (days or USUAL_DAYS) * MILLISECONDS_PER_DAY if start_ms is None else start_ms
    if start_ms >= end_ms:
        raise InvalidInput(f"--from {start!r} is not before now, {iso(end_ms)}")
    return start_ms, end_ms
