"""`fks evaluate`: trade ideas on demand, from what is stored."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag, desk_market, desk_timeframe
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.assets.trading.evaluation import Evaluation


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    markets: Annotated[list[str] | None, typer.Argument(metavar="[MARKET…]", help="All of the desk if none is given.")] = None,
    timeframe: Annotated[
        str | None, typer.Option("--timeframe", metavar="TIMEFRAME", help="5m, 1h, 1d, …; 1h if the desk has it.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Store the ideas as well, as the schedule does.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="DIR", help="Write them as JSON files below this folder.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Score the newest closed candle of markets by what the strategies say of it. Exit 1 when a market gives no idea."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = [desk_market(text, settings) for text in markets or []] or None
    from fks_assets.assets.trading.evaluation import evaluate_markets
    from fks_assets.cli.output import print_json
    from fks_assets.quant.timeframes import usual_timeframe
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.trade_ideas import save_ideas

    frame = desk_timeframe(timeframe or usual_timeframe(settings.timeframes), settings)
    stores = Stores(settings)
    found = evaluate_markets(stores, frame, chosen)
    files = [] if export is None else _export(export, found)
    if save:
        with stores.database.transaction() as connection:
            save_ideas(connection, frame, list(found.ideas.values()), found.at_ms, found.withdrawn)
    if json:
        print_json(
            {**found.document(), "saved": save, "files": [str(path) for path in files], "simulated": settings.is_simulated}
        )
    else:
        _show(found, files, simulated=settings.is_simulated)
    sys.stdout.flush()
    if found.without:
        raise typer.Exit(1)


def _show(found: "Evaluation", files: list[Path], *, simulated: bool) -> None:
    from fks_assets.cli.output import print_table

    badge = " (SIMULATED)" if simulated else ""
    columns = (
        "market",
        "score",
        "action",
        "band",
        "place",
        "confidence",
        "reward/risk",
        "entry",
        "stop",
        "target",
        "quantity",
        "candle",
    )
    rows: list[list[Any]] = []
    document = found.document()
    for idea in document["ideas"]:
        entry, size = idea["entry"], idea["size"]
        rows.append(
            [
                *(idea[name] for name in ("market", "score", "action", "band", "place")),
                round(idea["confidence"], 3),
                None if idea["reward_risk"] is None else round(idea["reward_risk"], 2),
                None if entry is None else f"{entry['kind']} {entry['price']:.8g}",
                idea["stop"],
                idea["target"],
                None if size is None else size["quantity"],
                idea["candle"],
            ]
        )
    print_table(f"Trade ideas, {found.timeframe} (UTC){badge}", columns, rows, "none")
    for idea in document["ideas"]:
        for each in idea["points"]:
            print(f"{idea['market']}: {each['points']:+d} {each['reason']}")
        if idea["points"]:
            better = "; ".join(idea["better"]) or "nothing"
            print(f"{idea['market']}: news: {idea['news']}; it would be better with: {better}")
    for name, why in found.silent.items():
        print(f"{name} is not heard: {why}")
    for market, why in found.without.items():
        print(f"{market}: no idea: {why}")
    for path in files:
        print(f"Written: {path}")


def _export(directory: Path, found: "Evaluation") -> list[Path]:
    """Write each idea, and the whole evaluation, as S4.16 lays them out, and return the files."""
    import json

    from fks_assets.clock import iso
    from fks_assets.quant.strategies.base import HOLD

    document = found.document()
    day = document["evaluated_at"][:10]
    files = {directory / "evaluations" / f"evaluation_{day}.json": document}
    for idea in found.by_score:
        if idea.action != HOLD:
            moment = str(iso(idea.open_time)).replace("-", "").replace(":", "")
            files[directory / "trade_ideas" / f"{idea.market.base}-{idea.market.quote}_{moment}.json"] = idea.document()
    for path, content in files.items():
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise InvalidInput(f"--export {path}: cannot be written: {error.strerror}") from None
    return list(files)
