"""`fks strategies enable` and `disable`: a person's word on whether a strategy trades."""

from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, number
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A strategy in force, see `fks strategies list`.")]
ByOption = Annotated[str, typer.Option("--by", metavar="WHO", help="Who does it; it is kept.")]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; it is kept.")]


def register(app: typer.Typer) -> None:
    app.command()(enable)
    app.command()(disable)


def enable(
    name: NameArgument,
    by: ByOption,
    note: NoteOption,
    days: Annotated[
        int | None,
        typer.Option("--days", parser=number(1, 365), metavar="DAYS", help="How long that stands; the settings' enabled_days."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Let a certified strategy trade, whatever its verdicts say, for a number of days. Only a person does that; it is kept."""
    from fks_assets.assets.trading.promotion import switch_on
    from fks_assets.cli.output import print_json
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings

    stores = Stores(load_settings())
    with stores.database.transaction() as connection:
        state = switch_on(connection, stores.settings, name, reason=note, by=by, at_ms=now_ms(), days=days)
    if json:
        print_json({"name": name, "changed": True, **state.document()})
    else:
        print(f"{name} is switched on until {state.document()['holds_until']}, whatever validation finds")


def disable(name: NameArgument, by: ByOption, note: NoteOption, json: JsonFlag = False) -> None:
    """Switch a strategy off: it may not trade any more, its signals go on."""
    from fks_assets.assets.trading.in_force import strategies_in_force
    from fks_assets.cli.output import print_json
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings
    from fks_assets.stores.strategy_records import read_states, switch

    stores = Stores(load_settings())
    in_force, unusable = strategies_in_force(stores.database, stores.settings)
    if name not in in_force and name not in unusable:
        raise InvalidInput(f"strategy {name!r} is not in force; in force are {', '.join(in_force)}")
    with stores.database.transaction() as connection:
        turned = switch(connection, name, False, reason=note, by=by, at_ms=now_ms())
        state = read_states(connection, [name])[name]
    if json:
        print_json({"name": name, "changed": turned is not None, **state.document()})
    else:
        print(f"{name} is switched off" if turned else f"{name} was switched off already")
