"""`fks import`: candle files into the store."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag, market_of
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import parse_timeframe

if TYPE_CHECKING:
    from fks_assets.assets.market_data.import_candles import GapOutcome, StoredImport
    from fks_assets.imports.reading import ImportOptions
    from fks_assets.imports.report import ImportedSeries
    from fks_assets.quant.markets import Market
    from fks_assets.quant.timeframes import Timeframe
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import Settings

_COLUMNS = ("file", "market", "timeframe", "rows", "new", "equal", "kept", "replaced", "holes", "missing", "refused because")


@dataclass(slots=True)
class _Outcome:
    """One line of the result. `series` is without its candles: only what is said of it is kept."""

    label: str
    path: Path
    reason: str | None = None
    series: dict[str, Any] | None = None
    stored: "StoredImport | None" = None

    @property
    def status(self) -> str:
        if self.stored is None:
            return "refused"
        return "imported" if self.stored.changed else "unchanged"


def register(app: typer.Typer) -> None:
    app.command("import")(import_files)


def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files, or folders with candle files.")],
    market: Annotated[
        str | None, typer.Option("--market", metavar="MARKET", help="Whose candles, where the file does not say.")
    ] = None,
    timeframe: Annotated[
        str | None, typer.Option("--timeframe", metavar="TF", help="Of which length, where the file does not say.")
    ] = None,
    exchange: Annotated[
        str | None, typer.Option("--exchange", help="Under which exchange to keep them instead of the file's own.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="auto, binance-dump, kraken-ohlcvt, cryptodatadownload, freqtrade or parquet.")
    ] = "auto",
    conflicts: Annotated[
        str,
        typer.Option("--conflicts", help="Of rows of one time that disagree, take the most precise, first, last, or refuse."),
    ] = "precise",
    replace: Annotated[bool, typer.Option("--replace", help="Let the file's candles replace stored ones that differ.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    json: JsonFlag = False,
) -> None:
    """Store candles from files: Binance or Kraken dumps, CryptoDataDownload, freqtrade, Parquet. Exit 1 if one was refused."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    options = _options(settings, market, timeframe, exchange, form, conflicts)
    from fks_assets.imports.reading import candle_files

    paths = candle_files(files, options.asked)
    from fks_assets.cli.output import print_json
    from fks_assets.resources.stores import Stores

    outcomes, gaps = _import(Stores(settings), paths, options, replace=replace, dry_run=dry_run, quiet=json)
    if json:
        print_json({"dry_run": dry_run, "import": [_document(each) for each in outcomes], "gaps": [_gap(each) for each in gaps]})
    else:
        _print(outcomes, gaps, dry_run=dry_run)
    raise typer.Exit(1 if any(each.stored is None for each in outcomes) else 0)


def _options(
    settings: "Settings", market: str | None, timeframe: str | None, exchange: str | None, form: str, conflicts: str
) -> "ImportOptions":
    from fks_assets.imports.cleaning import Clock
    from fks_assets.imports.identity import Asked
    from fks_assets.imports.reading import ImportOptions
    from fks_assets.imports.report import ConflictRule, ImportFormat

    if exchange is not None and not re.fullmatch(r"[a-z0-9]{1,20}", exchange):
        raise InvalidInput(f"--exchange {exchange!r} is not a name of small letters and digits")
    asked = None if market is None else market_of(market, settings)
    if asked is not None and "@" in (market or ""):
        if exchange not in (None, asked.exchange):
            raise InvalidInput(f"--exchange {exchange!r} contradicts --market {market!r}")
        exchange = asked.exchange
    forms, rules = {each.value: each for each in ImportFormat}, {each.value: each for each in ConflictRule}
    if form != "auto" and form not in forms:
        raise InvalidInput(f"--format {form!r} is unknown; known: auto, {', '.join(forms)}")
    if conflicts not in rules:
        raise InvalidInput(f"--conflicts {conflicts!r} is unknown; known: {', '.join(rules)}")
    return ImportOptions(
        Clock(now_ms(), settings.grace_ms),
        Asked(
            None if asked is None else (asked.base, asked.quote),
            exchange,
            None if timeframe is None else parse_timeframe(timeframe),
            settings.exchange,
        ),
        forms.get(form),
        rules[conflicts],
    )


def _import(
    stores: "Stores", paths: Sequence[Path], options: "ImportOptions", *, replace: bool, dry_run: bool, quiet: bool
) -> "tuple[list[_Outcome], list[GapOutcome]]":
    from fks_assets.assets.market_data.import_candles import store_series
    from fks_assets.ids import unique_name
    from fks_assets.imports.reading import read_file
    from fks_assets.imports.report import RefusedFile

    outcomes: list[_Outcome] = []
    gaps = _Gaps(stores)
    run_id = f"cli-{unique_name()}"
    with _progress(len(paths), quiet=quiet) as say:
        for number, path in enumerate(paths):
            say(number, path.name)
            for found in read_file(path, options):
                say(number, found.label)
                if isinstance(found, RefusedFile):
                    outcomes.append(_Outcome(found.label, path, reason=found.reason))
                    continue
                stored = store_series(stores, found, replace=replace, dry_run=dry_run, run_id=run_id)
                outcomes.append(_Outcome(found.label, path, series=_series(found), stored=stored))
                if not dry_run:
                    gaps.imported(found.market, found.timeframe)
        gaps.judge()
    return outcomes, list(gaps.outcomes.values())


class _Gaps:
    """Judges the gaps of a series once its last file has been stored: a year is often twelve files."""

    def __init__(self, stores: "Stores") -> None:
        self.outcomes: dict[tuple[Market, Timeframe], GapOutcome] = {}
        self._stores = stores
        self._series: tuple[Market, Timeframe] | None = None

    def imported(self, market: "Market", timeframe: "Timeframe") -> None:
        if self._series is not None and self._series != (market, timeframe):
            self.judge()
        self._series = (market, timeframe)

    def judge(self) -> None:
        from dataclasses import replace

        from fks_assets.assets.market_data.import_candles import judge_gaps

        if self._series is None:
            return
        for each in judge_gaps(self._stores, [self._series]):
            before = self.outcomes.get(self._series)
            self.outcomes[self._series] = each if before is None else replace(each, filled=before.filled + each.filled)
        self._series = None


@contextmanager
def _progress(total: int, *, quiet: bool) -> "Iterator[Callable[[int, str], None]]":
    """Show a bar on a terminal; elsewhere say nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda number, label: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("files", total=total)
        yield lambda number, label: bar.update(task, completed=number, description=label)


def _series(found: "ImportedSeries") -> dict[str, Any]:
    times = found.candles.open_time
    return {
        "sha256": found.sha256,
        "format": found.format.value,
        "market": found.market.key,
        "timeframe": found.timeframe.name,
        "source": found.source,
        "first_open": iso(int(times[0])),
        "last_open": iso(int(times[-1])),
        "rows": found.report.document(),
    }


def _document(each: _Outcome) -> dict[str, Any]:
    document: dict[str, Any] = {"file": each.label, "path": str(each.path), "status": each.status, "reason": each.reason}
    if each.series is None or each.stored is None:
        return document
    stored = each.stored
    return (
        document
        | each.series
        | {
            "stored": {
                "inserted": stored.inserted,
                "equal": stored.equal,
                "kept": stored.kept,
                "replaced": stored.replaced,
                "months": stored.months,
                "conflicts": [
                    {"open_time": iso(conflict.open_time), "stored": list(conflict.taken), "other": list(conflict.left_out)}
                    for conflict in stored.conflicts
                ],
            }
        }
    )


def _gap(each: "GapOutcome") -> dict[str, Any]:
    return {"market": each.market.key, "timeframe": each.timeframe.name, "filled": each.filled, "open": each.open}


def _print(outcomes: Sequence[_Outcome], gaps: "Sequence[GapOutcome]", *, dry_run: bool) -> None:
    from fks_assets.cli.output import print_table

    rows = []
    for each in outcomes:
        if each.series is None or each.stored is None:
            rows.append((each.label, *(None,) * 9, each.reason))
            continue
        report, stored = each.series["rows"], each.stored
        counts = (stored.inserted, stored.equal, stored.kept, stored.replaced, report["holes"], report["missing"])
        rows.append((each.label, each.series["market"], each.series["timeframe"], report["rows_read"], *counts, None))
    print_table("Would import" if dry_run else "Imported", _COLUMNS, rows)
    for line in _remarks(outcomes):
        print(line)
    for gap in gaps:
        if gap.filled or gap.open:
            print(f"{gap.market} {gap.timeframe}: {gap.filled} gaps filled, {gap.open} open")


def _remarks(outcomes: Sequence[_Outcome]) -> Iterator[str]:
    for each in outcomes:
        if each.series is None or each.stored is None:
            continue
        for kind, found in each.series["rows"]["resolved"].items():
            yield f"{each.label}: {found['count']:,} {kind.replace('_', ' ')}: {found['rule']}"
        for note in each.series["rows"]["notes"]:
            yield f"{each.label}: {note}"
        if each.stored.kept:
            yield f"{each.label}: {each.stored.kept:,} candles differ from stored ones, which stay; --replace takes the file's"
