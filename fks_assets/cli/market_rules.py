"""`fks rules`."""

from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, desk_market, market_of, time_of
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InsufficientData, InvalidInput

if TYPE_CHECKING:
    from fks_assets.quant.market_rules import MarketRules
    from fks_assets.quant.markets import Market
    from fks_assets.resources.stores import Stores


def register(app: typer.Typer) -> None:
    app.command()(rules)


def rules(
    markets: Annotated[list[str] | None, typer.Argument(metavar="[MARKET…]", help="All of the desk if none is given.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="TIME", help="As they were known at that time.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Every version instead of the newest one.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show the trading rules of markets: tick, lot, bounds, fees, status. Exit 1 when some are not stored."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.settings import load_settings

    settings = load_settings()
    at_ms = time_of(as_of, "--as-of")
    if at_ms is not None and at_ms > now_ms():
        raise InvalidInput(f"--as-of {as_of!r} lies in the future")
    if at_ms is not None and history:
        raise InvalidInput(f"--as-of {as_of!r} goes without --history")
    chosen = [market_of(text, settings) for text in markets or []] or settings.market_list()
    from fks_assets.resources.stores import Stores

    stores = Stores(settings)
    found = _read(stores, chosen, at_ms, history)
    known = {each.market for each in found}
    missing = [market for market in chosen if market not in known]
    for market in missing:
        _require_known(stores, market)
    rows = [each.document() for each in found]
    if json:
        print_json({"as_of": iso(at_ms), "rules": rows, "missing": [market.key for market in missing]})
    elif rows:
        title = "Trading rules (UTC)" if at_ms is None else f"Trading rules as of {iso(at_ms)} (UTC)"
        columns = [name.replace("_", " ") for name in rows[0]]
        print_table(title, columns, ([row[name] for name in row] for row in rows))
    if missing:
        when = "yet: `fks run rules` stores those of today" if at_ms is None else f"as of {iso(at_ms)}"
        raise InsufficientData(f"no rules of {', '.join(market.key for market in missing)} are stored {when}")


def _read(stores: "Stores", markets: "list[Market]", at_ms: int | None, history: bool) -> "list[MarketRules]":
    from fks_assets.stores.market_rules import all_rules_as_of, rules_history

    if history:
        return [version for market in markets for version in rules_history(stores.database, market)]
    found = all_rules_as_of(stores.database, markets, now_ms() if at_ms is None else at_ms)
    return [found[market] for market in markets if market in found]


def _require_known(stores: "Stores", market: "Market") -> None:
    """Raise InvalidInput for a market of which nothing is stored and that the desk does not trade."""
    from fks_assets.stores.market_rules import rules_history

    if market.exchange == stores.settings.exchange and not rules_history(stores.database, market):
        desk_market(market.key, stores.settings)
