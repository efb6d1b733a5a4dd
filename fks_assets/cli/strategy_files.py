"""`fks strategies new`: a strategy of one's own begins with a file that works."""

from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.errors import InvalidInput


def register(strategies: typer.Typer) -> None:
    strategies.command()(new)


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the strategy and of its file: small letters, digits, underscores.")
    ],
    json: JsonFlag = False,
) -> None:
    """Write the file of a new strategy into `strategies_folder`, to be changed. A file that is there already is left as it is."""
    from fks_assets.cli.output import print_json
    from fks_assets.quant.strategies.loading import NAME
    from fks_assets.quant.strategies.registry import known_strategies
    from fks_assets.quant.strategies.template import strategy_template
    from fks_assets.settings import load_settings

    folder = load_settings().strategies_folder
    if not NAME.fullmatch(name):
        raise InvalidInput(f"the name of a strategy is of small letters, digits and underscores, at most 40, was {name!r}")
    if folder is None:
        raise InvalidInput('strategies_folder is not set: name one in desk.toml, for example strategies_folder = "my_strategies"')
    if not folder.is_dir():
        raise InvalidInput(f"strategies folder {folder}: no such folder; create it or correct the setting")
    if name in known_strategies():
        raise InvalidInput(f"the name {name!r} is taken; choose one not among {', '.join(known_strategies())}")
    file = folder / f"{name}.py"
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(strategy_template(name))
    except FileExistsError:
        raise InvalidInput(f"strategy file {file}: is there already, and is left as it is; choose another name") from None
    except OSError as error:
        raise InvalidInput(f"strategy file {file}: cannot be written: {error.strerror}") from None
    if json:
        print_json({"name": name, "file": str(file)})
        return
    print(f"{file} is written: a strategy that works, to be made into yours")
    print(f"It is in force with a table [strategies.{name}] in desk.toml; `fks strategies` says what is wrong with it")
